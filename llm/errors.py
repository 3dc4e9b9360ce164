"""Every exception of `llm`, with the exit code the command gives for it.

::

    LLMError                          1   base of everything that is raised on purpose
    ├── ModelError                    1   a model reports a failure that the user should read
    │   ├── NeedsKeyException         1   no key was found for the model
    │   ├── RateLimited               1   the provider asks to slow down
    │   ├── Overloaded                1   the provider cannot serve the request at the moment
    │   ├── AuthError                 1   the provider refuses the key
    │   ├── ContextTooLong            1   the prompt does not fit the model's context
    │   └── ConnectionLost            1   the connection failed or broke off
    ├── Interrupted                   1   an answer was broken off by whoever asked for it
    ├── UnknownModelError             1   also a KeyError
    ├── ChainLimitExceeded            1   also a ValueError
    ├── ConversationNotSupported      1   also a ValueError
    ├── ConfigError                   1   a file of the user directory cannot be read
    ├── LogError                      1   the log database cannot be used
    ├── EmbeddingsError               1   a database of embeddings cannot be used
    ├── NotFound                      1   something that was named does not exist
    │   ├── AliasNotFound             1   also a KeyError
    │   └── FragmentNotFound          1
    ├── AttachmentError               1   an attachment cannot be read or is not accepted
    ├── LoadTemplateError             1   also a ValueError
    ├── SchemaMismatch                4   also a ValueError: an answer does not fit its schema
    ├── QuoteNotFound                 5   an answer cites words that its sources do not have
    └── InvalidInput                  2   also a ValueError: a value given by the user is malformed

`CancelToolCall` and `PauseChain` are no errors: they steer the calls of tools, and live with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import attach, for_hints

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
else:
    for_hints(globals(), {"collections.abc": "Mapping", "pathlib": "Path"})
    __getattr__, __dir__ = attach(__name__, {"llm.tools.calling": ("CancelToolCall", "PauseChain")})

__all__ = [
    "AliasNotFound", "AttachmentError", "AuthError", "ChainLimitExceeded", "ConfigError",
    "ConnectionLost", "ContextTooLong", "ConversationNotSupported", "EmbeddingsError",
    "FragmentNotFound", "Interrupted", "InvalidInput", "LLMError", "LoadTemplateError",
    "LogError", "ModelError", "NeedsKeyException", "NotFound", "Overloaded", "QuoteNotFound",
    "RateLimited", "SchemaMismatch", "UnknownModelError",
]  # fmt: skip


#: Part of the answer was printed, and the rest will not come.
EXIT_PARTIAL = 3
#: The user ended the command with Ctrl-C.
EXIT_INTERRUPTED = 130
#: Whoever read the output has gone.
EXIT_PIPE_CLOSED = 141


class LLMError(Exception):
    """Base of what `llm` raises on purpose; `exit_code` is what the command ends with."""

    exit_code = 1


class ModelError(LLMError):
    """A model reports a failure that the user should read.

    What is known of it beside the text; a service need not tell any of it.

    Attributes:
        status_code: The HTTP status; that which the service tells where the answer had begun.
        code: The service's own word for what is wrong, such as `rate_limit_exceeded`.
        request_id: The service's id of the request.
        retry_after: The pause that the service asks for, in seconds.
        body: What it sent: a JSON value, or a text. Keys are masked.
        headers: The headers of the reply, by lower-case name. Keys are masked.
        response: The response that failed.
        partial: The text that had come.
    """

    status_code: int | None = None
    code: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    body: object = None
    headers: Mapping[str, str] = {}
    # What a response is, the rooms above know.
    response: Any = None
    partial: str = ""


class NeedsKeyException(ModelError):
    """No key was found for a model that needs one.

    Args:
        message: The text for the user.
        model_id: The model, where it is known.
    """

    def __init__(self, message: str = "", model_id: str | None = None) -> None:
        super().__init__(message)
        self.model_id = model_id


class RateLimited(ModelError):
    """The provider asks to slow down (HTTP 429)."""


class Overloaded(ModelError):
    """The provider cannot serve the request at the moment (HTTP 5xx)."""


class AuthError(ModelError):
    """The provider refuses the key (HTTP 401 or 403)."""


class ContextTooLong(ModelError):
    """The prompt does not fit into the model's context.

    Args:
        message: The text for the user.
        limit: The model's context size in tokens, where the reply tells it.
    """

    def __init__(self, message: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class ConnectionLost(ModelError):
    """The connection could not be made, timed out, or broke off before the answer was complete."""


class Interrupted(LLMError):
    """An answer was broken off by whoever asked for it, and the rest will not come.

    Args:
        message: The text for the user.
        partial: The text that had come.
    """

    def __init__(self, message: str = "", partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class UnknownModelError(LLMError, KeyError):
    """No model has the given name."""

    # KeyError shows the repr of its argument, which would put the message in quotes.
    __str__ = Exception.__str__


class ConversationNotSupported(LLMError, ValueError):
    """A history was given to a model that cannot take one."""


class ChainLimitExceeded(LLMError, ValueError):
    """A chain would need more responses than it may take."""


class ConfigError(LLMError):
    """A file of the user directory cannot be used.

    Args:
        path: The file.
        problem: What is wrong with it, in one clause.
        remedy: What the user can do about it, in one sentence.
        line: The line of the problem, counted from 1, where it is known.
    """

    def __init__(
        self, path: Path | str, problem: str, remedy: str = "", line: int | None = None
    ) -> None:
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {problem}" + (f". {remedy}" if remedy else ""))
        self.path = path
        self.problem = problem
        self.remedy = remedy
        self.line = line


class LogError(LLMError):
    """The log database cannot be opened, read or written."""


class EmbeddingsError(LLMError):
    """A database of embeddings cannot be opened, read or written."""


class NotFound(LLMError):
    """Something that was named does not exist."""


class AliasNotFound(NotFound, KeyError):
    """There is no such alias of a model."""

    __str__ = Exception.__str__


class FragmentNotFound(NotFound):
    """A fragment that was named does not exist."""


class AttachmentError(LLMError):
    """An attachment cannot be read, has no known type, or is not accepted by the model."""


class LoadTemplateError(LLMError, ValueError):
    """A template cannot be loaded."""


class SchemaMismatch(LLMError, ValueError):
    """An answer is not what its schema asks for.

    Args:
        message: The text for the user.
        place: Where in the answer, as `$.items[2].name`; `$` stands for all of it.
        problem: What is wrong there.
        path: The place as names and numbers, from the outside in: `("items", 2, "name")`.
        value: What is there; the whole text where it is no JSON.
    """

    exit_code = 4

    def __init__(
        self,
        message: str,
        place: str = "$",
        problem: str = "",
        *,
        path: tuple[str | int, ...] = (),
        value: object = None,
    ) -> None:
        super().__init__(message)
        self.place = place
        self.problem = problem
        self.path = path
        self.value = value


class QuoteNotFound(LLMError):
    """An answer cites words that are not in its sources, or has a sentence that cites nothing."""

    exit_code = 5


class InvalidInput(LLMError, ValueError):
    """A value given by the user is malformed."""

    exit_code = 2


def mark_partial(error: BaseException) -> None:
    """Let the command end with the exit code for an answer of which a part was printed."""
    error.__dict__["exit_code"] = EXIT_PARTIAL


def exit_code_of(error: BaseException) -> int:
    """What the command ends with after `error`."""
    code = getattr(error, "exit_code", LLMError.exit_code)
    return code if isinstance(code, int) else LLMError.exit_code
