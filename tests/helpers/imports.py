"""Every import of the package, read from its syntax trees, and the circles that imports make."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import llm

PACKAGE = Path(llm.__file__).parent
# The rooms from the ground up: each imports only what stands above it in this list, in functions
# and for types too. A name stands for the module, or for the package with everything in it.
ROOMS = (
    *("_version", "_lazy", "errors", "text", "files", "net", "serialization", "content", "parts"),
    *("terminal", "schemas", "templates", "plugin_index", "tools", "models"),
    *("hookspecs", "plugins", "registry"),
    *("logs.file", "logs.records", "logs.older", "logs.read", "logs.write"),
    *("logs.exchange", "logs.rewrite", "logs.render", "logs", "database", "embeddings"),
    *("material", "documents", "prompting", "commands", "cli", "plugin_index.survey", "testing"),
    "__main__",
)
# Public methods that need what stands above them, each with its reason.
UPWARD: dict[tuple[str, str], str] = {
    ("models.response", "logs.write.store"): "Response.log_to_db is public since 0.4",
    ("models.response_base", "logs.read.rehydrate"): "Response.from_row is public since 0.4",
}


@dataclass(frozen=True)
class Import:
    """One import: who imports what, and when.

    Attributes:
        importer: The module that imports, by its name below `llm`.
        target: The module that is imported; of a module of ours the name with `llm.` in front.
        kind: `top` when the module is loaded, `function` when a function runs, `types` for the
            type checker alone, `text` for a name that is given to `import_module` or the like.
        line: Where it stands.
    """

    importer: str
    target: str
    kind: str
    line: int

    @property
    def ours(self) -> str | None:
        """The module below `llm` that is imported, `None` for other packages."""
        if self.target == "llm":
            return ""
        return self.target[4:] if self.target.startswith("llm.") else None

    def __str__(self) -> str:
        return f"llm.{self.importer}:{self.line} imports {self.target} ({self.kind})"


def module_name(path: Path) -> str:
    """The dotted name below the package, empty for the package itself."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def room(name: str) -> str | None:
    """The room of a module, `None` for doors and providers."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if (found := ".".join(parts[:count])) in ROOMS:
            return found
    return None


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_package(name: str) -> bool:
    """Whether a module has others below it."""
    return MODULES[name].name == "__init__.py"


def _statements(node: ast.AST, kind: str) -> Iterator[tuple[ast.AST, str]]:
    """Every import below a node, and every text that may name a module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for inner in child.body:
                yield from _statements(ast.Module([inner], []), "types")
            for inner in child.orelse:
                yield from _statements(ast.Module([inner], []), kind)
        elif isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, kind
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child, "text"
        else:
            is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            inside = "function" if is_function and kind == "top" else kind
            yield from _statements(child, inside)


def _targets(node: ast.AST, importer: str) -> list[str]:
    if isinstance(node, ast.Constant):
        name = str(node.value).partition(":")[0]
        is_module = name.startswith("llm.") and name[4:] in MODULES and " " not in name
        return [name] if is_module else []
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    base = node.module or ""
    if node.level:
        parts = ["llm", *filter(None, importer.split("."))]
        parts = parts[: len(parts) - node.level + is_package(importer)]
        base = ".".join([*parts, *filter(None, [node.module])])
    if base != "llm" and not base.startswith("llm."):
        return [f"{base}.{alias.name}" if base == "importlib" else base for alias in node.names]
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name[4:] in MODULES else base for name in names]


def imports_of(name: str) -> Iterator[Import]:
    """The imports of a module."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node, kind in _statements(tree, "top"):
        for target in _targets(node, name):
            yield Import(name, target, kind, getattr(node, "lineno", 0))


IMPORTS = [found for name in MODULES for found in imports_of(name)]


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The groups of nodes that reach each other, the largest first; none where there is no circle.

    Source: Tarjan's algorithm for strongly connected components, without recursion.
    """
    following: dict[str, list[str]] = {}
    for start, end in edges:
        if start != end:
            following.setdefault(start, []).append(end)
    found = [group for group in _components(following) if len(group) > 1]
    return sorted((sorted(group) for group in found), key=lambda group: (-len(group), group))


def _components(following: Mapping[str, list[str]]) -> Iterator[list[str]]:
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    for root in following:
        if root in number:
            continue
        work = [(root, iter(following.get(root, ())))]
        number[root] = lowest[root] = len(number)
        stack.append(root)
        while work:
            node, rest = work[-1]
            for target in rest:
                if target not in number:
                    number[target] = lowest[target] = len(number)
                    stack.append(target)
                    work.append((target, iter(following.get(target, ()))))
                    break
                if target in stack:
                    lowest[node] = min(lowest[node], number[target])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[node])
                if lowest[node] == number[node]:
                    place = stack.index(node)
                    yield stack[place:]
                    del stack[place:]
