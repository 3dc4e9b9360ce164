"""Programs of users pass type checkers, and wrong ones do not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "tests" / "typing"
# As for an installed package, what is in `llm` itself is not told; no settings of this project.
MYPY = ("mypy", "--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary")
CHECKERS = [MYPY, ("pyright", "--pythonpath", sys.executable)]
WRONG = """\
import llm

model = llm.get_model()
model.prompt(5)
model.prompt("x", system=5)
model.prompt("x", fragments="text").text
model.chain("x", nosuch=1)
model.conversation(chain_limit="many")
number: int = model.prompt("x").text()
model.prompt("x").text().nosuch()
llm.get_async_model().prompt("x").text().upper()
model.conversation().prompt("x").nosuch()
llm.Tool(description="no name")
llm.nosuch
llm.parts.nosuch
llm.parts.TextPart(5)
"""


def check(checker: Sequence[str], *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run a type checker over programs."""
    command = [sys.executable, "-m", *checker, *map(str, paths)]
    env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker[0])
def test_typing_programs_of_users_pass(checker: Sequence[str]) -> None:
    """What the documentation shows is right for type checkers, too, which see the stubs."""
    done = check(checker, PROGRAMS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker[0])
def test_typing_finds_mistakes(checker: Sequence[str], tmp_path: Path) -> None:
    """Arguments and results have types: a mistake in their use is found, each in its line."""
    program = tmp_path / "wrong.py"
    program.write_text(WRONG, encoding="utf-8")
    done = check(checker, program)
    found = {int(number) for number in re.findall(r"wrong\.py:(\d+):.*error", done.stdout)}
    # A string is a sequence of strings.
    assert found == set(range(4, WRONG.count("\n") + 1)) - {6}, done.stdout + done.stderr
