"""Command lines, each in a process of its own that starts in no time: forks of one that waits.

Started as a program it reads requests, one a line: `{"site", "variables", "questions"}`; it answers
each with a line: for each question the exit code, standard output and the lines on standard error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Answer = tuple[int, str, list[str]]


class Asker:
    """The waiting process.

    Args:
        folder: Its current folder.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            # What is compiled would change the folders of the plugins.
            [sys.executable, "-B", str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def ask(
        self, site: Path, variables: dict[str, str], questions: Sequence[Sequence[str]]
    ) -> list[Answer]:
        """What `llm` says with each of these arguments, with the plugins in the folder `site`."""
        assert self._process.stdin
        assert self._process.stdout
        request = {"site": str(site), "variables": variables, "questions": questions}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return [
            (code, out, sorted(err))
            for code, out, err in json.loads(self._process.stdout.readline())
        ]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _answer(
    site: str, variables: dict[str, str], question: list[str]
) -> tuple[int, str, list[str]]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            _run(site, variables, question, out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return code, out.read().decode(), err.read().decode().splitlines()


def _run(site: str, variables: dict[str, str], question: list[str], out: int, err: int) -> None:
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.environ.update(variables)
        sys.path.insert(0, site)
        sys.argv = ["llm", *question]
        main: Any = sys.modules["llm.cli"].cli
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    # The folder of this file; nothing is to be found there.
    sys.path.pop(0)
    import llm.cli

    assert llm.cli.cli
    for line in sys.stdin:
        asked = json.loads(line)
        given = [_answer(asked["site"], asked["variables"], one) for one in asked["questions"]]
        print(json.dumps(given), flush=True)
