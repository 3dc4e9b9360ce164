"""The layers: who may import whom, read from the syntax trees of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import llm

PACKAGE = Path(llm.__file__).parent

# From low to high. A name with a dot and a star stands for every module of a package.
LAYERS = (
    (
        "errors",
        "hookspecs",
        "config",
        "network",
        "permissions",
        "policy",
        "secrets",
        "_lazy",
        "_version",
    ),
    (
        *("parts", "content", "serialization", "schemas", "text", "media", "ids", "http"),
        *("terminal", "validation", "gitignore", "long_json"),
        *("plugins", "plugin_index", "http_log", "shown_body", "waiting", "model_defaults"),
    ),
    (
        *("tools.tool", "tools.toolbox", "tools.calling", "tools.running", "tools.builtin"),
        *("tools.limits", "tools.policy", "tools.signatures"),
        "models.*",
    ),
    ("registry", "registering"),
    (
        *("templates", "template_files", "fragments", "loaders"),
        *("tools.gather", "logs.*", "embeddings.*"),
    ),
    ("run.*",),
    ("commands.*", "providers.*"),
    ("cli", "__main__"),
)
# Modules that only hand names on under the import paths that plugins know.
COMPATIBILITY = (
    *("", "tools", "utils", "migrations", "embeddings_migrations"),
    *("default_plugins", "default_plugins.openai_models", "default_plugins.default_tools"),
    "default_plugins.local",
)
# Sideways, but between two packages of one layer.
SIDEWAYS = {("models", "tools")}

# Where a package may be imported at all; elsewhere its home has to be asked.
HOMES = {
    "click": (
        "cli",
        "__main__",
        "commands.",
        "providers.openai.commands",
        "providers.local.commands",
    ),
    # run.recorder only loads it early, while the network is waited for.
    "sqlite_utils": ("logs.", "embeddings.", "run.recorder"),
    "openai": ("providers.openai.client",),
    "xllamacpp": ("providers.local.engine",),
}
# Never at the top of a module: they cost more than the start of a command may.
HEAVY = {
    *("asyncio", "condense_json", "email", "filelock", "genai_prices", "httpx", "httpx2"),
    *("importlib.metadata", "jsonschema", "numpy", "openai", "prompt_toolkit", "puremagic"),
    *("pydantic", "rich", "sqlite_utils", "ulid", "urllib.request", "xllamacpp", "yaml"),
}
# Modules that are themselves loaded only by the function that needs the package.
LOADED_LAZILY = {
    "http_log": {"httpx2"},
    "providers.openai.client": {"httpx2"},
    "providers.openai.long_body": {"httpx2"},
    "templates": {"pydantic"},
}


@dataclass(frozen=True)
class Import:
    """One import: who imports what, and whether it happens when the module is loaded."""

    importer: str
    target: str
    at_top: bool
    line: int

    def __str__(self) -> str:
        return f"llm.{self.importer}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    """Return the dotted name below the package, empty for the package itself."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_type_checking(node: ast.AST) -> bool:
    """Return whether the node is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, at_top: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield every import below the node, except those for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for other in getattr(child, "orelse", []):
                yield from walk(other, at_top)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_top
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, at_top and not inside)


def targets(node: ast.Import | ast.ImportFrom, importer: str, is_package: bool) -> list[str]:
    """Return the absolute names that an import statement loads."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parts = ["llm", *filter(None, importer.split("."))]
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, *filter(None, [node.module])])
    if base == "llm" or base.startswith("llm."):
        below = base[4:]
        names = [f"{below}.{alias.name}".lstrip(".") for alias in node.names]
        return [f"llm.{name}" if name in MODULES else base for name in names]
    return [f"{base}.{alias.name}" if base == "importlib" else base for alias in node.names]


def imports_of(name: str) -> list[Import]:
    """Return the imports of a module."""
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    is_package = path.name == "__init__.py"
    return [
        Import(name, target, at_top, node.lineno)
        for node, at_top in walk(tree, at_top=True)
        for target in targets(node, name, is_package)
    ]


IMPORTS = [found for name in MODULES for found in imports_of(name)]


