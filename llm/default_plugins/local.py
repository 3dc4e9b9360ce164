"""Local models as a default plugin; what it registers is in `llm.providers.local`."""

from llm.providers.local.plugin import register_commands, register_models

__all__ = ["register_commands", "register_models"]
