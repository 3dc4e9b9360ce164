"""The `llm` command killed by SIGKILL wherever it leaves a trace, one point after the other.

`python dying_llm.py FOLDER PLAN` takes a plan in JSON: `killed` is the command, `before` and
`after` are commands around it. All of them run, with the fake models, in forks of this process, in
a user directory below FOLDER: once for each point, where the command is then killed, until it comes
to its end. A point is before and after a write to a journal, its making, its deletion and the
logging of a turn, before and after each piece of the model's answer, and where a tool calls
`point("tool")`. Commands before are killed by their second tool. A JSON line tells of each point
what it was and the one before it, how the file RUNS looked then and at the end, and what the
commands after it printed.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from click.testing import CliRunner

from llm.cli import cli
from llm.logs.write import store
from llm.prompting import journal
from tests.helpers.models import Scripted, registered


class Points:
    """Counts the points of one process, and kills it at one of them.

    Args:
        last: The number of that point; 0 for none.
        report: Where to write what the point was, and the one before it.
        only: Count points of this kind only.
    """

    def __init__(self, last: int, report: Path, only: str = "") -> None:
        self._left = itertools.count(last, -1)
        self._report = report
        self._only = only
        self._before = ""

    def __call__(self, what: str) -> None:
        before, self._before = self._before, what
        if what == (self._only or what) and next(self._left) == 1:
            self._report.write_text(json.dumps([before, what]))
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a point before and after it."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self(f"before {function.__name__}")
            result = function(*args, **kwargs)
            self(f"after {function.__name__}")
            return result

        return call

    def set_up(self) -> None:
        """Put the points in place."""
        watched = {name: self.around(getattr(os, name)) for name in ("open", "write", "unlink")}
        watched_os = type("WatchedOS", (), {"__getattr__": lambda _, name: getattr(os, name)})()
        vars(watched_os).update(watched)
        execute = Scripted.execute

        def watched_execute(model: Any, *args: Any, **kwargs: Any) -> Any:
            self("before the model")
            for piece in execute(model, *args, **kwargs):
                yield piece
                self("after a piece")

        for owner, name, value in (
            (journal, "os", watched_os),
            (store.LogStore, "log", self.around(store.LogStore.log)),
            (store.LogStore, "append", self.around(store.LogStore.append)),
            (Scripted, "execute", watched_execute),
            (builtins, "point", self),
        ):
            setattr(owner, name, value)


def run(args: list[str], user_path: Path, last: int = 0, only: str = "") -> tuple[bool, str]:
    """Whether a command was killed, at the point `last`, and what it printed."""
    output = user_path / "output"
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status), output.read_text()
    os.environ["LLM_USER_PATH"] = str(user_path)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    Points(last, user_path / "died", only).set_up()
    try:
        cli(args)
    finally:
        sys.stdout.flush()
        os._exit(0)


def warm_up(user_path: Path) -> None:
    """Import, once for all forks, what such a command needs."""
    user_path.mkdir()
    os.environ["LLM_USER_PATH"] = str(user_path)
    for args in (["-m", "scripted", '[[["llm_version", {}]]]', "-T", "llm_version"], ["-c", "hi"]):
        CliRunner().invoke(cli, args, input="", catch_exceptions=False)


def main(folder: Path, plan: dict[str, Any]) -> None:
    """Kill the command at every point."""
    warm_up(folder / "warm")
    for number in itertools.count(1):
        user_path = folder / str(number)
        user_path.mkdir()
        runs = user_path / "runs"
        runs.touch()
        os.environ["RUNS"] = str(runs)
        for args in plan.get("before", ()):
            run(args, user_path, 2, "tool")
        was_killed, _ = run(plan["killed"], user_path, number)
        told: dict[str, Any] = {"runs": runs.read_text().split()}
        told["died"] = json.loads((user_path / "died").read_text()) if was_killed else None
        told["printed"] = [run(args, user_path)[1] for args in plan["after"]]
        told["all_runs"] = runs.read_text().split()
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        if not was_killed:
            return


if __name__ == "__main__":
    with registered():
        main(Path(sys.argv[1]), json.loads(sys.argv[2]))
