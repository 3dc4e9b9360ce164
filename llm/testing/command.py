"""`llm` commands within the process of a test."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from click.testing import Result


def run_cli(
    *arguments: str, stdin: str | bytes | None = None, env: Mapping[str, str | None] | None = None
) -> Result:
    """What `llm` with these arguments does, in this process.

    The user directory is the one that `LLM_USER_PATH` names, in `env` or outside; else one that is
    made for this process and removed at its end, never the one of who runs the tests.

    Args:
        arguments: As on the command line, each by itself.
        stdin: What there is to read; nothing where missing.
        env: Environment variables to set while it runs, or with `None` to take away.

    Returns:
        The `exit_code`, the `stdout`, the `stderr`, and the `output`, which is both as a terminal
        would mix them.
    """
    from click.testing import CliRunner

    from ..cli import cli

    variables = dict(env or {})
    if not (variables.get("LLM_USER_PATH") or os.environ.get("LLM_USER_PATH")):
        variables["LLM_USER_PATH"] = _user_directory()
    return CliRunner().invoke(cli, arguments, input=stdin, env=variables)


@functools.cache
def _user_directory() -> str:
    folder = tempfile.mkdtemp(prefix="llm-testing-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
