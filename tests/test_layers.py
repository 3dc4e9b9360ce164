"""The layers: who may import whom, read from every import of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .helpers.imports import (
    IMPORTS,
    MODULES,
    PACKAGE,
    ROOMS,
    UPWARD,
    Import,
    circles,
    is_package,
    room,
)

# Import paths that plugins know: they only hand names on, and nothing of ours asks them.
DOORS = ("", "utils", "migrations", "embeddings_migrations", "default_plugins")
# Upward edges and circles that are still to be cut.
REMAINING: set[tuple[str, str]] = set()
# Where a package may be imported at all; elsewhere its home has to be asked. A name that ends in a
# dot is a package.
HOMES = {
    "click": (
        "cli",
        "__main__",
        "commands.",
        "plugin_index.survey.",
        "testing.command",
        "providers.openai.commands.",
        "providers.local.commands",
    ),
    # prompting.recorder only loads it early, while the network is waited for.
    "sqlite_utils": ("logs.", "database", "embeddings.", "prompting.recorder"),
    "openai": ("providers.openai.transport.sdk",),
    "xllamacpp": ("providers.local.engine",),
}
# Never at the top of a module: they cost more than the start of a command may.
HEAVY = {
    *("asyncio", "condense_json", "email", "filelock", "genai_prices", "httpx", "httpx2"),
    *("importlib.metadata", "jsonschema", "numpy", "openai", "prompt_toolkit", "puremagic"),
    *("pydantic", "rich", "sqlite_utils", "ulid", "urllib.request", "xllamacpp", "yaml"),
    "http.client",
}
# Modules that are themselves loaded only by the function that needs the package.
LOADED_LAZILY = {
    "net.http_log": {"httpx2"},
    "plugin_index.finding": {"importlib"},
    "providers.openai.transport.sdk": {"httpx2"},
    "providers.openai.transport.long_body": {"httpx2"},
    "providers.openai.transport.plain": {"http"},
    "templates": {"pydantic"},
    "testing.watching": {"asyncio"},
}
# Places in the code that reach for a `_name` of another module's object (ruff's SLF001).
MOST_PRIVATE_REACHES = 20


def package(name: str) -> str:
    """The package of a module; on the ground floor each module stands for itself."""
    above = name.rpartition(".")[0]
    return name if is_package(name) or not above else above


def edges(*kinds: str) -> list[Import]:
    """Imports of some kinds from one module of ours to another, doors left out."""
    return [
        found
        for found in IMPORTS
        if found.kind in kinds and found.ours and found.importer.split(".")[0] not in DOORS
    ]


def is_upward(found: Import) -> bool:
    """Whether an import goes to a room that stands above."""
    ours, theirs = room(found.importer), room(found.ours or "")
    if ours is None or theirs is None or ours == theirs:
        return False
    return ROOMS.index(theirs) > ROOMS.index(ours)


def matches(name: str, homes: tuple[str, ...]) -> bool:
    """Whether a module is one of the homes."""
    return any(
        name == home.rstrip(".") or (home.endswith(".") and name.startswith(home)) for home in homes
    )


def test_layers_name_every_module() -> None:
    """Every module has a place in the list, so a new one is put somewhere on purpose."""
    unplaced = [
        name
        for name in MODULES
        if room(name) is None and name.split(".")[0] not in (*DOORS, "providers", "apps")
    ]
    assert unplaced == []


def test_layers_hold_for_every_import() -> None:
    """A module imports lower rooms and its own, in functions and for types too."""
    wrong = {
        (found.importer, found.ours): str(found)
        for found in edges("top", "function", "types")
        if is_upward(found) and (found.importer, found.ours) not in REMAINING
    }
    assert {edge: text for edge, text in wrong.items() if edge not in UPWARD} == {}
    assert [edge for edge in UPWARD if edge not in wrong] == []


def test_layers_have_no_circle() -> None:
    """No files import each other in a circle, and no packages, even counting types between them."""
    run_time = [
        (found.importer, str(found.ours))
        for found in edges("top", "function")
        if (found.importer, found.ours) not in {*UPWARD, *REMAINING}
    ]
    assert circles(run_time) == []
    between = [
        (package(found.importer), package(str(found.ours)))
        for found in edges("top", "function", "types")
        if (found.importer, found.ours) not in {*UPWARD, *REMAINING}
    ]
    assert circles(between) == []


def test_layers_doors_define_nothing() -> None:
    """The modules kept for their import paths define nothing, except the hooks of a plugin."""
    defined = [
        f"llm.{name}: {node.name}"
        for name in MODULES
        if name.split(".")[0] in DOORS
        for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and node.name not in ("__getattr__", "__dir__")
        and not node.name.startswith("register_")
    ]
    assert defined == []


def test_layers_nothing_imports_a_provider() -> None:
    """Providers are loaded by name, as guests are; only the import paths of plugins name them."""
    wrong = [
        str(found)
        for found in IMPORTS
        if (found.ours or "").startswith("providers.")
        and found.importer.split(".")[:2] != (found.ours or "").split(".")[:2]
        and found.importer.split(".")[0] not in (*DOORS, "cli")
        and (found.importer, found.ours) not in REMAINING
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted(HOMES))
def test_layers_package_stays_in_its_home(package: str) -> None:
    """The packages with a home are imported nowhere else, not even inside functions."""
    wrong = [
        str(found)
        for found in IMPORTS
        if found.kind != "types"
        and found.target.split(".")[0] == package
        and not matches(found.importer, HOMES[package])
    ]
    assert wrong == []


def test_layers_heavy_packages_are_imported_in_functions() -> None:
    """Loading a module never loads a package that costs more than a quick command."""
    wrong = [
        str(found)
        for found in IMPORTS
        if found.kind == "top"
        and any(found.target == heavy or found.target.startswith(heavy + ".") for heavy in HEAVY)
        and found.target.split(".")[0] not in LOADED_LAZILY.get(found.importer, set())
    ]
    assert wrong == []


def own_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body, without the classes that it makes."""
    classes = [child for child in node.body if isinstance(child, ast.ClassDef)]
    lines = (node.end_lineno or 0) - node.body[0].lineno + 1
    return lines - sum((child.end_lineno or 0) - child.lineno + 1 for child in classes)


def test_layers_modules_and_functions_stay_small() -> None:
    """No file has more than 500 lines, no function more than 60; half of them have ten or fewer."""
    files = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()
    }
    assert {name: count for name, count in files.items() if count > 500} == {}
    lengths = {
        f"llm.{name}:{node.name}": own_lines(node)
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 10


def test_layers_ground_floor_keeps_the_doors() -> None:
    """The ground floor has at most twenty files, and what belongs to the log is in its rooms."""
    assert len([name for name, path in MODULES.items() if path.parent == PACKAGE]) <= 20
    assert [path.name for path in sorted(Path(PACKAGE, "logs").glob("*.py"))] == ["__init__.py"]


def test_layers_private_reaches_stay_few() -> None:
    """Few places reach for a private name of another module's object."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "SLF001"]
    done = subprocess.run(
        [*command, "--output-format", "concise", str(PACKAGE)], capture_output=True, text=True
    )
    assert done.stdout.count("SLF001") <= MOST_PRIVATE_REACHES, done.stdout