def layer(name: str) -> int | None:
    """Return the number of the layer of a module, None for the compatibility modules."""
    for number, patterns in enumerate(LAYERS):
        for pattern in patterns:
            package = pattern.removesuffix(".*")
            whole = pattern.endswith(".*")
            if name == package or (whole and name.startswith(package + ".")):
                return number
    return None


def package_of(name: str) -> str:
    """Return the package below `llm` in which a module lives; provider packages count apart."""
    parts = name.split(".")
    if parts[0] == "providers":
        return ".".join(parts[:2])
    return (
        parts[0] if parts[0] in ("models", "tools", "logs", "embeddings", "run", "commands") else ""
    )


def within(found: Import) -> str | None:
    """Return the name below `llm` of what is imported, None for other packages."""
    if found.target == "llm":
        return ""
    return found.target[4:] if found.target.startswith("llm.") else None


def is_allowed(found: Import) -> bool:
    """Return whether an import at the top of a module keeps to the layers."""
    target = within(found)
    if target is None:
        return True
    ours, theirs = layer(found.importer), layer(target)
    if target == "":
        return True
    if ours is None:
        return found.importer != "" or target in ("_lazy", "_version")
    if theirs is None:
        return False
    if theirs != ours:
        return theirs < ours
    edge = (package_of(found.importer), package_of(target))
    return edge[0] == edge[1] or edge in SIDEWAYS


def matches(name: str, homes: tuple[str, ...]) -> bool:
    """Return whether a module is one of the homes; a home that ends in a dot is a package."""
    return any(
        name == home.rstrip(".") or (home.endswith(".") and name.startswith(home)) for home in homes
    )


def test_layers_name_every_module() -> None:
    """Every module has a place in the table, so a new one is put somewhere on purpose."""
    unplaced = [name for name in MODULES if layer(name) is None and name not in COMPATIBILITY]
    assert unplaced == []


def test_layers_hold_for_imports_at_the_top() -> None:
    """A module imports, when it is loaded, only lower layers and its own package."""
    wrong = [str(found) for found in IMPORTS if found.at_top and not is_allowed(found)]
    assert wrong == []


def test_layers_compatibility_modules_define_nothing() -> None:
    """The modules kept for their import paths define nothing, except the hooks of a plugin."""
    defined = [
        f"llm.{name}: {node.name}"
        for name in COMPATIBILITY
        if name in MODULES
        for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.name not in ("__getattr__", "__dir__")
        and not node.name.startswith("register_")
    ]
    assert defined == []


def test_layers_nothing_imports_a_provider() -> None:
    """Providers are loaded by name, as guests are; only the import paths of plugins name them."""
    wrong = [
        str(found)
        for found in IMPORTS
        if (within(found) or "").startswith("providers.")
        and package_of(within(found) or "") != package_of(found.importer)
        and not found.importer.startswith("default_plugins")
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted(HOMES))
def test_layers_package_stays_in_its_home(package: str) -> None:
    """The packages with a home are imported nowhere else, not even inside functions."""
    wrong = [
        str(found)
        for found in IMPORTS
        if found.target.split(".")[0] == package and not matches(found.importer, HOMES[package])
    ]
    assert wrong == []


def test_layers_heavy_packages_are_imported_in_functions() -> None:
    """Loading a module never loads a package that costs more than a quick command."""
    wrong = [
        str(found)
        for found in IMPORTS
        if found.at_top
        and any(found.target == heavy or found.target.startswith(heavy + ".") for heavy in HEAVY)
        and found.target.split(".")[0] not in LOADED_LAZILY.get(found.importer, set())
    ]
    assert wrong == []


def own_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body, without the classes that it makes."""
    classes = [child for child in node.body if isinstance(child, ast.ClassDef)]
    lines = (node.end_lineno or 0) - node.body[0].lineno + 1
    return lines - sum((child.end_lineno or 0) - child.lineno + 1 for child in classes)


def test_layers_modules_and_functions_stay_small() -> None:
    """No function body has more than sixty lines, and half of them have ten or fewer."""
    lengths = {
        f"llm.{name}:{node.name}": own_lines(node)
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 10
