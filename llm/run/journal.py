"""The journal of a response: the request, and each event as it comes, on disk until it is logged.

A journal is a file of JSON lines that its owner keeps locked. A process that dies leaves its
journals, and its locks with it go: `run.recovery` takes them up. Nothing here fails a prompt: where
one place cannot be written the next one is tried.

Lines: the request (an object with the key `journal`); slices of its long texts (lists: message,
part, text); events (objects, or a text that goes on with the event before); `{"again": time}` where
the model is asked anew; `{"results": ...}`; `{"done": ...}` at the end. Where a key in use was
taken out again, lines may be empty texts, and spaces may follow them.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..files.config import user_path
from ..text import JSONObject
from ..text.secrets import masked
from .journal_lines import EventLines, json_line

if TYPE_CHECKING:
    from ..models.prompt import AnyTool, Prompt
    from ..models.response_base import _BaseResponse
    from ..parts import Part, StreamEvent
    from ..tools.calling import ToolResult

SUFFIX = ".jsonl"
FOLDER = "inflight"
# Texts of a request that are longer are written in slices of this length.
SLICE = 1 << 20


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
    paths = []
    for folder in folders():
        with suppress(OSError):
            names = os.listdir(folder)
            paths += [os.path.join(folder, name) for name in names if name.endswith(SUFFIX)]
    return sorted(paths, key=os.path.basename)


if sys.platform == "win32":

    def lock(fd: int, *, wait: bool = False) -> bool:
        """Lock an open journal, until it is closed; `False` where somebody else has."""
        import msvcrt

        # Other bytes of a locked range cannot be read: lock one far behind the end.
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def lock(fd: int, *, wait: bool = False) -> bool:
        """Lock an open journal, until it is closed; `False` where somebody else has."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


