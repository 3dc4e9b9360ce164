"""Installing beside `llm`, whoever made its environment: pip, uv, pipx or somebody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec

from ..errors import LLMError

# Where they stand in the environments that these tools make, and how to get another one.
_TOOLS = {
    "uv-receipt.toml": "uv tool install --with PACKAGE llm",
    "pipx_metadata.json": "pipx inject llm PACKAGE",
}
_OWN = "python -m venv DIRECTORY, then DIRECTORY/bin/pip install llm PACKAGE"


def run_installer(command: str, *arguments: str) -> int:
    """Run pip in this environment, or `uv pip` where that has no pip.

    Args:
        command: `install` or `uninstall`.
        arguments: Its options and packages, as pip takes them.

    Returns:
        The exit code; what it says it has said itself.

    Raises:
        LLMError: Nothing can be installed into this environment.
    """
    _require_writable(command)
    return subprocess.run(_command(command, arguments), check=False).returncode


def _command(command: str, arguments: Sequence[str]) -> list[str]:
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", command, *arguments]
    uv = shutil.which("uv")
    if uv is None:
        raise LLMError(
            f"Cannot {command} anything: the environment of llm, {sys.prefix}, has no pip, and "
            f"there is no uv. Run: {sys.executable} -m ensurepip"
        )
    # It never asks.
    rest = [argument for argument in arguments if argument != "--yes"]
    return [uv, "pip", command, "--python", sys.executable, *rest]


def _require_writable(command: str) -> None:
    is_shared = sys.prefix == sys.base_prefix
    owned = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    if is_shared and os.path.exists(owned):
        why = f"the Python of llm, {sys.prefix}, belongs to the operating system"
    elif not os.access(sysconfig.get_path("purelib"), os.W_OK):
        why = f"the environment of llm, {sys.prefix}, cannot be written"
    else:
        return
    made_by = (
        way for file, way in _TOOLS.items() if os.path.exists(os.path.join(sys.prefix, file))
    )
    way = next(made_by, _OWN)
    raise LLMError(f"Cannot {command} anything: {why}. Another one that is yours: {way}")
