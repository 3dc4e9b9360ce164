"""Models of the user's own, from a file or by a download that can be taken up again.

What has arrived lies in `NAME.gguf.part`; `NAME.gguf.part.json` remembers from where, and which
version of it. The next attempt asks for the rest, and begins anew where the file has changed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import llm
from llm.errors import ConnectionLost, InvalidInput, LLMError, ModelError

from . import store
from .install import check_sha256, check_space, require_sha256, writing
from .store import InstalledModel, megabytes

if TYPE_CHECKING:
    import httpx2

TIMEOUT_SECONDS = 60.0
HTTP_PARTIAL, HTTP_UNSATISFIABLE = 206, 416

Progress = Callable[[int, "int | None"], None]


def is_url(source: str) -> bool:
    """Whether `source` is a web address rather than a file."""
    return source.startswith(("http://", "https://"))


def download(url: str, part: Path, progress: Progress) -> None:
    """Complete `part` with what `url` has; ends when all of it is there.

    The file and its notes are left behind when the download breaks off. `progress` is called with
    the bytes that are there and the total, `None` where not known.

    Raises:
        ConnectionLost: The server cannot be reached, refuses, or the connection breaks off.
        LLMError: There is no space, or another download of the same file is running.
    """
    import httpx2

    with writing(part):
        try:
            with (
                llm.locked(f"{part}.lock", timeout_s=0),
                httpx2.Client(follow_redirects=True, timeout=TIMEOUT_SECONDS) as client,
            ):
                while not _attempt(client, url, part, progress):
                    forget(part)
        except TimeoutError as error:
            raise LLMError(f"Another download of {part.name} is running") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            problem = f"{url} is not a web address that can be used: {error}"
            raise InvalidInput(problem) from error
        except httpx2.HTTPStatusError as error:
            answer = f"{error.response.status_code} {error.response.reason_phrase}"
            raise ConnectionLost(
                f"{url} cannot be downloaded: the server answers {answer}"
            ) from error
        except httpx2.HTTPError as error:
            arrived = f"{megabytes(part.stat().st_size)} have" if part.exists() else "nothing has"
            raise ConnectionLost(
                f"The download of {url} broke off ({error or type(error).__name__}); {arrived} "
                "arrived. Run the same command again to go on from there"
            ) from error


def forget(part: Path) -> None:
    """Remove an unfinished download."""
    for path in (part, _notes_path(part)):
        path.unlink(missing_ok=True)


def finish(part: Path, target: Path) -> None:
    """Make a complete download the file that was wanted."""
    os.replace(part, target)
    for path in (_notes_path(part), Path(f"{part}.lock")):
        path.unlink(missing_ok=True)


def _attempt(client: httpx2.Client, url: str, part: Path, progress: Progress) -> bool:
    """Whether the file is complete; False means that the beginning is of no use."""
    arrived, headers = _resume_headers(url, part)
    with client.stream("GET", url, headers=headers) as reply:
        if reply.status_code == HTTP_UNSATISFIABLE and arrived:
            return _range_of(reply)[1] == arrived
        reply.raise_for_status()
        if reply.status_code != HTTP_PARTIAL:
            arrived = 0
        elif _range_of(reply)[0] != arrived:
            return False
        length = reply.headers.get("content-length")
        total = arrived + int(length) if length else None
        if length:
            check_space(part.parent, int(length))
        _write_notes(url, part, reply)
        with part.open("ab" if arrived else "wb") as file:
            progress(arrived, total)
            for block in reply.iter_raw():
                file.write(block)
                arrived += len(block)
                progress(arrived, total)
    return True


def _resume_headers(url: str, part: Path) -> tuple[int, dict[str, str]]:
    """How many bytes are there already, and the headers that ask for the others."""
    # Offsets count the bytes of the file itself, so nothing may be compressed on the way.
    headers = {"accept-encoding": "identity"}
    with suppress(OSError, ValueError, KeyError, TypeError):
        notes = json.loads(_notes_path(part).read_text(encoding="utf-8"))
        arrived = part.stat().st_size
        if arrived and notes["url"] == url and notes["version"]:
            resume = {"range": f"bytes={arrived}-", "if-range": notes["version"]}
            return arrived, {**headers, **resume}
    return 0, headers


def _notes_path(part: Path) -> Path:
    return Path(f"{part}.json")


def _write_notes(url: str, part: Path, reply: httpx2.Response) -> None:
    etag = reply.headers.get("etag", "")
    # A weak tag says that two versions mean the same, not that their bytes are equal.
    version = "" if etag.startswith("W/") else etag
    notes = {"url": url, "version": version or reply.headers.get("last-modified")}
    _notes_path(part).write_text(json.dumps(notes), encoding="utf-8")


def _range_of(reply: httpx2.Response) -> tuple[int | None, int | None]:
    """The first byte of the part that was sent, and how many the whole has."""
    span = reply.headers.get("content-range", "").removeprefix("bytes ")
    start, total = span.partition("-")[0], span.rpartition("/")[2]
    return int(start) if start.isdigit() else None, int(total) if total.isdigit() else None


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar on stderr where that is a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda arrived, total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda arrived, total: bar.update(task, completed=arrived, total=total)


def add_file(
    name: str,
    path: Path,
    sha256: str | None = None,
    copy: bool = False,
    *,
    embeds: bool = False,
) -> InstalledModel:
    """Register a GGUF file under `name`; unless it is copied, it has to stay where it is.

    Raises:
        LLMError: The name is taken, or the file is not usable or cannot be copied.
    """
    require_sha256(sha256)
    store.check_new_name(name)
    path = path.absolute()
    size = store.check_gguf(path)
    check_sha256(path, sha256, str(path))
    target = store.owned_path(name) if copy else path
    if copy:
        part = Path(f"{target}.part")
        try:
            with writing(target, size):
                shutil.copyfile(path, part)
                finish(part, target)
        finally:
            part.unlink(missing_ok=True)
    hash_ = sha256 and sha256.lower()
    return store.register(InstalledModel(name, target, copy, size, hash_, str(path), embeds=embeds))


def add_url(
    name: str, url: str, sha256: str | None = None, *, embeds: bool = False
) -> InstalledModel:
    """Download a GGUF file into the user directory and register it under `name`.

    Raises:
        LLMError: The name is taken, the download fails, or the file is not what it should be.
    """
    require_sha256(sha256)
    store.check_new_name(name)
    target = store.owned_path(name)
    part = Path(f"{target}.part")
    with progress_bar(name) as progress:
        download(url, part, progress)
    try:
        size = store.check_gguf(part)
        check_sha256(part, sha256, url)
    except ModelError:
        forget(part)
        raise
    finish(part, target)
    hash_ = sha256 and sha256.lower()
    return store.register(InstalledModel(name, target, True, size, hash_, url, embeds=embeds))


def remove(model: InstalledModel) -> None:
    """Take a model off the list, and delete its files if they are ours."""
    store.unregister(model.name)
    for path in model.files if model.is_owned else ():
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise LLMError(f"Cannot delete {path}: {error.strerror or error}") from error
