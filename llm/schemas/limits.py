"""A time limit on checking: some schemas take longer than anybody waits, in whatever thread.

What Python does is stopped from within: a profile function, which each thread has of its own, is
called at every call. The engine of regular expressions is one call that nothing stops, so what a
pattern may take for ever with is checked in a process of its own, which can be killed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from inspect import CO_GENERATOR
from types import FrameType
from typing import Any

#: The time for checking one answer, or one schema, in seconds.
LIMIT_S = 2.0
# What a process takes to begin, on a machine with much else to do.
_START_S = 20.0
# So many steps of the engine take a fraction of the limit.
_QUICK_STEPS = 10_000_000

_ESCAPED = re.compile(r"\\.", re.DOTALL)
_SET = re.compile(r"\[\^?\]?[^\]]*\]")
# A repeated group, a reference back, a look around: what may take more than a power of the length.
_HARD = re.compile(r"\)(?:[*+]|\{)|\(\?(?:P=|\(|=|!|<[=!])")
_LOOP = re.compile(r"[*+]|\{\d*,\d*\}|\)\?")
_BACK = re.compile(r"\\[1-9]")

_CHILD = """
import json, sys
given = json.load(sys.stdin)
sys.path[:] = given["path"]
from importlib import import_module
function = getattr(import_module(given["module"]), given["name"])
# What it imports does not count.
function(*given["rehearsal"])
try:
    import signal
    signal.setitimer(signal.ITIMER_REAL, given["limit_s"])
except (ImportError, AttributeError):
    pass
json.dump(function(*given["values"]), sys.stdout)
"""


class _TimeIsUp(BaseException):
    """Not to be caught by what is being stopped."""


@contextmanager
def time_limit(limit_s: float) -> Iterator[None]:
    """Stop Python code within the block that takes longer than so many seconds.

    In a program that is being profiled there is no limit.

    Raises:
        TimeoutError: It took longer.
    """
    if sys.getprofile() is not None:
        yield
        return
    end = time.monotonic() + limit_s

    def look(frame: FrameType, event: str, argument: object) -> None:
        # What is raised while a generator is thrown away is lost, and this function with it.
        is_safe = event in ("call", "c_call") and not frame.f_code.co_flags & CO_GENERATOR
        if is_safe and time.monotonic() > end:
            raise _TimeIsUp

    try:
        sys.setprofile(look)
        try:
            yield
        finally:
            sys.setprofile(None)
    except _TimeIsUp as error:
        raise TimeoutError(f"it takes longer than {limit_s:g} seconds") from error


def call_aside(
    limit_s: float, module: str, name: str, values: Sequence[object], rehearsal: Sequence[object]
) -> Any:
    """What a function gives that takes and gives JSON values, called in a process of its own.

    Args:
        limit_s: The longest time that the call may take, in seconds.
        module: Where the function is.
        name: Its name.
        values: What it is called with.
        rehearsal: Values that it is done with at once, for a call before the time counts.

    Raises:
        TimeoutError: It took longer, and was stopped.
        OSError: No process can be started.
    """
    call = {"module": module, "name": name, "values": values, "rehearsal": rehearsal}
    given = {**call, "limit_s": limit_s, "path": sys.path}
    command = [sys.executable or "python", "-c", _CHILD]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(given).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit_s + _START_S,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"it takes longer than {limit_s:g} seconds") from error
    if done.returncode < 0:
        raise TimeoutError(f"it takes longer than {limit_s:g} seconds")
    if done.returncode:
        raise OSError(f"the process that checks it ended with exit code {done.returncode}")
    return json.loads(done.stdout)


def are_quick(patterns: Iterable[str], value: object) -> bool:
    """Whether the engine is certainly done soon with all texts of a value.

    A loop over single characters can end at as many places as the text has characters, so two in a
    row take the square of its length at most; where a group is repeated there is no such bound.
    """
    most = 0
    for pattern in patterns:
        bare = _SET.sub("x", _ESCAPED.sub("x", pattern))
        if _HARD.search(bare) or _BACK.search(pattern):
            return False
        loops = len(_LOOP.findall(bare)) + (not pattern.startswith("^"))
        most = max(most, loops)
    return bool(sum(len(text) ** most for text in _texts(value)) <= _QUICK_STEPS)


def patterns_in(schema: object) -> set[str]:
    """The regular expressions in a schema, wherever they stand."""
    found: set[str] = set()
    for container in _containers(schema):
        if isinstance(container, dict):
            if isinstance(pattern := container.get("pattern"), str):
                found.add(pattern)
            if isinstance(patterns := container.get("patternProperties"), dict):
                found.update(key for key in patterns if isinstance(key, str))
    return found


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for container in _containers(value):
        if isinstance(container, dict):
            yield from (key for key in container if isinstance(key, str))
        items = container.values() if isinstance(container, dict) else container
        yield from (item for item in items if isinstance(item, str))


def _containers(value: object) -> Iterator[Any]:
    """The objects and lists of a JSON value, itself included, each once."""
    waiting, seen = [value], set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, (dict, list)) and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += found.values() if isinstance(found, dict) else found
