"""The loopback server of `llm.testing`, which may also stand at the far end of a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm import ToolCall
from llm.testing import openai_server
from llm.testing.openai_server import (
    Handler,
    Received,
    Reply,
    chat_reply,
    chat_stream,
    chunk,
    completion,
    error_reply,
    json_reply,
    sse_reply,
)

if TYPE_CHECKING:
    from .authority import Authority

__all__ = [
    "OpenAIServer",
    "Received",
    "Reply",
    "chunk",
    "completion",
    "error_reply",
    "json_reply",
    "sse_reply",
    "text_stream",
    "tool_call_reply",
    "tool_call_stream",
]


def text_stream(*texts: str, usage: dict[str, Any] | None = None) -> Reply:
    """A streamed chat completion of these texts."""
    return chat_stream(texts, usage=usage)


def tool_call_stream(*calls: tuple[str, dict[str, Any]]) -> Reply:
    """A streamed chat completion that asks for tool calls, each a name and its arguments."""
    return chat_stream((), [ToolCall(*call) for call in calls])


def tool_call_reply(*calls: tuple[str, dict[str, Any]]) -> Reply:
    """The same in one piece."""
    return chat_reply((), [ToolCall(*call) for call in calls])


class _TunnelHandler(Handler):
    """Opens tunnels, too."""

    def do_CONNECT(self) -> None:
        """Open a tunnel, and speak through it for the host at its end."""
        owner = self.server.owner
        assert isinstance(owner, OpenAIServer)
        owner.tunnels.append(self.path)
        self.send_response(200, "Connection established")
        self.end_headers()
        if owner.authority is not None:
            context = owner.authority.context(self.path.rpartition(":")[0])
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def finish(self) -> None:
        """Close the tunnel, which nobody else knows of."""
        super().finish()
        if self.connection is not self.request:
            self.connection.close()


class OpenAIServer(openai_server.OpenAIServer):
    """The server; use it in a `with` statement.

    Asked for a tunnel to any host, it speaks for that host, by TLS if there is an authority to
    vouch for it.

    Args:
        authority: Vouches for the hosts.

    Attributes:
        tunnels: The hosts, with their ports, to which tunnels were asked for.
    """

    handler = _TunnelHandler

    def __init__(self, authority: Authority | None = None) -> None:
        super().__init__()
        self.authority = authority
        self.tunnels: list[str] = []

    def speak_tls(self) -> str:
        """Speak TLS from now on, as 127.0.0.1; returns the new base URL."""
        assert self.authority is not None
        context = self.authority.context("127.0.0.1")
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        return self.url.replace("http://", "https://")

    @property
    def proxy_url(self) -> str:
        """The address of the server as that of a proxy."""
        return self.url.removesuffix("/v1")
