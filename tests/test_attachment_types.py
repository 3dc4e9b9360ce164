"""What attachments are: by their content, else by a server's word, else by their extension."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.plugins import load_plugins, pm
from llm.terminal import decode_text
from llm.text.media import canonical_type, type_of_bytes, type_of_path

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xdb"
M4A = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + bytes(40)
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(40)
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(40)
ID3 = b"ID3\x03\0\0\0\0\0\0" + bytes(40)
OGG = b"OggS\0\2" + bytes(22) + b"\1\x13OpusHead" + bytes(40)
PDF = b"%PDF-1.4\n1 0 obj\nendobj\n"
UNKNOWN = bytes(range(1, 60)) + b"\xff\0"

FILES: list[tuple[str, bytes, str | None]] = [
    ("a.png", PNG, "image/png"),
    # The content goes before the name.
    ("a.jpg", PNG, "image/png"),
    ("a.txt", JPEG, "image/jpeg"),
    ("photo", JPEG, "image/jpeg"),
    ("a.m4a", M4A, "audio/mp4"),
    ("a", M4A, "audio/mp4"),
    # The container does not say what is in it.
    ("b.m4a", MP4, "audio/mp4"),
    ("a.mp4", MP4, "video/mp4"),
    ("b", MP4, "video/mp4"),
    ("a.mp3", ID3, "audio/mpeg"),
    ("b.mp3", b"\xff\xfb\x90\x44" + bytes(100), "audio/mpeg"),
    ("a.ogg", OGG, "audio/ogg"),
    ("a.avif", AVIF, "image/avif"),
    ("a.wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "audio/wav"),
    ("a.pdf", PDF, "application/pdf"),
    # What has no magic number.
    ("a.csv", b"a,b\n1,2\n", "text/csv"),
    ("A.CSV", b"a,b\n1,2\n", "text/csv"),
    ("bom.csv", b"\xef\xbb\xbfa,b\n", "text/csv"),
    ("BMW.csv", b"BMW,cars\n1,2\n", "text/csv"),
    ("a.tsv", b"a\tb\n", "text/tab-separated-values"),
    ("a.html", b"<p>x", "text/html"),
    ("a.txt", b"x", "text/plain"),
    ("a.md", b"# x", "text/plain"),
    ("odd.mp4", UNKNOWN, "video/mp4"),
    ("odd.m4a", UNKNOWN, "audio/mp4"),
    # A text is no picture, whatever it is called.
    ("text.png", b"<not a picture>", None),
    ("notes", b"hello", None),
    ("odd", UNKNOWN, None),
    ("empty.png", b"", None),
]


@pytest.mark.parametrize(("name", "content", "expected"), FILES)
def test_type_of_a_file(name: str, content: bytes, expected: str | None, tmp_path: Path) -> None:
    """The bytes come first, then the extension."""
    path = tmp_path / name
    path.write_bytes(content)
    assert type_of_path(path) == llm.Attachment(path=str(path)).resolve_type() == expected


@pytest.mark.parametrize("content", [b"BMW,cars\n", b"ID3 tags are\n", b"hello", b"GIFts, gifs"])
def test_text_is_not_taken_for_something_else(content: bytes) -> None:
    """Letters at the beginning of a text that are those of a format by accident do not count."""
    assert type_of_bytes(content) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("image/jpg", "image/jpeg"),
        ("IMAGE/JPG; charset=binary", "image/jpeg"),
        ("audio/x-wav", "audio/wav"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/x-m4a", "audio/mp4"),
        ("application/x-pdf", "application/pdf"),
        ("image/png", "image/png"),
        ("x-any/Thing", "x-any/Thing"),
    ],
)
def test_other_names_stand_for_the_usual_one(given: str, expected: str) -> None:
    """What people and servers call a type is understood."""
    assert canonical_type(given) == expected


# From an address


class Site(BaseHTTPRequestHandler):
    """Serves a file for each path; HEAD is not allowed."""

    files: dict[str, tuple[bytes, str | None]]
    asked: list[str]

    def do_HEAD(self) -> None:
        self.send_error(405)

    def do_GET(self) -> None:
        content, kind = self.files[self.path]
        self.asked.append(self.path)
        self.send_response(200)
        if kind is not None:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Put a file on a server, with the type that it says, and give the address."""

    class Handler(Site):
        files: dict[str, tuple[bytes, str | None]] = {}
        asked: list[str] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def put(path: str, content: bytes, kind: str | None = None) -> str:
            Handler.files[path] = (content, kind)
            return f"http://127.0.0.1:{server.server_port}{path}"

        yield put
        server.shutdown()
        thread.join()


