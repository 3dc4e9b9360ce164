"""Writes the type stubs of the modules that serve their names lazily.

A type checker cannot see through a module `__getattr__`; the stub beside it says the same in
import statements. `python -m tests.helpers.stubs` writes them, a test compares.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import llm
from llm._lazy import homes_of

ROOT = Path(llm.__file__).parents[1]
LAZY_MODULES = (
    "llm/__init__.py",
    "llm/default_plugins/openai_models.py",
    "llm/embeddings/__init__.py",
    "llm/models/__init__.py",
    "llm/testing/__init__.py",
    "llm/tools/__init__.py",
    "llm/utils.py",
)


def homes(tree: ast.Module) -> dict[str, str]:
    """What a lazy module gives `attach`, as a table: name -> `module` or `module:attribute`."""
    call = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "attach"
    )
    names_by_module = ast.literal_eval(call.args[1])
    others = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    return homes_of(names_by_module, **others)


def _at_once(tree: ast.Module) -> dict[str, str]:
    """The names that a lazy module imports as any other does: name -> `module:attribute`."""
    return {
        alias.name: f"{node.module}:{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for alias in node.names
        if node.module not in ("llm._lazy", "__future__", "typing")
    }


def _listed(tree: ast.Module) -> list[str]:
    """The statement that lists the public names of a lazy module, none where it has none."""
    return [
        json.dumps(ast.literal_eval(node.value)).replace("[", "__all__ = [")
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]


def stub(path: Path) -> str:
    """The text of the stub beside the lazy module at `path`."""
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = [f'"""Types of `{name}`, whose names are served lazily."""', ""]
    imports: dict[tuple[str, str], str] = {}
    renamed: list[str] = []
    for name, home in {**_at_once(tree), **homes(tree)}.items():
        module, _, attribute = home.partition(":")
        if attribute in ("", name):
            imports[module, name] = f"{name} as {name}"
        else:
            # An import under another name would hand nothing on.
            imports.setdefault((module, attribute), attribute)
            renamed.append(f"{name} = {attribute}")
    lines += [f"from {module} import {item}" for (module, _), item in sorted(imports.items())]
    return "\n".join([*lines, *renamed, *_listed(tree), *_defined(tree), ""])


def _defined(tree: ast.Module) -> list[str]:
    """The hooks that a lazy module defines by itself, without their bodies."""
    hooks = [
        f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}: ..."
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns is not None
    ]
    types = [
        ast.unparse(statement)
        for node in tree.body
        if isinstance(node, ast.If)
        for statement in node.body
    ]
    return [*types, *hooks] if hooks else []


def main() -> None:
    """Write every stub."""
    for name in LAZY_MODULES:
        path = ROOT / name
        path.with_suffix(".pyi").write_text(stub(path), encoding="utf-8")


if __name__ == "__main__":
    main()
