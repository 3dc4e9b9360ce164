"""The journal of a response: the request, and each event as it comes, on disk until it is logged.

A journal is a file of JSON lines that its owner keeps locked (`run.journal_lines` says which). A
process that dies leaves its journals, and its locks with it go: `run.recovery` takes them up.
Nothing here fails a prompt: where one place cannot be written the next one is tried.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ..files.config import user_path
from ..text import JSONObject
from ..text.secrets import masked
from .journal_lines import FORMAT, EventLines, done_line, json_line, request_lines

if TYPE_CHECKING:
    from ..models.response_base import _BaseResponse
    from ..parts import Part, StreamEvent
    from ..tools.calling import ToolResult

SUFFIX = ".jsonl"
# What follows it in the name of a journal that could not be logged: nothing looks at it unasked.
ASIDE = ".aside"
FOLDER = "inflight"
# Bits of a mode by which others can write.
_WRITERS = 0o022


def folders() -> Iterator[str]:
    """Where journals may lie, best first: in the user directory, else with state, else with
    temporary files."""
    yield os.path.join(user_path(), FOLDER)
    if sys.platform == "win32":
        state = os.environ.get("LOCALAPPDATA")
        temporary, owner = os.environ.get("TEMP"), ""
    else:
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        temporary, owner = os.environ.get("TMPDIR") or "/tmp", f"-{os.getuid()}"
    if state:
        yield os.path.join(state, "io.datasette.llm", FOLDER)
    if temporary:
        yield os.path.join(temporary, f"io.datasette.llm{owner}", FOLDER)


def is_in_user_directory(path: str) -> bool:
    """Whether the journal at `path` lies in the user directory, and moves about with it."""
    return os.path.dirname(path) == next(folders())


def leftovers() -> list[str]:
    """The paths of all journals, of the living and of the dead, oldest first."""
    return _journals(SUFFIX)


def set_aside() -> list[str]:
    """The paths of the journals that could not be logged, oldest first."""
    return _journals(SUFFIX + ASIDE)


def _journals(ending: str) -> list[str]:
    paths = []
    for folder in folders():
        with suppress(OSError):
            names = os.listdir(folder)
            paths += [os.path.join(folder, name) for name in names if name.endswith(ending)]
    return sorted(paths, key=os.path.basename)


def lock(fd: int, *, wait: bool = False) -> bool:
    """Lock an open journal, until it is closed; `False` where somebody else has, an OSError where
    the file system has no locks."""
    if sys.platform == "win32":
        import msvcrt

        # Other bytes of a locked range cannot be read: lock one far behind the end.
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
    else:
        import fcntl

        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
    return True


class _File:
    """A journal that this process has open and locked, and that nobody else can read; an OSError
    where it cannot be made, or others may write there."""

    def __init__(self, path: str) -> None:
        self.path = path
        folder = os.path.dirname(path)
        if not is_in_user_directory(path):
            _make_private(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            require_own(folder)
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(user_path(), 0o700, exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            require_own(folder)
            fd = os.open(path, flags, 0o600)
        # Somebody who looks for the dead may hold it for a moment. Without locks it tells by its
        # age that it is alive.
        with suppress(OSError):
            lock(fd, wait=True)
        self.fd: int | None = fd

    def write(self, data: bytes, back: int = 0) -> None:
        """Write lines, over so many bytes at the end; an OSError if not to their end."""
        assert self.fd is not None
        if back:
            os.lseek(self.fd, -back, os.SEEK_CUR)
        while data:
            count = os.write(self.fd, data)
            if not count:
                raise OSError(28, "no space left")
            data = data[count:]

    def write_line(self, line: str) -> None:
        """Write a line without keys; see `write`."""
        self.write(masked(line).encode())

    def close(self, *, keep: bool) -> None:
        """Let go of the file, and delete it unless it is to be kept for others to take up."""
        fd, self.fd = self.fd, None
        if fd is not None:
            with suppress(OSError):
                close(fd, None if keep else self.path)


def close(fd: int, gone: str | None) -> None:
    """Close a journal, and delete the file at the path `gone`; an OSError if that fails."""
    try:
        if gone is not None and os.name != "nt":
            os.unlink(gone)
    finally:
        os.close(fd)
    if gone is not None and os.name == "nt":
        # There an open file cannot be deleted.
        os.unlink(gone)


class _Kept:
    """What has a file of its own, once there is a place for it.

    Args:
        database: The path of the log database, where it is not the one of the user directory.
    """

    _file: _File | None = None

    def __init__(self, database: str | None) -> None:
        self._database = database

    @property
    def path(self) -> str | None:
        """Where it lies, or lay; `None` where it never had a place."""
        return None if self._file is None else self._file.path

    def _place(self, name: str, write: Callable[[_File], None]) -> bool:
        """Have a file in the first place that takes everything, other than the one there is.

        The old file goes, unless there is no such place: then this is `False`."""
        for folder in folders():
            path = os.path.join(folder, name)
            if path == self.path:
                continue
            file = None
            try:
                file = _File(path)
                write(file)
            except OSError:
                if file is not None:
                    file.close(keep=False)
                continue
            self.close(keep=False)
            self._file = file
            return True
        return False

    def close(self, *, keep: bool = True) -> None:
        """Let go of the file, and delete it unless it is to be kept for others to take up."""
        if self._file is not None:
            self._file.close(keep=keep)


class Journal(_Kept):
    """The journal of one response; an observer that the response tells what comes.

    Args:
        database: As for `_Kept`.
        results: What the request takes over: given up once that is taken down.
    """

    _response: _BaseResponse | None = None
    # What was written does not contain everything: no place could take it.
    _is_torn = False

    def __init__(self, database: str | None = None, results: ResultsJournal | None = None) -> None:
        super().__init__(database)
        self._results = results
        self._lines = EventLines()

    @property
    def is_whole(self) -> bool:
        """Whether everything so far is on disk."""
        return self._file is not None and self._file.fd is not None and not self._is_torn

    def begun(self, response: _BaseResponse) -> None:
        """Take down the request, which is about to be sent."""
        if self._response is not None:
            self._lines = EventLines()
            self._write(json_line({"again": response.started_utc()}).encode())
            return
        self._response = response
        self._move()
        if self._results is not None:
            self._results.close(keep=not self.is_whole)
            self._results = None

    def recorded(self, event: StreamEvent) -> None:
        """Take down one event."""
        back, data = self._lines.add(event)
        self._write(data, back)

    def finished(self, outcome: tuple[str, str, str] | None) -> None:
        """Take down the end; `outcome` says why an answer is not complete, see `Outcome`."""
        if self._response is not None:
            end = done_line(self._response, outcome)
            self._write(masked(end).encode())
            if self._is_torn:
                # Perhaps there is room again.
                self._move(end)

    def _write(self, data: bytes, back: int = 0) -> None:
        """Write lines, over so many bytes at the end; all of it elsewhere where that fails."""
        if self._file is not None and self.is_whole:
            try:
                self._file.write(data, back)
            except OSError:
                self._move()

    def _move(self, end: str = "") -> None:
        """Write everything so far, and the last line of an answer at its end, to another place."""
        response = self._response
        assert response is not None

        def write_all(file: _File) -> None:
            for line in request_lines(response, self._database, os.path.abspath(user_path())):
                file.write_line(line)
            self._lines = EventLines()
            for event in response.event_log:
                back, data = self._lines.add(event)
                file.write(data, back)
            file.write_line(end)

        name = f"{response.id}{'.end' if end else ''}{SUFFIX}"
        self._is_torn = not self._place(name, write_all)


class ResultsJournal(_Kept):
    """Results of tools that have run, until they are part of a request.

    Args:
        thread_id: The conversation.
        caller: The response that asked for the calls; `None` for one of an earlier process.
        tip: The address of the message that the conversation ends in, where that is in the log.
        database: As for `_Kept`.
    """

    def __init__(
        self, thread_id: str, caller: str | None, tip: str | None, database: str | None
    ) -> None:
        super().__init__(database)
        self.request: JSONObject = {"results_of": caller, "thread": thread_id, "tip": tip}
        self.parts: list[Part] = []

    def add(self, result: ToolResult) -> None:
        """Take down one result."""
        from ..models.prompt import result_part

        part = result_part(result)
        self.parts.append(part)
        if self._file is not None:
            with suppress(OSError):
                self._file.write_line(json_line({"result": part.to_dict()}))

    def begin(self) -> None:
        """Make the file before a tool runs, so that its result is one write away."""
        from ..text import new_ulid

        places = {"database": self._database, "user": os.path.abspath(user_path())}
        header = json_line({"journal": FORMAT, **self.request, **places})
        self._place(f"{new_ulid()}{SUFFIX}", lambda file: file.write_line(header))


def open_own(path: str) -> int:
    """Open a journal that nobody else can have written, to be read, locked and closed.

    Raises:
        PermissionError: It may be somebody else's, as it or its folder belongs to them, can be
            written by them, is a link, or is no file.
        FileNotFoundError: It is gone.
    """
    folder = os.path.dirname(path)
    require_own(folder)
    if not is_in_user_directory(path):
        require_own(os.path.dirname(folder))
    flags = os.O_RDWR
    for name in ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        # Among them a link, which is not followed.
        raise PermissionError(error.errno, error.strerror, path) from error
    found = os.fstat(fd)
    if not (stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and _is_own(found, _WRITERS)):
        os.close(fd)
        raise PermissionError(errno.EPERM, "others can write to it", path)
    return fd


def _make_private(folder: str) -> None:
    """Make a folder outside the user directory; an OSError where others can get in."""
    parent = os.path.dirname(folder)
    os.makedirs(os.path.dirname(parent), exist_ok=True)
    for path, forbidden in ((parent, _WRITERS), (folder, 0o077)):
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        require_own(path, forbidden)


def require_own(folder: str, forbidden: int = _WRITERS) -> None:
    """Raise an OSError unless a folder is there, ours, no link, and has no forbidden bit.

    In a directory that all may write to, somebody else may have been faster.
    """
    found = os.lstat(folder)
    if not (stat.S_ISDIR(found.st_mode) and _is_own(found, forbidden)):
        raise PermissionError(errno.EPERM, "others can get in", folder)


def _is_own(found: os.stat_result, forbidden: int) -> bool:
    if sys.platform == "win32":
        return True
    return found.st_uid == os.getuid() and not found.st_mode & forbidden
