"""HTTP exchanges on standard error: everything that helps, nothing that is secret."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator

import httpx2
import pytest

from llm.net.http_log import HTTPLog
from llm.utils import logging_client


class Site(http.server.ThreadingHTTPServer):
    """Keeps what it was told of encodings."""

    def __init__(self) -> None:
        self.encodings: list[str] = []
        super().__init__(("127.0.0.1", 0), Page)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers every request with a line of text and a cookie."""

    server: Site

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.encodings.append(self.headers["accept-encoding"])
        self.send_response(200)
        self.send_header("set-cookie", "session=secret-cookie")
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"answer")

    do_GET = do_POST

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[Site]:
    """A running server on the loopback interface."""
    with Site() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_http_log_shows_the_exchange(server: Site) -> None:
    """Method, address, status, headers and bodies are written, JSON indented."""
    out = io.StringIO()
    with httpx2.Client(event_hooks=HTTPLog(out=out).hooks()) as client:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        assert client.post(url, json={"a": [1]}).text == "answer"
    written = out.getvalue()
    assert written.startswith(f"Request: POST {url}\n  Headers:\n")
    assert '  Body:\n    {\n      "a": [\n        1\n      ]\n    }\n' in written
    assert "Response: status_code=200\n" in written
    assert written.endswith("  Body:\nanswer")
    assert server.encodings == ["identity"]


SECRET_HEADERS = """
    Authorization Proxy-Authorization api-key x-api-key x-goog-api-key xi-api-key X-Auth-Token
    X-Amz-Security-Token Ocp-Apim-Subscription-Key X-Client-Secret X-Password X-Credential Cookie
"""


@pytest.mark.parametrize("header", SECRET_HEADERS.split())
def test_http_log_leaves_secrets_out(server: http.server.HTTPServer, header: str) -> None:
    """Neither keys nor cookies are written, in either direction."""
    out = io.StringIO()
    with httpx2.Client(event_hooks=HTTPLog(out=out).hooks()) as client:
        url = f"http://127.0.0.1:{server.server_port}/"
        client.post(url, content=b"plain \xff", headers={header: "name=secret-key"})
    assert header.lower() in out.getvalue().lower()
    assert "secret-" not in out.getvalue()
    assert "    plain \N{REPLACEMENT CHARACTER}" in out.getvalue()


def test_logging_client_writes_to_standard_error(
    server: http.server.HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client that plugins ask for writes to standard error, and only there."""
    with logging_client() as client:
        client.get(f"http://127.0.0.1:{server.server_port}/")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Request: GET http://127.0.0.1")
    assert "Body:\nanswer" in captured.err
