"""Import path that plugins use for the migrations of the log database."""

from ._lazy import attach

__all__ = ["migrate"]

__getattr__, __dir__ = attach(__name__, {"migrate": "llm.logs.migrations"})
