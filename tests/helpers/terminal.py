"""A command at a terminal of its own (Unix only)."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

RUN_LLM = [sys.executable, str(Path(__file__).parent / "run_llm.py")]
LIMIT_SECONDS = 40


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """The end of a pipe that a process was started with."""
    assert stream is not None
    return stream


class Terminal:
    """The user's end of a terminal: what they type and what they see."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.seen = ""

    def type(self, keys: str) -> None:
        """Press keys; `\\x03` is Ctrl-C, `\\x04` Ctrl-D, `\\r` Enter."""
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> str:
        """Everything shown up to `text`, which is taken off what is left to see."""
        while text not in self.seen:
            assert self._read(), f"{text!r} was not shown, but {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def rest(self) -> str:
        """Everything shown until the command closes the terminal."""
        while self._read():
            pass
        return self.seen

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], LIMIT_SECONDS)
        assert ready, f"nothing more was shown after {self.seen!r}"
        try:
            raw = os.read(self._master, 65536)
        except OSError:
            # Linux says so when the other end was closed.
            return False
        self.seen += raw.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(raw)


@contextlib.contextmanager
def at_terminal(
    *args: str,
    streams: tuple[str, ...] = ("stdin", "stdout", "stderr"),
    launcher: Sequence[str] = RUN_LLM,
    **env: Any,
) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """The command with the fake models, with the named streams on a terminal; no other input."""
    import pty

    master, slave = pty.openpty()
    others = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    ends = {name: slave if name in streams else other for name, other in others.items()}
    process = subprocess.Popen(
        [*launcher, *args],
        stdin=ends["stdin"],
        stdout=ends["stdout"],
        stderr=ends["stderr"],
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **env},
        # A terminal of its own, so that Ctrl-C typed there reaches the command and no one else.
        preexec_fn=_take_terminal if "stdin" in streams else None,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield process, Terminal(master)
    finally:
        process.kill()
        process.communicate()
        os.close(master)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
