"""Attachments and fragments: identity, type and bytes, wherever they come from."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llm
import llm.cli
from llm.cli import cli
from llm.errors import ConnectionLost, LLMError
from llm.logs.file.db import open_memory
from llm.net import http

DATA = Path(__file__).parent / "data"
VECTORS = json.loads((DATA / "id_vectors.json").read_text())
PIXEL = DATA / "files" / "pixel.png"


class Site(BaseHTTPRequestHandler):
    """A few pages: `/hop/N` redirects N times, `/png` and `/text` have a type, `/gone` fails.

    `/endless` never stops, `/silent` says nothing more after its first byte.
    """

    server: Server

    def do_GET(self) -> None:
        """Answer; the body only where it was asked for."""
        self.server.log.append((self.command, self.path))
        what = self.path.split("/")
        if what[1] == "hop" and what[2] != "0":
            self._send(302, location=f"/hop/{int(what[2]) - 1}")
        elif what[1] == "gone":
            self._send(404)
        elif what[1] in ("endless", "silent"):
            self._go_on(until_gone=what[1] == "endless")
        elif what[1] == "bare":
            self._send(200, b"?")
        else:
            kind = "text/html; charset=utf-8" if what[1] == "text" else "image/png"
            self._send(200, b"payload", **{"content-type": kind})

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _go_on(self, *, until_gone: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "image/png")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"x")
            while until_gone and self.command == "GET":
                self.wfile.write(b"x" * 500)
            self.server.is_over.wait()

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


class Server(ThreadingHTTPServer):
    """The site, with its address and a list of what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Site)
        self.log: list[tuple[str, str]] = []
        self.is_over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def site() -> Iterator[Server]:
    """A running server on the loopback interface."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.is_over.set()
        server.shutdown()
        thread.join()


def test_attachment_id_of_content() -> None:
    """The id of bytes is their digest, the same as in 0.36."""
    content = PIXEL.read_bytes()
    assert llm.Attachment(content=content).id() == VECTORS["attachment_content"]["id"]
    assert llm.Attachment(path=str(PIXEL)).id() == VECTORS["attachment_content"]["id"]


def test_attachment_id_of_url() -> None:
    """The id of a URL is made of the URL; nothing is fetched."""
    vector = VECTORS["attachment_url"]
    assert llm.Attachment(url=vector["url"]).id() == vector["id"]


def test_attachment_id_is_kept(tmp_path: Path) -> None:
    """The id does not change when the file does."""
    path = tmp_path / "a.txt"
    path.write_text("one")
    attachment = llm.Attachment(path=str(path))
    first = attachment.id()
    path.write_text("two")
    assert attachment.id() == first


def test_attachment_id_makes_no_difference_to_equality() -> None:
    """Attachments are equal when they are the same thing, whether an id was asked for or not."""
    first, second = llm.Attachment(url="u"), llm.Attachment(url="u")
    first.id()
    assert first == second


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"%PDF-1.4 x", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 20, "image/png"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"ID3\x03", "audio/mpeg"),
        (b"just words", None),
    ],
)
def test_attachment_type_by_magic_number(content: bytes, found: str | None, tmp_path: Path) -> None:
    """The type is read off the bytes, in memory and in a file alike; plain text has none."""
    path = tmp_path / "file"
    path.write_bytes(content)
    assert llm.Attachment(content=content).resolve_type() == found
    assert llm.Attachment(path=str(path)).resolve_type() == found


def test_attachment_type_of_empty_file(tmp_path: Path) -> None:
    """An empty file has no type, which is no error."""
    path = tmp_path / "empty"
    path.touch()
    assert llm.Attachment(path=str(path)).resolve_type() is None


def test_attachment_type_given_wins(site: Server) -> None:
    """A type that was given is believed without asking anybody."""
    assert llm.Attachment(type="a/b", url=f"{site.url}/png").resolve_type() == "a/b"
    assert site.log == []


@pytest.mark.parametrize("content", [None, b""])
def test_attachment_type_of_nothing(content: bytes | None) -> None:
    """There is no type where there is nothing to derive it from."""
    with pytest.raises(ValueError, match=r"^Attachment has no type and no content to derive"):
        llm.Attachment(content=content).resolve_type()


def test_attachment_type_of_url_without_charset(site: Server) -> None:
    """The type of a URL of text is what the server says, asked once, without parameters."""
    attachment = llm.Attachment(url=f"{site.url}/text")
    assert attachment.resolve_type() == attachment.resolve_type() == "text/html"
    assert site.log == [("GET", "/text")]
    attachment.url = f"{site.url}/png"
    assert attachment.resolve_type() == "image/png"


def test_attachment_type_of_url_untyped(site: Server) -> None:
    """A server that names no type leaves it open."""
    assert llm.Attachment(url=f"{site.url}/bare").resolve_type() is None


def test_attachment_bytes_of_url_follow_three_redirects(site: Server) -> None:
    """Three redirects are followed."""
    assert llm.Attachment(url=f"{site.url}/hop/3").content_bytes() == b"payload"
    assert len(site.log) == 4


def test_attachment_bytes_of_url_with_four_redirects(site: Server) -> None:
    """A fourth redirect is one too many."""
    with pytest.raises(ConnectionLost, match=r"Could not fetch .*/hop/4"):
        llm.Attachment(url=f"{site.url}/hop/4").content_bytes()


@pytest.fixture(params=["attachment", "fragment", "template"])
def fetch(request: pytest.FixtureRequest) -> Callable[[str], object]:
    """Each of the ways to get what is at an address."""
    plugins_path: Any = llm.cli
    ways: dict[str, Callable[[str], object]] = {
        "attachment": lambda url: llm.Attachment(url=url).content_bytes(),
        "fragment": lambda url: plugins_path.resolve_fragments(open_memory(), [url]),
        "template": plugins_path.load_template,
    }
    return ways[request.param]


def test_url_that_never_ends_is_given_up(
    site: Server, fetch: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than so many bytes are not taken, whoever asks."""
    monkeypatch.setattr(http, "MAX_BYTES", 2_000_000)
    with pytest.raises(LLMError, match=r"Could not fetch .*/endless: it is larger than 2 MB"):
        fetch(f"{site.url}/endless")


