"""A server with both of OpenAI's protocols on the loopback interface, in a process of its own.

The name of the model says what it streams: `chunks-N` N pieces of text as fast as they are taken,
`paced-N` N pieces, each the time in nanoseconds at which it is sent, one every two milliseconds,
`second-N` N pieces over one second. `GET /watch?pid=P` names the client; its processor time is read
when its request has arrived completely, and before the last piece is sent. `GET /seen` and
`GET /last` tell them in seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACE_S = 0.002
CPU_CLOCK_OF_PROCESS = 2


def process_cpu(pid: int) -> float:
    """Return the processor time of another process so far, in seconds (Linux)."""
    return time.clock_gettime((~pid << 3) | CPU_CLOCK_OF_PROCESS)


def event(content: str | None, finish_reason: str | None = None) -> bytes:
    """Return one chunk of a chat completion as a server-sent event."""
    delta = {} if content is None else {"content": content}
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def response_event(kind: str, **fields: object) -> bytes:
    """Return one event of the Responses protocol as a server-sent event."""
    return (
        f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **fields}).encode() + b"\n\n"
    )


def response_delta(text: str) -> bytes:
    """Return one piece of text of the Responses protocol."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return response_event("response.output_text.delta", delta=text, sequence_number=7, **place)


def response_end() -> bytes:
    """Return the event that completes a response."""
    final = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "status": "completed",
        "model": "bench",
        "output": [],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    }
    return response_event("response.completed", response=final, sequence_number=9)


def framed(data: bytes) -> bytes:
    """Return the data as one chunk of the chunked transfer coding."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class Handler(BaseHTTPRequestHandler):
    """Answers the chat endpoint and the two of the benchmark."""

    protocol_version = "HTTP/1.1"
    watched = 0
    seen = 0.0
    last = (0.0, 0.0)

    # Send every piece at once.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Take the number of the client, or tell what its processor time was."""
        if self.path.startswith("/watch?pid="):
            Handler.watched = int(self.path.partition("=")[2])
        told = Handler.last if self.path == "/last" else Handler.seen
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Answer a chat request with a stream."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        watched, Handler.watched = Handler.watched, 0
        if watched:
            Handler.seen = process_cpu(watched)
        kind, _, count = request["model"].partition("-")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.path.endswith("/responses"):
            self._stream_response(int(count))
        else:
            self._stream(int(count), {"paced": PACE_S, "second": 1 / int(count)}.get(kind), watched)

    def _stream_response(self, count: int) -> None:
        item = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        self.wfile.write(framed(response_event("response.output_item.added", item=item)))
        piece = framed(response_delta("word "))
        for _ in range(count):
            self.wfile.write(piece)
        self.wfile.write(framed(response_end()) + b"0\r\n\r\n")

    def _stream(self, count: int, pace_s: float | None, watched: int) -> None:
        piece = framed(event("word "))
        for _ in range(count):
            if pace_s is not None:
                time.sleep(pace_s)
                piece = framed(event(f"{time.monotonic_ns()} "))
            self.wfile.write(piece)
        if watched:
            Handler.last = (process_cpu(watched), time.monotonic())
        self.wfile.write(framed(event(None, "stop")) + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Remote:
    """The server, seen from the benchmark."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def watch(self, pid: int) -> None:
        """Name the process whose processor time is taken at its request."""
        urllib.request.urlopen(f"{self.address}/watch?pid={pid}", timeout=10).read()

    def seen(self) -> float:
        """Return the processor time of the watched process when its request had arrived."""
        return float(urllib.request.urlopen(f"{self.address}/seen", timeout=10).read())

    def last(self) -> tuple[float, float]:
        """Return its processor time before the last piece of its answer, and the clock's time."""
        reply = urllib.request.urlopen(f"{self.address}/last", timeout=10)
        cpu, clock = json.load(reply)
        return cpu, clock

    def register(self, user_path: Path, *, responses: bool = False, **models: str) -> None:
        """Write models (id = name on the server) into the user directory of an environment."""
        more = "  responses: true\n  reasoning: true\n" if responses else ""
        lines = [
            f"- model_id: {model_id}\n  model_name: {name}\n  api_base: {self.address}/v1\n{more}"
            for model_id, name in models.items()
        ]
        (user_path / "extra-openai-models.yaml").write_text("".join(lines))


@contextmanager
def server() -> Iterator[Remote]:
    """Run the server while the block runs."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Remote(int(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    print(listening.server_address[1], flush=True)
    listening.serve_forever()
