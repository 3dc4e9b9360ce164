"""Web sites on loopback that give recorded answers to unchanged programs.

Programs reach them as they would reach the real ones: through a proxy, over TLS, under the real
names. A repository can be cloned too, by a real git.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .authority import Authority

DATA = Path(__file__).parent.parent / "data"


class RecordedWeb(ThreadingHTTPServer):
    """The proxy in front of the recorded sites.

    Args:
        folder: Gets the certificate of their authority, and has the repositories of github.com.

    Attributes:
        repositories: The folder of the repositories, by their path at github.com.
        seen: The addresses that were asked for, in order.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.repositories = folder / "repositories"
        self.authority = Authority()
        self.certificate = self.authority.write(folder / "authority.pem")
        self.seen: list[str] = []
        self.answers: dict[str, dict[str, Any]] = {}
        for path in sorted((DATA / "recorded").glob("*.json")):
            self.answers |= json.loads(path.read_text(encoding="utf-8"))
        super().__init__(("127.0.0.1", 0), _Connection)

    def variables(self) -> dict[str, str]:
        """The environment variables that lead a program here."""
        proxy = f"http://127.0.0.1:{self.server_port}"
        return {
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "SSL_CERT_FILE": str(self.certificate),
            "GIT_SSL_CAINFO": str(self.certificate),
        }


class _Connection(BaseHTTPRequestHandler):
    server: RecordedWeb
    protocol_version = "HTTP/1.1"
    host = ""

    def do_CONNECT(self) -> None:
        """Become the host that was asked for: what follows is TLS."""
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        tls = self.server.authority.context(self.host)
        self.connection = tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        """Give the recorded answer, or let git answer."""
        self.server.seen.append(f"https://{self.host}{self.path}")
        if self.host == "github.com":
            return self._from_git()
        found = self.server.answers.get(self.server.seen[-1])
        if found is None:
            return self._send(
                404, {"Content-Type": "application/json"}, b'{"message": "Not Found"}'
            )
        body = found["body"]
        text = body if isinstance(body, str) else json.dumps(body)
        headers = {"Content-Type": found["content_type"], **found.get("headers", {})}
        return self._send(200, headers, text.encode())

    do_POST = do_GET

    def _from_git(self) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(length),
            capture_output=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server.repositories),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": address.path,
                "QUERY_STRING": address.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(length),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            },
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().splitlines()]
        headers = {name: value for name, _, value in lines}
        self._send(int(headers.pop("Status", "200").split()[0]), headers, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        """Close the connection, TLS or not."""
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def recorded_web(folder: Path) -> Iterator[RecordedWeb]:
    """The sites are up while the block runs."""
    with RecordedWeb(folder) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield web
        finally:
            web.shutdown()
            thread.join()
