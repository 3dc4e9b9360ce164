"""Draws the rooms of the package, each on what it stands on, as the imports have it.

`docs/generate.py` writes the drawing into the page on the architecture, and compares it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.helpers.imports import IMPORTS, ROOMS, UPWARD, room


def stands_on() -> dict[str, set[str]]:
    """The rooms that each room imports, in functions and for types too."""
    below: dict[str, set[str]] = {name: set() for name in ROOMS}
    for found in IMPORTS:
        ours, theirs = room(found.importer), room(found.ours or "")
        is_edge = found.kind != "text" and (found.importer, found.ours) not in UPWARD
        if is_edge and ours and theirs and ours != theirs:
            below[ours].add(theirs)
    return below


def reachable(below: dict[str, set[str]]) -> dict[str, set[str]]:
    """Everything below each room."""
    found: dict[str, set[str]] = {}
    for name in ROOMS:
        found[name] = below[name].union(*(found[other] for other in below[name]))
    return found


def drawing() -> str:
    """A line for each room from the roof down: its floor, its name, what it stands on.

    What another of the named rooms stands on in its turn is left out.
    """
    below = stands_on()
    everything = reachable(below)
    floors: dict[str, int] = {}
    for name in ROOMS:
        floors[name] = 1 + max((floors[other] for other in below[name]), default=-1)
    lines = ["floor  room            stands on"]
    for name in sorted(ROOMS, key=lambda name: (-floors[name], name)):
        hidden = set().union(*(everything[other] for other in below[name]))
        direct = "  ".join(sorted(below[name] - hidden, key=ROOMS.index, reverse=True))
        lines.append(f"{floors[name]:5}  {name:14}  {direct}".rstrip())
    return "\n".join([*lines, ""])
