"""The attribute `Options` of the model classes: made on first use, as each instance needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models.options import LazyOptions

if TYPE_CHECKING:
    from pydantic import BaseModel


def _plain_options() -> type[BaseModel]:
    from .options import build_options_class

    return build_options_class()


class FlaggedOptions(LazyOptions):
    """The `Options` of a class whose instances have different abilities.

    On the class it is the plain set; on an instance what its `_options_flags` ask for.
    """

    def __init__(self) -> None:
        super().__init__(_plain_options)

    def __get__(self, instance: object, owner: type | None = None) -> type[BaseModel]:
        from .options import build_options_class

        return build_options_class(**getattr(instance, "_options_flags", {}))


class CompletionOptions(FlaggedOptions):
    """The `Options` of `Completion`: with `logprobs`, unless other abilities are asked for."""

    def __get__(self, instance: object, owner: type | None = None) -> type[BaseModel]:
        from .options import completion_options

        if any(getattr(instance, "_options_flags", {}).values()):
            return super().__get__(instance, owner)
        return completion_options()
