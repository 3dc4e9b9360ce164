"""Import path that plugins use for the migrations of the log database."""

from typing import TYPE_CHECKING

from ._lazy import attach

if TYPE_CHECKING:
    from .logs.file.migrations import migrate, migration

__all__ = ["migrate", "migration"]

__getattr__, __dir__ = attach(__name__, {"llm.logs.file.migrations": ("migrate", "migration")})