SERVED: list[tuple[str, bytes, str | None, str | None]] = [
    ("/x", PNG, "application/octet-stream", "image/png"),
    ("/x", PNG, "binary/octet-stream", "image/png"),
    ("/x", PNG, None, "image/png"),
    ("/x", PNG, "", "image/png"),
    ("/x", PNG, "text/plain", "image/png"),
    ("/x", PNG, "image/jpeg", "image/png"),
    ("/x", UNKNOWN, "image/jpg", "image/jpeg"),
    ("/x", UNKNOWN, "audio/x-wav; x=y", "audio/wav"),
    ("/x", MP4, "audio/mp4", "audio/mp4"),
    ("/x.csv", b"a,b\n", "application/octet-stream", "text/csv"),
    ("/x.csv?download=1", b"a,b\n", None, "text/csv"),
    ("/x.csv", b"a,b\n", "text/plain; charset=utf-8", "text/plain"),
    ("/x.mp4", UNKNOWN, "application/octet-stream", "video/mp4"),
    ("/x", b"a,b\n", "application/octet-stream", None),
]


@pytest.mark.parametrize(("path", "content", "kind", "expected"), SERVED)
def test_type_at_an_address(
    path: str, content: bytes, kind: str | None, expected: str | None, serve: Serve
) -> None:
    """The bytes come first, then what the server says if it knows, then the extension."""
    attachment = llm.Attachment(url=serve(path, content, kind))
    assert attachment.resolve_type() == attachment.resolve_type() == expected


def test_type_of_a_large_file_takes_its_beginning(serve: Serve) -> None:
    """No more of it is waited for, and the address is asked once."""
    attachment = llm.Attachment(url=serve("/x", PNG + bytes(20_000_000)))
    assert attachment.resolve_type() == attachment.resolve_type() == "image/png"


# What models are given


class Looks(llm.Model):
    """Tells the types of what it was given."""

    model_id = "looks"
    attachment_types = {"image/jpeg", "image/png", "audio/wav", "audio/mp3", "text/csv"}

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield ", ".join(str(attachment.resolve_type()) for attachment in prompt.attachments)


@contextmanager
def looking() -> Iterator[None]:
    """The model is there while the block runs."""

    class Plugin:
        @llm.hookimpl
        def register_models(self, register: Callable[[llm.Model], None]) -> None:
            register(Looks())

    plugin = Plugin()
    load_plugins()
    pm.register(plugin)
    try:
        yield
    finally:
        pm.unregister(plugin)


def run(*args: str, stdin: bytes = b"") -> Result:
    """What a command gives."""
    with looking():
        return CliRunner().invoke(cli, ["-m", "looks", "hi", *args], input=stdin)


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"?", "image/jpg", "image/jpeg"),
        (b"?", "audio/x-wav", "audio/wav"),
        # A name that the model has for it.
        (b"?", "audio/mpeg", "audio/mp3"),
        (ID3, None, "audio/mp3"),
        (JPEG, None, "image/jpeg"),
    ],
)
def test_model_is_given_a_name_that_it_knows(
    content: bytes, kind: str | None, expected: str, tmp_path: Path
) -> None:
    """Whatever a type is called, a model that accepts it under some name gets it under that."""
    path = tmp_path / "file"
    path.write_bytes(content)
    args = ["-a", str(path)] if kind is None else ["--at", str(path), kind]
    result = run(*args)
    assert (result.exit_code, result.stdout) == (0, f"{expected}\n")
    attachment = llm.Attachment(path=str(path), type=kind)
    assert Looks().prompt("hi", attachments=[attachment]).text() == expected


def test_type_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    """Another name does not make another format."""
    path = tmp_path / "film.mp4"
    path.write_bytes(MP4)
    result = run("-a", str(path))
    assert result.exit_code != 0
    assert "does not support attachments of type 'video/mp4'" in result.stderr


@pytest.mark.parametrize(("content", "kind"), [(PNG, "image/png"), (PDF, "application/pdf")])
def test_fragment_that_is_no_text_says_how_to_attach_it(
    content: bytes, kind: str, serve: Serve, tmp_path: Path
) -> None:
    """`-f` of a picture names the `-a` to type, whatever the server says of it."""
    url = serve("/x?a=1&b=2", content, "text/plain")
    result = run("-f", url)
    assert result.exit_code == 1
    assert f"'{url}' is not text but {kind}. Attach it: -a '{url}'" in result.stderr
    path = tmp_path / "file"
    path.write_bytes(content)
    result = run("-f", str(path))
    assert result.exit_code == 1
    assert "is not text. Attach it with -a" in result.stderr


# The mark of the byte order


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "utf-16"])
def test_byte_order_mark_of_a_text_is_dropped(encoding: str, serve: Serve, tmp_path: Path) -> None:
    """A text is the same with and without it, wherever it comes from."""
    content = "naïve ab\0c".encode(encoding)
    assert decode_text(content) == "naïve ab\0c"
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    told = CliRunner(env={"LLM_MODEL": "looks"})
    sources = [["-f", str(path)]]
    if encoding != "utf-16":
        sources.append(["-f", serve("/x", content, "text/plain")])
    for args in sources:
        with looking():
            told.invoke(cli, [*args, "x"])
            shown = told.invoke(cli, ["logs", "-n", "1", "--json"]).stdout
        assert '"prompt": "na\\u00efve ab\\u0000c' in shown
    with looking():
        told.invoke(cli, [], input="piped".encode(encoding))
        assert '"prompt": "piped"' in told.invoke(cli, ["logs", "-n", "1", "--json"]).stdout
