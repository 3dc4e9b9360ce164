"""`llm` 0.36 as it is installed from the package index, in an environment of its own.

The environment is made once and kept in the user's cache directory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

REQUIREMENT = "llm==0.36"
DATA = Path(__file__).parent.parent / "data"
_MARK = "installed"

# Runs one command after the other: starting the program takes far longer than most of them.
_WORKER = """
import json, os, sys
from click.testing import CliRunner
from llm.cli import cli
for line in sys.stdin:
    request = json.loads(line)
    os.environ["LLM_USER_PATH"] = request["user_path"]
    result = CliRunner().invoke(cli, request["args"], input=request["input"])
    answer = {"code": result.exit_code, "output": result.output, "error": repr(result.exception)}
    sys.__stdout__.write(json.dumps(answer) + "\\n")
    sys.__stdout__.flush()
"""


@dataclass
class Result:
    """What a command of 0.36 gave."""

    exit_code: int
    output: str
    error: str


class Release:
    """A running 0.36 with the offline plugin that wrote the databases of the tests.

    `user_path` is its user directory from now on.
    """

    user_path: Path

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *args: str, stdin: str | None = None) -> str:
        """The output of a command, which succeeds."""
        result = self.invoke(*args, stdin=stdin)
        assert result.exit_code == 0, (args, result)
        return result.output

    def json(self, *args: str) -> Any:
        """The value that a command prints."""
        return json.loads(self.run(*args))

    def invoke(self, *args: str, stdin: str | None = None) -> Result:
        """The result of a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"args": args, "input": stdin, "user_path": str(self.user_path)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Result(answer["code"], answer["output"], answer["error"])


@contextmanager
def release_036(folder: Path) -> Iterator[Release]:
    """0.36, whose plugin is put into an empty folder."""
    shutil.copy(DATA / "llm_fakeplug.py", folder)
    metadata = folder / "llm_fakeplug-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-fakeplug\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[llm]\nfakeplug = llm_fakeplug\n")
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
    process = subprocess.Popen(
        [str(python_036()), "-c", _WORKER],
        env={
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONPATH": str(folder),
            "PYTHONIOENCODING": "utf-8",
        },
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    try:
        yield Release(process)
    finally:
        process.kill()
        process.communicate()


def python_036() -> Path:
    """The interpreter of the environment with 0.36, which is made where it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-tests"
    version = "{}.{}".format(*sys.version_info)
    environment = cache / f"llm-0.36-python-{version}"
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{environment.name}.lock"):
        if not (environment / _MARK).exists():
            shutil.rmtree(environment, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(environment))
            _run(str(python), "-m", "pip", "install", "-q", REQUIREMENT)
            (environment / _MARK).write_text(REQUIREMENT)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command} failed:\n{done.stderr}"
