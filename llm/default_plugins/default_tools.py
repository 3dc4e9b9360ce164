"""The default plugin that registers the built-in tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llm
from llm.tools import llm_time, llm_version

if TYPE_CHECKING:
    from llm.hookspecs import RegisterTool

__all__ = ["llm_time", "llm_version", "register_tools"]


@llm.hookimpl
def register_tools(register: RegisterTool) -> None:
    """Register `llm_version` and `llm_time`."""
    register(llm_version)
    register(llm_time)
