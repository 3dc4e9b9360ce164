"""Downloads that break off and go on, against a real server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import filelock
import pytest

from llm.errors import ConnectionLost, InvalidInput, LLMError
from llm.providers.local import add as module
from llm.providers.local.add import download, finish, is_url

CONTENT = bytes(range(256)) * 1000
SILENT = lambda arrived, total: None  # noqa: E731 - a progress that shows nothing


class FileServer(ThreadingHTTPServer):
    """Serves one file; `requests` has the ranges that were asked for.

    Attributes:
        break_after: Bytes after which the next answer breaks off.
        ranges: Whether ranges are understood.
        headers: What names the version of the file.
        shift: How far the ranges that are sent lie beside those asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.break_after: int | None = None
        self.ranges = True
        self.with_length = True
        self.headers = {"etag": '"1"'}
        self.shift = 0
        self.requests: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.gguf"


class Handler(BaseHTTPRequestHandler):
    """Answers GET with the file or the range asked for."""

    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("range")
        server.requests.append(wanted)
        if self.path == "/missing":
            self.send_error(404, "Not Found")
            return
        start = 0
        if wanted and server.ranges and self.headers["if-range"] in server.headers.values():
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_response(416)
                self.send_header("content-range", f"bytes */{len(server.content)}")
                self.send_header("content-length", "0")
                self.end_headers()
                return
            start += server.shift
            self.send_response(206)
            span = f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            self.send_header("content-range", span)
        else:
            self.send_response(200)
        body = server.content[start:]
        if server.with_length:
            self.send_header("content-length", str(len(body)))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: server.break_after])
        server.break_after = None
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server that runs as long as the block does."""
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A file server of this test."""
    with serving() as server:
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Where the download goes."""
    return tmp_path / "models" / "a.gguf.part"


def break_off(server: FileServer, part: Path, after: int = 1000) -> None:
    """Let a first attempt fail after some bytes."""
    server.break_after = after
    with pytest.raises(ConnectionLost, match="Run the same command again to go on"):
        download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT[:after]


def test_download_gets_the_whole_file(server: FileServer, part: Path) -> None:
    """All bytes arrive, and the progress ends at the total."""
    seen: list[tuple[int, int | None]] = []
    download(server.url, part, lambda arrived, total: seen.append((arrived, total)))
    assert part.read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_download_that_broke_off_goes_on(server: FileServer, part: Path) -> None:
    """The second attempt asks for the rest only."""
    break_off(server, part)
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000-"]


def test_download_with_a_date_for_version_goes_on(server: FileServer, part: Path) -> None:
    """A weak tag is no version; the date of the last change is."""
    server.headers = {"etag": 'W/"1"', "last-modified": "Mon, 02 Nov 2026 10:00:00 GMT"}
    break_off(server, part)
    download(server.url, part, SILENT)
    assert server.requests == [None, "bytes=1000-"]


def test_download_of_a_changed_file_begins_anew(server: FileServer, part: Path) -> None:
    """Two versions are never mixed."""
    break_off(server, part)
    server.content, server.headers = CONTENT[::-1], {"etag": '"2"'}
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT[::-1]


def test_download_without_version_begins_anew(server: FileServer, part: Path) -> None:
    """What cannot be told from another version is not continued."""
    server.headers = {}
    break_off(server, part)
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT
    assert server.requests == [None, None]


def test_download_from_another_address_begins_anew(server: FileServer, part: Path) -> None:
    """The rest of one file is not put behind the beginning of another."""
    break_off(server, part)
    download(server.url + "?other", part, SILENT)
    assert server.requests == [None, None]


def test_download_with_damaged_notes_begins_anew(server: FileServer, part: Path) -> None:
    """Notes that cannot be read are as good as none."""
    for notes in ("{", "[]"):
        break_off(server, part)
        Path(f"{part}.json").write_text(notes)
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT


def test_download_broken_off_before_the_first_byte_asks_for_all(
    server: FileServer, part: Path
) -> None:
    """An empty beginning is not continued with a range."""
    break_off(server, part, after=0)
    download(server.url, part, SILENT)
    assert server.requests == [None, None]


def test_download_without_ranges_begins_anew(server: FileServer, part: Path) -> None:
    """A server that sends everything again is understood."""
    break_off(server, part)
    server.ranges = False
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT


def test_download_with_a_wrong_range_begins_anew(server: FileServer, part: Path) -> None:
    """A range that was not asked for is not put behind what is there."""
    break_off(server, part)
    server.shift = 1
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000-", None]


def test_download_that_was_complete_is_kept(server: FileServer, part: Path) -> None:
    """A download that ended just before it was put in place is not repeated."""
    download(server.url, part, SILENT)
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={len(CONTENT)}-"]


def test_download_longer_than_the_file_begins_anew(server: FileServer, part: Path) -> None:
    """A beginning that is longer than the whole is of no use."""
    download(server.url, part, SILENT)
    with part.open("ab") as file:
        file.write(b"more")
    download(server.url, part, SILENT)
    assert part.read_bytes() == CONTENT


def test_download_of_unknown_length_ends_with_the_answer(server: FileServer, part: Path) -> None:
    """A server that does not tell the length is believed."""
    server.with_length = False
    seen: list[int | None] = []
    download(server.url, part, lambda arrived, total: seen.append(total))
    assert part.read_bytes() == CONTENT
    assert set(seen) == {None}


def test_download_of_a_missing_file_gives_the_status(server: FileServer, part: Path) -> None:
    """The status of the server is part of the message."""
    with pytest.raises(ConnectionLost, match="answers 404 Not Found"):
        download(server.url.replace("model.gguf", "missing"), part, SILENT)


def test_download_without_server_says_that_nothing_arrived(part: Path) -> None:
    """An address where nobody listens is a readable error."""
    with serving() as gone:
        url = gone.url
    with pytest.raises(ConnectionLost, match="nothing has arrived"):
        download(url, part, SILENT)


@pytest.mark.parametrize("url", ["http://", "http://\x00/"])
def test_download_of_a_bad_address_is_refused(part: Path, url: str) -> None:
    """An address that cannot be read is the user's to correct."""
    with pytest.raises(InvalidInput, match="not a web address"):
        download(url, part, SILENT)


