"""Tool loops that are killed anywhere: `-c` goes on, and runs no finished call again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

DYING_LLM = Path(__file__).parent / "helpers" / "dying_llm.py"
TOOLS = """
import os

def step(at: str) -> str:
    "Take a step"
    with open(os.environ["RUNS"], "a") as file:
        file.write(at + " ")
    point("tool")
    return at
"""


def step(at: str) -> list[object]:
    """A call of the tool."""
    return ["step", {"at": at}]


PROMPT = json.dumps([[step("a")], [step("b"), step("c")], "fine"])


@pytest.fixture
def tools(tmp_path: Path) -> list[str]:
    """The options that give the tool."""
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)
    return ["--functions", str(path)]


def killed_everywhere(folder: Path, **plan: list[Any]) -> list[dict[str, Any]]:
    """What became of a command that was killed at each of its points; see the helper."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(DYING_LLM), str(folder), json.dumps(plan)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_again(outcome: dict[str, Any]) -> list[str]:
    """The calls that had begun when the command was killed, and were run once more after it."""
    before, after = Counter(outcome["runs"]), Counter(outcome["all_runs"])
    return [name for name in before if after[name] > before[name]]


def is_in_a_tool(outcome: dict[str, Any]) -> bool:
    """Whether the command was killed before a call had finished and its result was written."""
    return outcome["died"] is not None and "tool" in outcome["died"]


@pytest.mark.parametrize("flags", [[], ["--async"]])
def test_killed_loop_is_taken_up_anywhere(
    tmp_path: Path, tools: list[str], flags: list[str]
) -> None:
    """Wherever the process dies, `-c` brings the loop to its end; only the call that it died in
    runs once more."""
    outcomes = killed_everywhere(
        tmp_path / "users",
        killed=["-m", "scripted", PROMPT, *tools, *flags],
        after=[["-c", *tools, *flags, "--allow", "step"]],
    )

    # Before the first piece of an answer is on disk there is no conversation to go on with.
    begun = [o for o in outcomes if "No key found" not in o["printed"][0]]
    assert len(outcomes) - len(begun) <= 7
    assert len(begun) > 50
    for outcome in begun:
        assert set(outcome["all_runs"]) == {"a", "b", "c"}, outcome
        # Where the last word was out already there is nothing left but to tell the results.
        assert outcome["printed"][0].endswith(("fine\n", "a; b; c\n")), outcome
        assert run_again(outcome) == (outcome["runs"][-1:] if is_in_a_tool(outcome) else [])


def test_killed_continuation_is_taken_up_anywhere(tmp_path: Path, tools: list[str]) -> None:
    """A command that takes up a killed loop may die itself, anywhere."""
    outcomes = killed_everywhere(
        tmp_path / "users",
        before=[["-m", "scripted", PROMPT, *tools]],
        killed=["-c", *tools, "--allow", "step"],
        after=[["-c", *tools, "--allow", "step"]],
    )

    assert len(outcomes) > 20
    for outcome in outcomes:
        assert outcome["runs"][:2] == ["a", "b"], outcome
        assert set(outcome["all_runs"]) == {"a", "b", "c"}, outcome
        assert Counter(outcome["all_runs"])["a"] == 1, outcome
        expected = outcome["runs"][-1:] if is_in_a_tool(outcome) else []
        # The call that the first command died in has to run in any case.
        assert run_again(outcome) == (expected or (["b"] if len(outcome["runs"]) == 2 else []))


DRAWING = """
import llm, os

def draw() -> llm.ToolOutput:
    "Draw"
    return llm.ToolOutput("drawn", [llm.Attachment(type="image/png", content=b"picture")])

def step(at: str) -> str:
    "Take a step"
    with open(os.environ["RUNS"], "a") as file:
        file.write(at + " ")
    point("tool")
    return at
"""


def test_files_of_tools_outlast_a_kill(tmp_path: Path) -> None:
    """A picture that a tool returned before the process died is shown to the model once."""
    path = tmp_path / "tools.py"
    path.write_text(DRAWING)
    prompt = json.dumps([[["draw", {}], step("b")], "fine"])
    outcomes = killed_everywhere(
        tmp_path / "users",
        killed=["-m", "scripted", prompt, "--functions", str(path)],
        after=[["-c", "--functions", str(path), "--allow", "*"], ["logs", "-n", "0", "--json"]],
    )

    drawn = [o for o in outcomes if o["runs"]]
    assert len(drawn) > 10
    for outcome in drawn:
        turns = json.loads(outcome["printed"][1])
        sent = [len(turn["attachments"]) for turn in turns]
        assert max(sent) == 1, (outcome["died"], sent)
