"""A server with OpenAI's chat protocol whose answers go wrong as the model's name says.

It runs in a thread of the caller. `steady` answers as asked; `steady-N` with N words, one a
millisecond; each other name is one fault.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

KEY = "sk-fault-0123456789abcdef"
STATUSES = {"busy": 429, "down": 500, "refused": 401}
# How services word an error whose status says that all is well.
SHAPES: tuple[object, ...] = (
    {"object": "error", "message": "gave up", "code": 50001},
    {"detail": "gave up"},
    {"message": "gave up", "type": "error"},
    {"choices": [{"index": 0, "delta": {}, "error": {"message": "gave up"}}]},
    {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "gave up"}},
    {"code": 20012, "message": "gave up"},
    {"error_message": "gave up", "error_type": "policy"},
    {"success": False, "errors": [{"code": 7009, "message": "gave up"}]},
    [{"error": {"message": "gave up"}}],
    {"error": {"message": "Provider returned error", "metadata": {"raw": "gave up"}}},
)


def chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    """Return one server-sent event with a piece of an answer."""
    body = {
        "id": "chatcmpl-fault",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "fault",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def word(text: str) -> bytes:
    """Return one server-sent event with a piece of text."""
    return chunk({"content": text})


def call(name: str, arguments: str, number: int) -> bytes:
    """Return one server-sent event with a tool call."""
    function = {"name": name, "arguments": arguments}
    call_id = f"call_{time.monotonic_ns()}_{number}"
    one = {"index": number, "id": call_id, "type": "function", "function": function}
    return chunk({"tool_calls": [one]})


class Handler(BaseHTTPRequestHandler):
    """Answers the chat endpoint."""

    protocol_version = "HTTP/1.1"
    hold = threading.Event()
    # Everything that was sent here, and what there is to fetch, by its path.
    received: ClassVar[list[str]] = []
    pages: ClassVar[dict[str, str]] = {}

    # Send every piece at once.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Give a page."""
        self.received.append(self.path)
        body = self.pages.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Answer a chat request as the name of its model says."""
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.received.append(f"{self.headers.get('Authorization')} {text}")
        request = json.loads(text)
        kind, _, count = request["model"].partition("-")
        if kind in STATUSES:
            self._refuse(STATUSES[kind])
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        if kind == "framed":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        answer: Callable[..., None] = getattr(self, f"answer_{kind}")
        try:
            answer(request, int(count or 0))
        except OSError:
            pass

    def _refuse(self, status: int) -> None:
        header = str(self.headers.get("Authorization"))
        message = f"Refused: {header} {base64.b64encode(header.encode()).decode()}"
        body = json.dumps({"error": {"message": message}}).encode()
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, *events: bytes) -> None:
        self.wfile.write(b"".join(events))
        self.wfile.flush()

    def _end(self, reason: str = "stop") -> None:
        self._send(chunk({}, reason), b"data: [DONE]\n\n")

    def answer_steady(self, request: dict[str, object], count: int) -> None:
        """Answer in full."""
        for number in range(count or 3):
            self._send(word(f"word{number} "))
            if count:
                time.sleep(0.001)
        self._end()

    def answer_held(self, request: dict[str, object], count: int) -> None:
        """Say a little, then wait until the client goes away."""
        self._send(word("first "), word("second "))
        self.connection.settimeout(60)
        self.connection.recv(1)

    def answer_stuck(self, request: dict[str, object], count: int) -> None:
        """Say a little, then wait until the test lets go, then end."""
        self._send(word("first "), word("second "))
        self.hold.wait(60)
        self._end()

    def answer_odd(self, request: dict[str, object], count: int) -> None:
        """Say what no column of a database takes: a number of 70 bits, half a character, `NaN`."""
        self._send(word("first "), word("second"))
        usage = b'{"prompt_tokens": 1180591620717411303424, "completion_tokens": NaN}'
        self._send(b'data: {"model": "\\ud800", "choices": [], "usage": ' + usage + b"}\n\n")
        self._end()

    def answer_lines(self, request: dict[str, object], count: int) -> None:
        """Never end a line."""
        self._send(word("first "), word("second "))
        while True:
            self._send(b"x" * 1_000_000)

    def answer_fences(self, request: dict[str, object], count: int) -> None:
        """Open 60,000 blocks of code, and close none."""
        self._send(*[word(f"```x{number}\n") for number in range(60_000)])
        self._end()

    def answer_repeated(self, request: dict[str, object], count: int) -> None:
        """Give a text on which a careless pattern never ends."""
        self._send(word('"' + "a" * 60 + '!"'))
        self._end()

    def answer_endless(self, request: dict[str, object], count: int) -> None:
        """Never stop."""
        while True:
            self._send(word("line after line\n"))

    def answer_reset(self, request: dict[str, object], count: int) -> None:
        """Reset the connection in the middle."""
        self._send(word("first "), word("second "))
        time.sleep(0.2)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def answer_unended(self, request: dict[str, object], count: int) -> None:
        """Leave out the end."""
        self._send(word("first "), word("second "))

    def answer_framed(self, request: dict[str, object], count: int) -> None:
        """Leave out the end, but for the last chunk of the body; `count`: leave out that too."""
        for event in (word("first "), word("second ")):
            self._send(b"%x\r\n%s\r\n" % (len(event), event))
        if not count:
            self._send(b"0\r\n\r\n")

    def answer_silent(self, request: dict[str, object], count: int) -> None:
        """Send no choice at all."""
        self._send(b'data: {"choices": []}\n\n', b"data: [DONE]\n\n")

    def answer_instead(self, request: dict[str, object], count: int) -> None:
        """Tell of an error in place of an answer, in the shape of that number."""
        self._send(b"data: " + json.dumps(SHAPES[count]).encode() + b"\n\n")

    def answer_told(self, request: dict[str, object], count: int) -> None:
        """Tell of an error in the middle, in the shape of that number."""
        self._send(word("first "), word("second "))
        self.answer_instead(request, count)

    def answer_failing(self, request: dict[str, object], count: int) -> None:
        """Tell of an error in the middle."""
        error = {"error": {"message": "The server gave up", "code": 500}}
        self._send(word("first "), word("second "))
        self._send(b"data: " + json.dumps(error).encode() + b"\n\n")

    def answer_garbled(self, request: dict[str, object], count: int) -> None:
        """Send what is no JSON in the middle."""
        self._send(word("first "), word("second "), b'data: {"choices": [{"ind\n\n')

    def answer_filtered(self, request: dict[str, object], count: int) -> None:
        """Be stopped by the filter."""
        self._send(word("first "), word("second "))
        self._end("content_filter")

    def answer_cut(self, request: dict[str, object], count: int) -> None:
        """Reach the limit of tokens."""
        self._send(word("first "), word("second "))
        self._end("length")

    def answer_surrogate(self, request: dict[str, object], count: int) -> None:
        """Say half a character, and one that few encodings have."""
        self._send(word("half \ud83d "), word("snow \u2603"))
        self._end()

    def answer_rude(self, request: dict[str, object], count: int) -> None:
        """Say what a terminal would execute."""
        self._send(word("a\x1b]52;c;aGFjaw==\x07b\x1b"), word("[2Jc"))
        self._end()

    def answer_tools(self, request: dict[str, object], count: int) -> None:
        """Ask for two tools until `count` results are there, then answer."""
        messages = request["messages"]
        assert isinstance(messages, list)
        results = [message for message in messages if message["role"] == "tool"]
        if len(results) < count:
            self._send(word("Calling. "), call("note", "{}", 0), call("wait", "{}", 1))
            self._end("tool_calls")
        else:
            self._send(word("All done."))
            self._end()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """The server; listens on any free port of the loopback interface."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        Handler.pages["host"] = self.url.removesuffix("/v1")
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are what this is about."""
