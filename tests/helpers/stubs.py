"""Writes the type stubs of the modules that serve their names lazily.

A type checker cannot see through a module `__getattr__`; the stub beside it says the same in
import statements. `python -m tests.helpers.stubs` writes them, a test compares.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LAZY_MODULES = (
    "llm/__init__.py",
    "llm/embeddings/__init__.py",
    "llm/models/__init__.py",
    "llm/tools/__init__.py",
    "llm/utils.py",
)


def homes(path: Path) -> dict[str, str]:
    """The table of a lazy module: name -> `module:attribute`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    call = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "attach"
    )
    return _table(call.args[1])


def _table(node: ast.expr) -> dict[str, str]:
    if isinstance(node, ast.Call):
        groups = ast.literal_eval(node.args[0])
        return {name: f"{home}:{name}" for home, names in groups.items() for name in names}
    assert isinstance(node, ast.Dict)
    table: dict[str, str] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            table |= _table(value)
        else:
            table[ast.literal_eval(key)] = ast.literal_eval(value)
    return table


def stub(path: Path) -> str:
    """The text of the stub beside the lazy module at `path`."""
    name = path.relative_to(ROOT).as_posix()
    lines = [f'"""Types of `{name}`, whose names are served lazily."""', ""]
    by_module: dict[str, list[str]] = {}
    for name, home in homes(path).items():
        module, _, attribute = home.partition(":")
        by_module.setdefault(module, []).append(f"{attribute or name} as {name}")
    for module in sorted(by_module):
        lines += [f"from {module} import {item}" for item in sorted(by_module[module])]
    return "\n".join([*lines, ""])


def main() -> None:
    """Write every stub."""
    for name in LAZY_MODULES:
        path = ROOT / name
        path.with_suffix(".pyi").write_text(stub(path), encoding="utf-8")


if __name__ == "__main__":
    main()
