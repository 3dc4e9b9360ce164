"""Guests: providers and apps of the house use what a plugin may use, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .helpers.imports import IMPORTS, PACKAGE, Import

# The rooms in which guests live, each folder of them a guest.
ROOMS = ("providers", "apps")
# Beside `import llm` itself: modules that plugins import from, see docs/reference/python-api.md.
DOORS = {"llm", "llm.errors", "llm.hookspecs", "llm.parts", "llm.serialization", "llm.utils"}
# The import paths of guests that plugins knew before the guests had a room of their own.
OWN_DOORS = {"llm.default_plugins.openai_models": "providers.openai"}
# What names a guest: import paths that plugins know, and the table of the commands.
HOSTS = {"default_plugins", "cli"}


def guest(name: str) -> str | None:
    """The guest that a module below `llm` belongs to, such as `providers.openai`."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ROOMS and len(parts) > 1 else None


def is_allowed(found: Import) -> bool:
    """Whether a guest may import this: another package, a door, or a file of its own."""
    if found.ours is None or found.target in DOORS:
        return True
    theirs = OWN_DOORS.get(found.target) or guest(found.ours)
    return theirs == guest(found.importer)


def test_guests_import_public_names_alone() -> None:
    """In functions, for types and as texts for `import_module`, too: doors and their own files."""
    wrong = [str(found) for found in IMPORTS if guest(found.importer) and not is_allowed(found)]
    assert wrong == []


def test_guests_are_loaded_by_name() -> None:
    """Nothing imports a guest, but for doors that hand its names on and the list of commands."""
    wrong = [
        str(found)
        for found in IMPORTS
        if (theirs := guest(found.ours or ""))
        and theirs != guest(found.importer)
        and found.importer.split(".")[0] not in HOSTS
    ]
    assert wrong == []


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_guests_touch_no_private_names(room: str) -> None:
    """A guest reaches for no `_name` of another object, as ruff's SLF001 finds them."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "SLF001"]
    done = subprocess.run([*command, str(PACKAGE / room)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_guests_rule_finds_what_it_forbids() -> None:
    """The rule tells a door from a room, and one guest from another."""
    allowed = [
        Import("providers.a.x", "llm.parts", "top", 1),
        Import("providers.a.x", "llm.providers.a.y", "text", 1),
        Import("apps.serve", "click", "function", 1),
    ]
    forbidden = [
        Import("providers.a.x", "llm.net.policy", "types", 1),
        Import("providers.a.x", "llm.providers.b", "function", 1),
        Import("apps.serve", "llm.commands.chat", "text", 1),
    ]
    assert all(map(is_allowed, allowed))
    assert not any(map(is_allowed, forbidden))