class Journal:
    """The journal of one response; an observer that the response tells what comes.

    Args:
        database: The path of the log database, where it is not the one of the user directory.
    """

    path: str | None = None
    _fd: int | None = None
    _response: _BaseResponse | None = None
    # What was written does not contain everything: no place could take it.
    _is_torn = False

    def __init__(self, database: str | None = None) -> None:
        self._database = database
        self._lines = EventLines()

    @property
    def is_whole(self) -> bool:
        """Whether everything so far is on disk."""
        return self._fd is not None and not self._is_torn

    def begun(self, response: _BaseResponse) -> None:
        """Take down the request, which is about to be sent."""
        if self._response is not None:
            self._lines = EventLines()
            self._write(f'{{"again": "{response.started_utc()}"}}\n'.encode())
            return
        self._response = response
        self._move()

    def recorded(self, event: StreamEvent) -> None:
        """Take down one event."""
        back, data = self._lines.add(event)
        self._write(data, back)

    def finished(self, outcome: tuple[str, str, str] | None) -> None:
        """Take down the end of the answer.

        Args:
            outcome: Status, error class and error text of an answer that is not complete.
        """
        if self._response is not None:
            self._write(masked(_done_line(self._response, outcome)).encode())
            if self._is_torn:
                # Perhaps there is room again.
                self._move(outcome, is_finished=True)

    def remove(self) -> None:
        """Delete the journal: its response is in the log."""
        self.close(keep=False)

    def close(self, *, keep: bool = True) -> None:
        """Let go of the file; from here on it is for others to take up."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        if not keep and self.path is not None:
            with suppress(OSError):
                os.unlink(self.path)
        os.close(fd)
        if not keep and self.path is not None and os.name == "nt":
            # There an open file cannot be deleted.
            with suppress(OSError):
                os.unlink(self.path)

    def _write(self, data: bytes, back: int = 0) -> None:
        """Write lines, over so many bytes at the end; all of it elsewhere where that fails."""
        if self._fd is None or self._is_torn:
            return
        try:
            if back:
                os.lseek(self._fd, -back, os.SEEK_CUR)
            if os.write(self._fd, data) == len(data):
                return
        except OSError:
            pass
        self._move()

    def _move(
        self, outcome: tuple[str, str, str] | None = None, *, is_finished: bool = False
    ) -> None:
        """Write everything so far to the first place that takes it; the old journal stays where
        there is none."""
        assert self._response is not None
        response, old = self._response, Journal(self._database)
        old.path, old._fd = self.path, self._fd
        name = f"{response.id}{'.end' if is_finished else ''}{SUFFIX}"
        for folder in folders():
            path = os.path.join(folder, name)
            if path == old.path:
                continue
            try:
                self._fd = _create(path)
                self.path = path
                self._write_all(response, outcome, is_finished)
            except OSError:
                self.close(keep=False)
                continue
            self._is_torn = False
            old.remove()
            return
        self.path, self._fd, self._is_torn = old.path, old._fd, True

    def _write_all(
        self, response: _BaseResponse, outcome: tuple[str, str, str] | None, is_finished: bool
    ) -> None:
        assert self._fd is not None
        for line in _request_lines(response, self._database):
            write_whole(self._fd, line)
        self._lines = EventLines()
        for event in response.event_log:
            back, data = self._lines.add(event)
            os.lseek(self._fd, -back, os.SEEK_CUR)
            _write_bytes(self._fd, data)
        if is_finished:
            write_whole(self._fd, _done_line(response, outcome))


class ResultsJournal:
    """Results of tools that have run, until they are part of a request.

    Args:
        thread_id: The conversation.
        caller: The response that asked for the calls; `None` for one of an earlier process.
        tip: The address of the message that the conversation ends in, where that is in the log.
        database: As for `Journal`.
    """

    def __init__(
        self, thread_id: str, caller: str | None, tip: str | None, database: str | None
    ) -> None:
        self.thread_id, self.caller, self.tip = thread_id, caller, tip
        self.parts: list[Part] = []
        self._journal = Journal(database)

    def add(self, result: ToolResult) -> None:
        """Take down one result."""
        from ..models.prompt import result_part

        part = result_part(result)
        self.parts.append(part)
        if self._journal._fd is not None:
            with suppress(OSError):
                write_whole(self._journal._fd, json_line({"result": part.to_dict()}))

    def begin(self) -> None:
        """Make the file before a tool runs, so that its result is one write away."""
        from ..text.ids import new_ulid

        header = {
            "journal": 1,
            "results_of": self.caller,
            "thread": self.thread_id,
            "tip": self.tip,
            "database": self._journal._database,
            "user": os.path.abspath(user_path()),
        }
        name = f"{new_ulid()}{SUFFIX}"
        for folder in folders():
            self._journal.path = os.path.join(folder, name)
            with suppress(OSError):
                self._journal._fd = _create(self._journal.path)
                write_whole(self._journal._fd, json_line(header))
                break

    def close(self, *, keep: bool) -> None:
        """Let go of the file, and delete it unless it is to be kept for others to take up."""
        self._journal.close(keep=keep)


def _create(path: str) -> int:
    """A new journal, open and locked, that nobody else can read.

    Raises:
        OSError: It cannot be made, or others may write where it would lie.
    """
    if not is_in_user_directory(path):
        _make_private(os.path.dirname(path))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(user_path(), 0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(path), 0o700)
        fd = os.open(path, flags, 0o600)
    # Somebody who looks for the dead may hold it for a moment.
    lock(fd, wait=True)
    return fd


def _make_private(folder: str) -> None:
    """Make a folder outside the user directory, or see to it that it belongs to nobody else.

    Raises:
        OSError: It cannot be made, or others can get in.
    """
    parent = os.path.dirname(folder)
    os.makedirs(os.path.dirname(parent), exist_ok=True)
    for path, forbidden in ((parent, 0o022), (folder, 0o077)):
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        if os.name != "nt":
            # In a directory that all may write to, somebody else may have been faster.
            found = os.lstat(path)
            is_own = found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)
            if not is_own or found.st_mode & forbidden:
                raise PermissionError(13, "others can get in", path)


def write_whole(fd: int, line: str) -> None:
    """Write a line.

    Raises:
        OSError: It could not be written to its end.
    """
    _write_bytes(fd, masked(line).encode())


def _write_bytes(fd: int, content: bytes) -> None:
    data = memoryview(content)
    while data:
        count = os.write(fd, data)
        if not count:
            raise OSError(28, "no space left")
        data = data[count:]


def _done_line(response: _BaseResponse, outcome: tuple[str, str, str] | None) -> str:
    done = {
        "outcome": outcome,
        "started": response.started_utc(),
        "duration_ms": response.elapsed_ms(),
        "usage": [response.input_tokens, response.output_tokens, response.token_details],
        "resolved_model": response.resolved_model,
        "response_json": response.response_json,
        "calls": [[call.name, call.arguments, call.tool_call_id] for call in response.calls_so_far],
    }
    return json_line({"done": done})


def _request_lines(response: _BaseResponse, database: str | None) -> Iterator[str]:
    """The request, without that part of its history which is in the log already."""
    prompt = response.prompt
    stored = response.stored_part()
    messages: list[Any] = [
        message.to_dict() for message in prompt.full_messages[stored[0] if stored else 0 :]
    ]
    slices = list(_cut_long_texts(messages))
    yield json_line(
        {
            "journal": 1,
            "id": response.id,
            "started": response.started_utc(),
            "thread": response.thread_id(),
            "name": getattr(response.conversation, "name", None),
            "foreign": sorted(getattr(response.conversation, "untrusted_tools", ())),
            "database": database,
            "user": os.path.abspath(user_path()),
            "model": response.model.model_id,
            "after": stored,
            "messages": messages,
            **_extras(prompt),
        }
    )
    for message, part, text in slices:
        for start in range(0, len(text), SLICE):
            yield json_line([message, part, text[start : start + SLICE]])


def _extras(prompt: Prompt) -> JSONObject:
    from ..models.options import option_values

    found = {
        "options": option_values(prompt),
        "schema": prompt.schema,
        "tools": [_tool(tool) for tool in prompt.tools],
        "instances": [
            [result.tool_call_id, _instance(result.instance)]
            for result in prompt.tool_results
            if result.instance is not None
        ],
        "fragments": _fragments(prompt.fragments),
        "system_fragments": _fragments(prompt.system_fragments),
        # The beginning is enough: a new thread is named after it.
        "title": (prompt.prompt or prompt.system)[:1000],
    }
    return {name: value for name, value in found.items() if value}


def _cut_long_texts(messages: Iterable[Any]) -> Iterator[tuple[int, int, str]]:
    """Take the long texts out of messages: index of the message, index of the part, text."""
    for index, message in enumerate(messages):
        for number, part in enumerate(message["parts"]):
            text = part.get("text")
            if text is not None and len(text) > SLICE:
                part["text"] = ""
                # Now: a slice might end within a key.
                yield index, number, masked(text)


def _fragments(texts: Iterable[str]) -> list[list[str]]:
    return [[str(text), getattr(text, "source", "")] for text in texts]


def _tool(tool: AnyTool) -> JSONObject:
    from ..tools.tool import ServerSideTool

    is_server_side = isinstance(tool, ServerSideTool)
    owner = tool if is_server_side else getattr(tool.implementation, "__self__", None)
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "plugin": tool.plugin,
        "server_side": is_server_side,
        "instance": _instance(owner),
    }


def _instance(instance: Any) -> list[Any] | None:
    """Class, plugin and arguments of a toolbox or provider tool."""
    arguments = getattr(instance, "_config", None)
    if not isinstance(arguments, dict):
        return None
    return [type(instance).__name__, getattr(instance, "plugin", None), arguments]
