"""A server on loopback that speaks the OpenAI API with answers that the test has written.

`OpenAIServer` gives its answers in the order in which they were put in and keeps every request.
An answer may be broken in each of the ways in which connections break.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from .authority import Authority


@dataclass
class Reply:
    """One scripted answer.

    Args:
        status: The HTTP status.
        headers: Headers beside the content type.
        pieces: The body; each piece goes out at once. An Event is waited for.
        content_type: `application/json` or `text/event-stream`.
        chunked: Use chunked transfer coding; else the end of the connection ends the body.
        reset: Reset the connection after the last piece (no FIN).
        truncate: Close without the last, empty chunk.
        keep_alive: Leave the connection open for the next request.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes | threading.Event] = field(default_factory=list)
    content_type: str = "application/json"
    chunked: bool = True
    reset: bool = False
    truncate: bool = False
    keep_alive: bool = False


@dataclass
class Received:
    """A request as it arrived; `headers` by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


def json_reply(value: Any, status: int = 200, **more: Any) -> Reply:
    """A whole JSON body."""
    return Reply(status=status, pieces=[json.dumps(value).encode()], **more)


def error_reply(
    status: int, message: str, headers: dict[str, str] | None = None, **more: Any
) -> Reply:
    """An error as the API words it; `more` are further fields of the error object."""
    return json_reply({"error": {"message": message, **more}}, status, headers=headers or {})


def sse_reply(values: Iterable[Any], done: bool = True, **more: Any) -> Reply:
    """An event stream of JSON values, with the end marker unless `done` is false."""
    pieces: list[bytes | threading.Event] = [
        b"data: " + json.dumps(value).encode() + b"\n\n" for value in values
    ]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return Reply(pieces=pieces, content_type="text/event-stream", **more)


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    """A chunk of a streamed chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "served-model",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
        **more,
    }


def text_stream(*texts: str, usage: dict[str, Any] | None = None) -> Reply:
    """A streamed chat completion of these texts."""
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": text}) for text in texts]
    chunks.append(chunk(finish="stop"))
    if usage:
        chunks.append({**chunk(), "choices": [], "usage": usage})
    return sse_reply(chunks)


def tool_call_stream(*calls: tuple[str, dict[str, Any]]) -> Reply:
    """A streamed chat completion that asks for tool calls, each a name and its arguments."""
    delta = {"role": "assistant", "tool_calls": _wanted(calls)}
    return sse_reply([chunk(delta), chunk(finish="tool_calls")])


def tool_call_reply(*calls: tuple[str, dict[str, Any]]) -> Reply:
    """The same in one piece."""
    return json_reply(completion({"content": None, "tool_calls": _wanted(calls)}, "tool_calls"))


def _wanted(calls: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for index, (name, arguments) in enumerate(calls)
    ]


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A whole chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "served-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        ],
        **more,
    }


class OpenAIServer:
    """The server; use it in a `with` statement.

    It may stand at the far end of a proxy, too: asked for a tunnel to any host, it speaks for that
    host, by TLS if there is an authority to vouch for it.

    Args:
        authority: Vouches for the hosts.

    Attributes:
        tunnels: The hosts, with their ports, to which tunnels were asked for.
    """

    def __init__(self, authority: Authority | None = None) -> None:
        self.authority = authority
        self.tunnels: list[str] = []
        self.replies: list[Reply] = []
        self.requests: list[Received] = []
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def add(self, *replies: Reply) -> None:
        """Put answers at the end of the script."""
        self.replies.extend(replies)

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

    def reply_to(self, received: Received) -> Reply:
        """The next answer of the script; the request is kept."""
        self.requests.append(received)
        if not self.replies:
            return error_reply(500, "no answer is scripted", {"x-should-retry": "false"})
        return self.replies.pop(0)

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.requests[-1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    owner: OpenAIServer
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_CONNECT(self) -> None:
        """Open a tunnel, and speak through it for the host at its end."""
        owner = self.server.owner
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

    def _answer(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(size)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(raw) if raw else None
        self._send(self.server.owner.reply_to(Received(self.command, self.path, headers, body)))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if not (reply.keep_alive and reply.chunked):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        for piece in reply.pieces:
            if isinstance(piece, threading.Event):
                piece.wait(10)
            else:
                self._write(piece, reply.chunked)
        if reply.reset:
            self._reset()
        elif reply.chunked and not reply.truncate:
            self.wfile.write(b"0\r\n\r\n")
        if reply.truncate:
            self.close_connection = True

    def _write(self, piece: bytes, chunked: bool) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()

    def _reset(self) -> None:
        """Close so that the client sees a reset, as from a machine that fell over."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
