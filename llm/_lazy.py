"""Names that a module serves on first use, so that importing it costs nothing (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping


def attach(
    module: str, names_by_module: Mapping[str, Iterable[str]], **others: str
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` that make `module` serve names kept elsewhere.

    Args:
        module: `__name__` of the serving module.
        names_by_module: The names by the module that each lives in; below `module` itself stand
            those of its submodules.
        others: For each further name its module, or `module:attribute` where the two differ.
    """
    homes = homes_of(names_by_module, **others)

    def __getattr__(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        path, _, attribute = home.partition(":")
        if path == module:
            return importlib.import_module(f"{path}.{name}")
        value: object = getattr(importlib.import_module(path), attribute or name)
        # Keep it as a plain attribute: faster next time, and replaceable by plugins.
        setattr(sys.modules[module], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[module]), *homes})

    return __getattr__, __dir__


def homes_of(names_by_module: Mapping[str, Iterable[str]], **others: str) -> dict[str, str]:
    """Where each of these names lives; the arguments are those of `attach`."""
    found = {name: module for module, names in names_by_module.items() for name in names}
    return {**found, **others}
