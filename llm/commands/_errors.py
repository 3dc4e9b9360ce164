"""Where exceptions become a line on stderr and an exit code; nowhere else."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable
from functools import partial
from typing import IO, TYPE_CHECKING

import click

from .._lazy import for_hints
from ..errors import (
    EXIT_INTERRUPTED,
    EXIT_PIPE_CLOSED,
    LLMError,
    LoadTemplateError,
    ModelError,
    NeedsKeyException,
    NotFound,
    UnknownModelError,
    exit_code_of,
)
from ..text.secrets import mask_tracebacks

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
else:
    for_hints(
        globals(),
        {
            "pydantic_core": "ErrorDetails",
        },
    )

_LOCAL_HINT = (
    ", or run 'llm local install' to get a model that works on this computer and needs no key"
)


_FOR_CLICK = (click.ClickException, click.exceptions.Exit, click.Abort, EOFError)


class _Reported(contextlib.ContextDecorator):
    """Turns the exceptions of its body into those of click, which end the command.

    An `LLMError` gives its message and its exit code (2 with the usage line), any other exception
    its message and exit code 1. Ctrl-C and a closed pipe give those that a shell expects. What
    click knows itself passes. Under
    `LLM_RAISE_ERRORS` and in plugins' tests the failures of models and everything unexpected pass
    too, so that their traceback is seen.
    """

    def __enter__(self) -> _Reported:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        _let_go_of_output()
        _tell_of_plugins(error)
        if isinstance(error, click.ClickException):
            from ..terminal import for_stderr

            # Declared final for those who catch it.
            vars(error)["message"] = for_stderr(error.message)
            vars(error)["show"] = partial(_show, error)
        elif isinstance(error, KeyboardInterrupt) or _is_interrupt(error):
            from ..terminal import write_err

            write_err("\nAborted!\n")
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from error
        elif isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise click.exceptions.Exit(EXIT_PIPE_CLOSED) from error
        elif _is_seen(error):
            mask_tracebacks()
        elif isinstance(error, Exception) and not isinstance(error, _FOR_CLICK):
            raise _as_click(error) from error


reported = _Reported()


def _show(error: click.ClickException, file: IO[str] | None = None) -> None:
    """Tell an error; where that fails, the exit code tells it all the same."""
    try:
        type(error).show(error, file)
    except (OSError, ValueError):
        from ..terminal import discard

        discard(sys.stderr)


def _tell_of_plugins(error: BaseException) -> None:
    """Tell of plugins that failed where something is missing that they might have brought."""
    kinds = (click.UsageError, UnknownModelError, NotFound, LoadTemplateError)
    if isinstance(error, kinds) and (faults := sys.modules.get("llm.plugin_index.faults")):
        faults.tell_held_back()


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is what SQLite makes of Ctrl-C within a query."""
    return type(error).__module__ == "sqlite3" and str(error) == "interrupted"


def _let_go_of_output() -> None:
    """Write what is left in the buffers; where nobody takes it, let it go nowhere."""
    from ..terminal import discard

    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            discard(stream)


def _is_seen(error: BaseException) -> bool:
    """Whether an exception passes with its traceback."""
    if not os.environ.get("LLM_RAISE_ERRORS") and not hasattr(sys, "_called_from_test"):
        return False
    if not isinstance(error, Exception) or isinstance(error, _FOR_CLICK):
        return False
    return isinstance(error, ModelError) or not isinstance(error, LLMError)


def _as_click(error: Exception) -> click.ClickException:
    text = error_text(error)
    code = exit_code_of(error)
    if code == click.UsageError.exit_code:
        return click.UsageError(text, click.get_current_context(silent=True))
    failure = click.ClickException(text)
    failure.exit_code = code  # type: ignore[misc]  # click reads it from the instance
    return failure


def error_text(error: Exception) -> str:
    """What the user reads about an exception; on a terminal without control sequences."""
    from ..terminal import for_stderr

    return for_stderr(_plain_text(error))


def _plain_text(error: Exception) -> str:
    if isinstance(error, NeedsKeyException):
        return f"{error}{_LOCAL_HINT}" if _local_would_help(error) else str(error)
    if type(error).__module__.partition(".")[0].startswith("pydantic"):
        from pydantic import ValidationError

        if isinstance(error, ValidationError) and error.errors():
            return problems_text(error.errors())
    if isinstance(error, KeyError) and error.args and not isinstance(error, LLMError):
        return f"{type(error).__name__}: {error}"
    from ..text.secrets import said_by

    return said_by(error) or type(error).__name__


def problems_text(problems: Iterable[ErrorDetails]) -> str:
    """Field and message of each problem, as `ValidationError.errors()` lists them."""
    return "\n".join(
        f"{'.'.join(str(step) for step in problem['loc'])}\n  {problem['msg']}"
        for problem in problems
    )


def _local_would_help(error: NeedsKeyException) -> bool:
    """Whether the user chose no model, and none that is there can answer without a key.

    The context is that of a command of ours; of a plugin's command only the model is known.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.params.get("model_id"):
        return False
    from ..files.config import DEFAULT_MODEL
    from ..registry import nothing_can_answer

    if error.model_id not in (None, DEFAULT_MODEL):
        return False
    try:
        return nothing_can_answer()
    except LLMError:
        return False