def test_url_that_takes_too_long_is_given_up(
    site: Server, fetch: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However steadily the bytes come, there is an end to waiting for the last one."""
    monkeypatch.setattr(http, "TOTAL_SECONDS", 0.0)
    with pytest.raises(LLMError, match=r"/endless: it was not complete after 0 seconds"):
        fetch(f"{site.url}/endless")


def test_url_that_falls_silent_is_given_up(
    site: Server, fetch: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that says nothing more is not waited for without end."""
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.1)
    with pytest.raises(LLMError, match=r"Could not fetch .*/silent: .*timed out"):
        fetch(f"{site.url}/silent")


def test_url_limits_are_generous_and_finite() -> None:
    """100 MB, three redirects, half a minute of silence, ten minutes in all."""
    limits = (http.MAX_BYTES, http.MAX_REDIRECTS, http.TIMEOUT_SECONDS, http.TOTAL_SECONDS)
    assert limits == (100_000_000, 3, 30.0, 600.0)


@pytest.mark.parametrize("name", ["/hop/4", "/gone", "/bare"])
def test_attachment_of_a_url_is_checked_before_anything_is_sent(site: Server, name: str) -> None:
    """`-a URL` with too many redirects, an error status or no type is an error in its use."""
    result = CliRunner().invoke(cli, ["-m", "nosuch", "-a", site.url + name, "x"], input="")
    assert result.exit_code == 2
    assert site.url + name in result.stderr
    assert {method for method, _ in site.log} == {"GET"}


@pytest.mark.parametrize("path", ["/gone", "http://127.0.0.1:1/x", "http://[bad"])
def test_attachment_url_failure_names_it(site: Server, path: str) -> None:
    """An error status, a refused connection and a malformed address name the URL."""
    url = path if path.startswith("http") else site.url + path
    with pytest.raises(ConnectionLost, match="Could not fetch"):
        llm.Attachment(url=url).content_bytes()


def test_attachment_bytes_and_base64(tmp_path: Path) -> None:
    """Bytes come from the content, else from the file, else there are none."""
    path = tmp_path / "f"
    path.write_bytes(b"hi")
    assert llm.Attachment(content=b"hi", path="/nowhere").content_bytes() == b"hi"
    assert llm.Attachment(path=str(path)).base64_content() == "aGk="
    assert llm.Attachment().content_bytes() is None
    assert llm.Attachment().base64_content() == ""


def test_attachment_from_row() -> None:
    """A row of the log database becomes an attachment with the id that it had."""
    row = {"id": "i", "type": "t", "path": None, "url": "u", "content": None}
    attachment = llm.Attachment.from_row(row)
    assert (attachment.id(), attachment.type, attachment.url) == ("i", "t", "u")


def test_attachment_repr(tmp_path: Path) -> None:
    """The repr tells what there is, and does not fail over a missing file."""
    shown = repr(llm.Attachment(type="image/png", url="u", content=b"abc"))
    assert shown.startswith("<Attachment: ba7816bf")
    assert shown.endswith('type="image/png" url="u" content=3 bytes>')
    missing = str(tmp_path / "missing")
    assert repr(llm.Attachment(path=missing)) == f'<Attachment: unreadable path="{missing}">'


def test_attachment_dict_has_documented_order() -> None:
    """The keys of a stored attachment are in the order that the hashes rely on."""
    shape = llm.Attachment(content=b"x", url="u", path="p", type="t").to_dict()
    assert list(shape.items()) == [
        ("type", "t"),
        ("url", "u"),
        ("path", "p"),
        ("content", "eA=="),
    ]


def test_fragment_is_its_text() -> None:
    """A fragment is a string that knows where it came from, with the id of 0.36."""
    fragment = llm.Fragment(VECTORS["fragment"]["content"], "a.txt")
    assert fragment == "frag é"
    assert fragment.source == "a.txt"
    assert fragment.id() == VECTORS["fragment"]["id"]
    assert llm.Fragment("x").source == ""


def test_fragment_id_of_a_lone_surrogate() -> None:
    """Text that UTF-8 cannot spell has an id all the same."""
    assert len(llm.Fragment("\ud83d").id()) == 64