def test_download_that_runs_already_is_refused(server: FileServer, part: Path) -> None:
    """Two downloads never write the same file."""
    part.parent.mkdir()
    with (
        filelock.FileLock(f"{part}.lock"),
        pytest.raises(LLMError, match=r"Another download of a\.gguf\.part is running"),
    ):
        download(server.url, part, SILENT)


def test_download_without_space_does_not_begin(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is too small is noticed before it is full."""
    part.parent.mkdir()

    def no_room(folder: Path, needed_bytes: int) -> None:
        raise LLMError(f"{needed_bytes} are needed")

    monkeypatch.setattr(module, "check_space", no_room)
    with pytest.raises(LLMError, match=f"{len(CONTENT)} are needed"):
        download(server.url, part, SILENT)
    assert not part.exists()


def test_download_into_a_file_that_cannot_be_written_says_so(
    server: FileServer, part: Path
) -> None:
    """An error of the disk names the file."""
    part.mkdir(parents=True)
    with pytest.raises(LLMError, match="Cannot write"):
        download(server.url, part, SILENT)


def test_finish_leaves_the_file_alone(server: FileServer, part: Path) -> None:
    """After the last step nothing but the file itself is there."""
    download(server.url, part, SILENT)
    assert json.loads(Path(f"{part}.json").read_text())["url"] == server.url
    finish(part, part.with_name("a.gguf"))
    assert [path.name for path in part.parent.iterdir()] == ["a.gguf"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [("https://a.test/b", True), ("http://a", True), ("/tmp/http.gguf", False), ("C:\\a", False)],
)
def test_is_url_tells_addresses_from_files(source: str, expected: bool) -> None:
    """Only http and https addresses are downloaded."""
    assert is_url(source) is expected
