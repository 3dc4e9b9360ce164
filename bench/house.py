"""How the house stands: its size, its circles, its private reaches, and the way of one prompt.

Everything is read from the source and from one traced run, so the figures are the same on every
machine. Run it with an environment that has the extra `dev`: `.venv/bin/python bench/house.py`.
Size has no limit of its own, since each ability needs room: the rooms are listed with theirs, the
largest first, so that what a change costs can be seen. With what 0.36 does, without its commands
for embeddings, the whole took 170,616 tokens in 32,188 lines.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from tests.helpers.imports import IMPORTS, UPWARD, circles  # noqa: E402
from tests.test_layers import package  # noqa: E402

PACKAGE = CHECKOUT / "llm"
MOST_COMPLEX = 10
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
#: Runs in a process of its own; prints the files of `llm` whose functions ran, and the moves
#: between them.
TRACED = """
import os, sys, tempfile, threading
os.environ["LLM_USER_PATH"] = tempfile.mkdtemp()
import llm
from llm.plugins import pm

class Echo(llm.Model):
    model_id = "echo"
    can_stream = True

    def execute(self, prompt, stream, response, conversation):
        yield "a "
        yield "b"

class Plugin:
    @llm.hookimpl
    def register_models(self, register):
        register(Echo())

pm.register(Plugin())
home = os.path.dirname(llm.__file__) + os.sep
thread = threading.get_ident()
entered, path = set(), []

def trace(frame, event, argument):
    code = frame.f_code
    is_ours = code.co_filename.startswith(home) and threading.get_ident() == thread
    if is_ours and code.co_name != "<module>":
        entered.add(code.co_filename)
        path.append(code.co_filename)

def run(*arguments):
    try:
        cli(list(arguments), standalone_mode=False)
    except SystemExit:
        pass

sys.stdout = open(os.devnull, "w")
if sys.argv[1] == "-c":
    from llm.cli import cli
    run("-m", "echo", "hi")
sys.settrace(trace)
from llm.cli import cli
run(*sys.argv[1:])
sys.settrace(None)
moves = sum(before != after for before, after in zip(path, path[1:]))
print(len(entered), moves, file=sys.stderr)
"""


class Row(NamedTuple):
    """One figure of the house, and what it may be at the most, if it has a limit."""

    name: str
    value: int
    limit: int | None


class Source(NamedTuple):
    """A file of the package."""

    path: Path
    text: str
    tree: ast.Module


def sources() -> list[Source]:
    """Every file of the package."""
    texts = [(path, path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
    return [Source(path, text, ast.parse(text)) for path, text in texts]


def code_tokens(source: Source) -> int:
    """Tokens of code: without comments, docstrings and the white space that Python counts."""
    docstrings = {
        (node.body[0].lineno, node.body[0].col_offset)
        for node in ast.walk(source.tree)
        if isinstance(node, DOCUMENTED) and node.body and ast.get_docstring(node) is not None
    }
    return sum(
        token.type not in NO_CODE
        and not (token.type == tokenize.STRING and token.start in docstrings)
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline)
    )


def annotated(source: Source) -> Iterator[str]:
    """The annotations of the parameters and results of every function."""
    for node in ast.walk(source.tree):
        if isinstance(node, FUNCTIONS):
            given = node.args
            parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            parameters += [star for star in (given.vararg, given.kwarg) if star is not None]
            found = [parameter.annotation for parameter in parameters] + [node.returns]
            yield from (ast.unparse(annotation) for annotation in found if annotation is not None)


def function_lines(source: Source) -> Iterator[int]:
    """The lines of every function, decorators left out."""
    for node in ast.walk(source.tree):
        if isinstance(node, FUNCTIONS):
            yield (node.end_lineno or 0) - node.lineno + 1


def largest_circle(name_of: Callable[[str], str], *kinds: str) -> int:
    """How many files, or packages, the largest circle of imports has; 0 where there is none."""
    found = circles(
        (name_of(one.importer), name_of(one.ours))
        for one in IMPORTS
        if one.kind in kinds and one.ours and (one.importer, one.ours) not in UPWARD
    )
    return len(found[0]) if found else 0


def tool(*arguments: str) -> str:
    """What a tool of the environment prints."""
    command = [sys.executable, "-m", *arguments, str(PACKAGE)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300).stdout


def private_reaches() -> int:
    """Places that reach for a private name of another object, as ruff counts them."""
    selected = ("--isolated", "--no-cache", "--select", "SLF001", "--output-format", "json")
    return len(json.loads(tool("ruff", "check", *selected)))


def complex_functions() -> int:
    """Functions and methods with more branches than the limit, as radon counts them."""
    blocks = json.loads(tool("radon", "cc", "--json"))
    return sum(
        block["complexity"] > MOST_COMPLEX and block["type"] != "class"
        for found in blocks.values()
        for block in found
    )


def traced(*arguments: str) -> tuple[int, int]:
    """Files of ours that a logged prompt enters, and how often it moves from one to another."""
    command = [sys.executable, "-c", TRACED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    entered, moves = done.stderr.split()[-2:]
    return int(entered), int(moves)


def room(path: Path) -> str:
    """The room that a file is in."""
    within = path.relative_to(PACKAGE)
    return f"{within.parts[0]}/" if len(within.parts) > 1 else "the ground floor"


def rows() -> Iterator[Row]:
    """The figures."""
    files = sources()
    lines = [len(source.text.splitlines()) for source in files]
    sizes = Counter[str]()
    for source in files:
        sizes[room(source.path)] += code_tokens(source)
    yield Row("tokens of code", sizes.total(), None)
    for name, size in sizes.most_common():
        yield Row(f"  {name}", size, None)
    yield Row("lines", sum(lines), None)
    yield Row("longest file", max(lines), 500)
    yield Row("longest function", max(n for one in files for n in function_lines(one)), 60)
    yield Row("largest circle of files, run time", largest_circle(str, "top", "function"), 0)
    yield Row(
        "largest circle of packages, all imports",
        largest_circle(package, "top", "function", "types"),
        0,
    )
    yield Row("upward imports by name", len(UPWARD), 3)
    yield Row("private reaches", private_reaches(), 60)
    named = [re.findall(r"^.*\bAny\b.*$", source.text, re.MULTILINE) for source in files]
    yield Row("lines with Any", sum(map(len, named)), 350)
    bare = sum(text == "Any" for source in files for text in annotated(source))
    yield Row("Any as parameter or result", bare, 80)
    yield Row(f"complexity above {MOST_COMPLEX}", complex_functions(), 0)
    entered, moves = traced("-m", "echo", "hi")
    yield Row("files that a logged prompt enters", entered, 45)
    yield Row("moves between files of a logged prompt", moves, 450)
    entered, moves = traced("-c", "hi")
    yield Row("files that a continued prompt enters", entered, 55)
    yield Row("moves between files of a continued prompt", moves, 500)
    yield Row("files on the ground floor", len(list(PACKAGE.glob("*.py"))), 20)
    yield Row("files of the log outside its rooms", len(list(PACKAGE.glob("logs/*.py"))) - 1, 0)


def main() -> int:
    """Print the figures; 1 where one is over its limit."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    over = 0
    for name, value, limit in rows():
        is_over = limit is not None and value > limit
        over += is_over
        most = "" if limit is None else f"   at most {limit:8,}{'   OVER' if is_over else ''}"
        print(f"{name:42} {value:8,}{most}")
    return min(over, 1)


if __name__ == "__main__":
    sys.exit(main())
