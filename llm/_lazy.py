"""Names that a module serves on first use, so that importing it costs nothing (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


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


def for_hints(names: dict[str, object], homes: Mapping[str, str], **unions: str) -> None:
    """Let `typing.get_type_hints` find what a module imports for type checkers alone.

    It evaluates the names in the module; each stands for an expression that imports the type then.

    Args:
        names: `globals()` of the module.
        homes: The names, with blanks between them, by the module that each lives in; none where
            the module itself is meant.
        unions: Names that stand for one of several types: `module.Name | module.Name`.
    """
    for module, listed in homes.items():
        for name in listed.split():
            names.setdefault(name, _expression(module, name))
        if not listed:
            names.setdefault(module, Expression(_IMPORT.format(module)))
    for name, types in unions.items():
        parts = (part.rpartition(".") for part in types.split(" | "))
        text = " | ".join(_expression(module, part) for module, _, part in parts)
        names[name] = Expression(text)


def stand_ins(
    plugins: Mapping[str, Iterable[str]], mark: Callable[[Callable[..., object]], object]
) -> dict[str, ModuleType]:
    """For each of these plugins a module that imports it when one of its hooks is called.

    Args:
        plugins: The names of the functions that implement a hook, by the module that has them.
        mark: What marks such a function.
    """
    return {name: _stand_in(name, hooks, mark) for name, hooks in plugins.items()}


def _stand_in(
    name: str, hooks: Iterable[str], mark: Callable[[Callable[..., object]], object]
) -> ModuleType:
    def call(hook: str, argument: object) -> None:
        # The root group has a table of what the default plugins add to it.
        if name not in getattr(argument, "provides", ()):
            getattr(importlib.import_module(name), hook)(argument)

    def caller(hook: str) -> Callable[[object], None]:
        # The hooks know their arguments by name.
        if hook == "register_commands":
            return lambda cli: call(hook, cli)
        return lambda register: call(hook, register)

    module = type(sys)(name, f"Stands in for {name} until one of its hooks is called.")
    for hook in hooks:
        setattr(module, hook, mark(caller(hook)))
    return module


_IMPORT = "__import__('importlib').import_module({!r})"


def _expression(module: str, name: str) -> Expression:
    return Expression(f"{_IMPORT.format(module)}.{name}")


class Expression(str):
    """A type, as an expression that `typing` evaluates when somebody asks for type hints."""

    __slots__ = ()

    def __or__(self, other: object) -> object:
        from typing import Union

        return Union[self, other]

    def __ror__(self, other: object) -> object:
        from typing import Union

        return Union[other, self]

    def __getattr__(self, name: str) -> Expression:
        # Nor does it have the marks of hooks, which pluggy looks for on whatever is in a module.
        if name.startswith("_") or name.endswith(("_spec", "_impl")):
            raise AttributeError(name)
        return Expression(f"{self}.{name}")

    def __getitem__(self, item: object) -> str:
        if isinstance(item, (int, slice)):
            return super().__getitem__(item)
        # A class with parameters that cannot be written down is known without them.
        return Expression(f"{self}[{item}]" if isinstance(item, Expression) else self)


#: The types that the modules of `llm.models` name.
MODEL_TYPES: dict[str, object] = {}
for_hints(
    MODEL_TYPES,
    {
        "asyncio": "Future",
        "llm.models": """
        AfterCallAsync AfterCallSync AsyncChainResponse AsyncConversation AsyncEmbeddingModel
        AsyncResponse Attachment BeforeCallAsync BeforeCallSync ChainResponse Conversation
        EmbeddingModel NextPrompt Options Prompt Response ToolCall ToolDef ToolResult
        _AsyncModel _BaseChainResponse _BaseConversation _BaseModel _BaseResponse _Model
    """,
        "llm.models.message_chain": "GivenMessage",
        "llm.models.prompt": "AnyTool Schema",
        "llm.models.response_base": "ResponseLog",
        "llm.net.policy": "CallPolicy",
        "llm.tools.guarding": "Approve",
        "llm.parts": "Message",
        "llm.schemas.typed": "AnswerType",
        "llm.serialization": "ConversationDict ResponseDict UsageDict",
        "sqlite_utils": "Database",
        "typing_extensions": "Self TypedDict Unpack",
    },
    AnyConversation="llm.models._BaseConversation",
    # A dictionary for type checkers alone.
    PromptValues="typing.Any",
)
