"""Keeping the responses of a command: a journal while one runs, then a turn in the log database."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..errors import LogError, NeedsKeyException
from ..files import config, tighten_database
from ..net.policy import forget, meanwhile
from ..terminal import show_note
from ..text import JSONObject
from ..text.secrets import masked, said_by
from .journal import Journal, ResultsJournal
from .journal_lines import described

if TYPE_CHECKING:
    import sqlite_utils

    from ..tools.calling import ToolResult
    from .request import AnyConversation, AnyResponse, LogSettings

# How often the preloader looks whether the main thread has come to wait for the network, below
# which share of that time at work it counts as waiting, and how many times in a row that must be.
IDLE_CHECK_SECONDS = 0.004
IDLE_SHARE = 0.25
IDLE_CHECKS = 6


class Recorder:
    """Keeps the responses of one command: in the log database, in memory for `--json`, or not.

    Every response passes `begin` before it is sent, and once when it is over `end`, or `break_off`
    where it is not complete. From `begun` on a journal holds what came, so that it outlasts the
    process; it goes when the turn is in the log. A database that cannot be written costs a line on
    stderr: the journal then stays, and the next command that can write the log takes it up.

    Args:
        log: Where the responses are logged, if they are.
        wants_rows: Whether `rows` is going to be asked for.
    """

    def __init__(self, log: LogSettings, *, wants_rows: bool = False) -> None:
        self._path = log.path if log.is_on else None
        self._journal_target = os.path.abspath(log.database) if log.database else None
        self._is_wanted = log.is_on or wants_rows
        self._database: sqlite_utils.Database | None = None
        self._preloader: _Preloader | None = None
        #: Every response that was about to be sent, of whatever model.
        self.begun: list[AnyResponse] = []
        self._unlogged: list[AnyResponse] = []
        self._results: ResultsJournal | None = None
        self._last: AnyResponse | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of the database; results that no request has taken go to the end of the thread."""
        if self._preloader is not None:
            self._preloader.finish()
        results = self._take_results()
        if results is not None:
            is_logged = self._append_results(results)
            results.close(keep=not is_logged)
        self._close_database()

    def begin(self, response: AnyResponse) -> None:
        """Get ready to keep `response`, which is about to be sent."""
        self.begun.append(response)
        if self._is_wanted and self._preloader is None:
            self._preloader = _Preloader()
        if self._path is not None:
            config.tell_if_shared(self._journal_target)
            response.observer = Journal(self._journal_target, self._take_results())

    def end(self, response: AnyResponse) -> None:
        """Keep `response`, which is complete."""
        if self._is_wanted:
            self._keep(response)

    def break_off(self, response: AnyResponse, error: BaseException) -> None:
        """Keep what came of `response` before `error` ended it; nothing where nothing was sent."""
        is_complete = response.has_ended and not response.cut_off
        if not response.has_ended:
            response.break_off()
        if not self._is_wanted:
            return
        if not is_complete:
            if not response.has_begun or isinstance(error, NeedsKeyException):
                _journal_of(response).close(keep=False)
                return
            from ..logs.records.outcome import FAILED, INTERRUPTED, Outcome

            is_failure = isinstance(error, Exception) and not isinstance(error, BrokenPipeError)
            status = FAILED if is_failure else INTERRUPTED
            response.outcome = Outcome(status, type(error).__name__, masked(said_by(error)))
        self._keep(response)

    def expect_result(self, conversation: AnyConversation) -> None:
        """Get ready to keep the result of a tool, which is about to run."""
        if self._path is None or self._results is not None:
            return
        last = self._last
        tip = (last or conversation).stored_tip
        caller = None if last is None else last.id
        self._results = ResultsJournal(
            conversation.id, caller, tip[1] if tip is not None else None, self._journal_target
        )
        self._results.begin()

    def keep_result(self, result: ToolResult) -> None:
        """Keep the result of a tool that has run, until it is part of a request."""
        if self._results is not None:
            self._results.add(result)

    def rows(self) -> list[JSONObject]:
        """The log records of the responses kept, oldest first, as `llm logs --json` has them."""
        from ..logs.file.db import open_memory
        from ..logs.read.rows import build_rows

        responses = [response for response in self.begun if not response.said_nothing()]
        if self._unlogged:
            self._close_database()
            self._database = open_memory()
            for response in responses:
                response.log_to_db(self._database)
        return build_rows(self._open().conn, [response.id for response in responses])

    def _keep(self, response: AnyResponse) -> None:
        self._last = response
        journal = _journal_of(response)
        journal.finished(response.outcome)
        try:
            response.log_to_db(self._open())
        except Exception as error:  # what it says comes from a server, or from a plugin
            self._unlogged.append(response)
            where = f"The answer is kept in {journal.path} until it can be logged"
            reason = _reason(error)
            show_note(f"{reason}. {where if journal.is_whole else 'This answer is not recorded'}")
            journal.close()
        else:
            journal.close(keep=False)

    def _take_results(self) -> ResultsJournal | None:
        results, self._results = self._results, None
        return results

    def _append_results(self, results: ResultsJournal) -> bool:
        """Whether the log has taken the results up."""
        from .recovery import append_results

        if not results.parts:
            return True
        if results.request["results_of"] in [response.id for response in self._unlogged]:
            return False
        try:
            append_results(self._open(), results.request, results.parts)
        except Exception as error:  # as above
            show_note(_reason(error))
            return False
        return True

    def _open(self) -> sqlite_utils.Database:
        if self._database is None:
            if self._preloader is not None:
                self._preloader.finish()
            self._database = self._opened()
        return self._database

    def _opened(self) -> sqlite_utils.Database:
        from ..logs.file.db import open_log, open_memory, set_aside

        if self._path is None:
            return open_memory()
        if self._journal_target is None:
            tighten_database(self._path)
        try:
            return open_log(self._path)
        except LogError:
            # A file that was named for this command may be anything: it stays where it is.
            moved = set_aside(self._path) if self._journal_target is None else None
            if moved is None:
                raise
            show_note(
                f"{self._path} was no usable database. It is now {moved}, unchanged, and a new log"
                " was begun"
            )
            return open_log(self._path)

    def _close_database(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _reason(error: Exception) -> str:
    if isinstance(error, LogError):
        return str(error)
    return f"The turn cannot be logged: {described(error)}"


def _journal_of(response: AnyResponse) -> Journal:
    observer = response.observer
    return observer if isinstance(observer, Journal) else Journal()


class _Preloader:
    """Imports what logging needs while the calling thread waits for the network.

    It holds back until the request is out, because on one interpreter lock it could only delay
    it.
    """

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._is_sent = False
        self._thread = threading.Thread(target=self._run, args=(_work_clock(),), daemon=True)
        # Where no thread can be started, whoever needs the imports makes them.
        self._is_running = True
        try:
            self._thread.start()
        except RuntimeError:
            self._is_running = False
        else:
            meanwhile(self._sent)

    def finish(self) -> None:
        """Stop holding back, and return when everything is imported or left to the caller."""
        if self._is_running:
            forget(self._sent)
            self._wake.set()
            self._thread.join()

    def _sent(self) -> None:
        self._is_sent = True
        self._wake.set()

    def _run(self, clock: Callable[[], float] | None) -> None:
        if self._may_begin(clock):
            from ..logs.write.store import preload

            preload()

    def _may_begin(self, clock: Callable[[], float] | None) -> bool:
        """Wait until the request is sent; whether that was before the imports are needed.

        A model that does not say when it is sent gives itself away by being idle for a while.
        """
        if clock is None:
            self._wake.wait()
            return self._is_sent
        worked, idle_checks = clock(), 0
        while idle_checks < IDLE_CHECKS and not self._wake.wait(IDLE_CHECK_SECONDS):
            before, worked = worked, clock()
            is_idle = worked - before < IDLE_CHECK_SECONDS * IDLE_SHARE
            idle_checks = idle_checks + 1 if is_idle else 0
        return self._is_sent or idle_checks >= IDLE_CHECKS


def _work_clock() -> Callable[[], float] | None:
    """A clock of the seconds that the calling thread was working, `None` where there is none.

    On Linux the time in which it could not work because the processors were taken counts too: a
    thread on a crowded machine is not idle.
    """
    path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
    try:
        _scheduled_seconds(path)
        return partial(_scheduled_seconds, path)
    except (OSError, ValueError):
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None:
            return None
        return partial(time.clock_gettime, clock_of(threading.get_ident()))


def _scheduled_seconds(path: str) -> float:
    with open(path, "rb") as file:
        on_processor, waiting_for_one, _ = file.read().split()
    return (int(on_processor) + int(waiting_for_one)) / 1e9
