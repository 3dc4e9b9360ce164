"""A server on loopback that speaks the OpenAI API with answers that a test has written.

`OpenAIServer` gives its answers in the order in which they were put in and keeps every request.
An answer may be broken in each of the ways in which connections break.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias

from ..text import JSONObject
from ..tools.calling import ToolCall

if TYPE_CHECKING:
    from typing_extensions import Self


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
    """A request as it arrived; `headers` by lower-case name, `body` as JSON gives it."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


#: What may be scripted: texts and tool calls are sent as the request wants it, streamed or whole.
Answer: TypeAlias = Reply | str | ToolCall | Sequence[str | ToolCall]


def json_reply(
    value: object, status: int = 200, *, headers: dict[str, str] | None = None, **more: bool
) -> Reply:
    """A whole JSON body; `more` are flags of `Reply`."""
    return _with(Reply(status, headers or {}, [json.dumps(value).encode()]), more)


def error_reply(
    status: int, message: str, headers: dict[str, str] | None = None, **more: object
) -> Reply:
    """An error as the API words it; `more` are further fields of the error object."""
    return json_reply({"error": {"message": message, **more}}, status, headers=headers)


def sse_reply(values: Iterable[object], done: bool = True, **more: bool) -> Reply:
    """An event stream of JSON values, with the end marker unless `done` is false."""
    pieces: list[bytes | threading.Event] = [
        b"data: " + json.dumps(value).encode() + b"\n\n" for value in values
    ]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return _with(Reply(pieces=pieces, content_type="text/event-stream"), more)


def _with(reply: Reply, flags: dict[str, bool]) -> Reply:
    vars(reply).update(flags)
    return reply


def chunk(delta: JSONObject | None = None, finish: str | None = None, **more: object) -> JSONObject:
    """A chunk of a streamed chat completion."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {**_head("chat.completion.chunk"), "choices": [choice], **more}


def completion(message: JSONObject, finish: str = "stop", **more: object) -> JSONObject:
    """A whole chat completion."""
    said = {"role": "assistant", **message}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return {**_head("chat.completion"), "choices": [choice], **more}


def _head(kind: str) -> JSONObject:
    return {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": "served-model"}


def chat_stream(
    texts: Iterable[str], calls: Iterable[ToolCall] = (), usage: JSONObject | None = None
) -> Reply:
    """A streamed chat completion of these texts, which ends in these tool calls."""
    wanted = _wanted(calls)
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": text}) for text in texts]
    if wanted:
        chunks.append(chunk({"tool_calls": wanted}))
    chunks.append(chunk(finish="tool_calls" if wanted else "stop"))
    if usage:
        chunks.append({**chunk(), "choices": [], "usage": usage})
    return sse_reply(chunks)


def chat_reply(
    texts: Iterable[str], calls: Iterable[ToolCall] = (), usage: JSONObject | None = None
) -> Reply:
    """The same in one piece."""
    said: JSONObject = {"content": "".join(texts) or None}
    if wanted := _wanted(calls):
        said["tool_calls"] = wanted
    more = {"usage": usage} if usage else {}
    return json_reply(completion(said, "tool_calls" if wanted else "stop", **more))


def _wanted(calls: Iterable[ToolCall]) -> list[JSONObject]:
    return [
        {
            "index": index,
            "id": call.tool_call_id or f"call_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(calls)
    ]


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_POST(self) -> None:
        """Answer."""
        self._answer()

    def _answer(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(size)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(raw) if raw else None
        self._send(self.server.owner.reply_to(Received(self.command, self.path, headers, body)))

    def _send(self, reply: Reply) -> None:
        self._begin(reply)
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

    def _begin(self, reply: Reply) -> None:
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

    def _write(self, piece: bytes, chunked: bool) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()

    def _reset(self) -> None:
        """Close so that the client sees a reset, as from a machine that fell over."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


class OpenAIServer:
    """The server; use it in a `with` statement.

    Args:
        answers: The first answers; `add` puts more at the end.

    Attributes:
        replies: What is still to be answered.
        requests: Every request so far, the latest last.

    Example:
        >>> import httpx2
        >>> with OpenAIServer("Hello") as server:
        ...     asked = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}
        ...     answer = httpx2.post(f"{server.url}/chat/completions", json=asked).json()
        >>> answer["choices"][0]["message"]["content"], server.last.body["model"]
        ('Hello', 'any')
    """

    handler: type[Handler] = Handler

    def __init__(self, *answers: Answer) -> None:
        self.replies: list[Answer] = list(answers)
        self.requests: list[Received] = []
        self._http = _Server(("127.0.0.1", 0), self.handler)
        self._http.owner = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        """The base URL, which ends in `/v1`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def add(self, *answers: Answer) -> None:
        """Put answers at the end of the script."""
        self.replies.extend(answers)

    def reply_to(self, received: Received) -> Reply:
        """The next answer of the script; the request is kept."""
        self.requests.append(received)
        if not self.replies:
            return error_reply(500, "no answer is scripted", {"x-should-retry": "false"})
        answer = self.replies.pop(0)
        return answer if isinstance(answer, Reply) else _chat(answer, received.body or {})

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


def _chat(answer: str | ToolCall | Sequence[str | ToolCall], asked: JSONObject) -> Reply:
    """The answer in the form that was asked for."""
    pieces = [answer] if isinstance(answer, (str, ToolCall)) else answer
    texts = [piece for piece in pieces if isinstance(piece, str)]
    calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
    usage = {"prompt_tokens": 1, "completion_tokens": len(pieces), "total_tokens": 1 + len(pieces)}
    if not asked.get("stream"):
        return chat_reply(texts, calls, usage)
    is_counted = (asked.get("stream_options") or {}).get("include_usage")
    return chat_stream(texts, calls, usage if is_counted else None)


class _Server(ThreadingHTTPServer):
    owner: OpenAIServer
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no fault here."""
