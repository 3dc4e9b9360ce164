"""Chains: a prompt, and the further prompts that its tool calls lead to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar, Union

from ..tools.calling import ToolCall, ToolResult
from ..tools.tool import Tool
from .async_response import AsyncResponse
from .prompt import Prompt
from .response import Response, _BaseResponse

if TYPE_CHECKING:
    from .base import _BaseModel
    from .conversation import _BaseConversation

BeforeCallSync = Callable[[Optional[Tool], ToolCall], None]
AfterCallSync = Callable[[Tool, ToolCall, ToolResult], None]
BeforeCallAsync = Callable[[Optional[Tool], ToolCall], Union[None, Awaitable[None]]]
AfterCallAsync = Callable[[Tool, ToolCall, ToolResult], Union[None, Awaitable[None]]]

R = TypeVar("R", bound=_BaseResponse)


class _BaseChainResponse(Generic[R]):
    """What a chain is made of.

    Args:
        prompt: The first prompt.
        model: The model that answers all of them.
        stream: Ask the provider for the answers piece by piece.
        conversation: The conversation that takes up the responses.
        key: A key, or the name of a stored one.
        chain_limit: The most responses that the chain may take; no limit for 0.
        before_call: Called before each tool call.
        after_call: Called after each tool call.
    """

    def __init__(
        self,
        prompt: Prompt,
        model: _BaseModel,
        stream: bool,
        conversation: _BaseConversation[R],
        key: str | None = None,
        chain_limit: int | None = 10,
        before_call: Callable[..., Any] | None = None,
        after_call: Callable[..., Any] | None = None,
    ) -> None:
        self.prompt = prompt
        self.model = model
        self.stream = stream
        self.conversation = conversation
        self._key = key
        self.chain_limit = chain_limit
        self.before_call = before_call
        self.after_call = after_call
        self._responses: list[R] = []


class ChainResponse(_BaseChainResponse[Response]):
    """A chain with a synchronous model."""


class AsyncChainResponse(_BaseChainResponse[AsyncResponse]):
    """A chain with an asynchronous model."""
