"""`llm.Database`: the log, for Python programs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, overload

from ._lazy import for_hints
from .errors import NotFound
from .files import config
from .logs.file.db import open_for_reading, open_in_memory, open_log
from .logs.file.migrations import connection_of
from .logs.read.query import LogFilters, iter_rows, matching_ids
from .logs.records.threads import ConversationInfo, list_conversations, require_conversation_id
from .text.times import parse_time

if TYPE_CHECKING:
    import sqlite3

    import sqlite_utils
    from typing_extensions import Self

    from .logs.read.rows import Row
    from .models.base import _AsyncModel, _BaseModel, _Model
    from .models.conversation import AsyncConversation, Conversation
else:
    for_hints(
        globals(),
        {
            "llm.logs.read.rows": "Row",
            "llm.models.base": "_AsyncModel _BaseModel _Model",
            "llm.models.conversation": "AsyncConversation Conversation",
            "sqlite3": "",
            "sqlite_utils": "",
            "typing_extensions": "Self",
        },
    )

__all__ = ["ConversationInfo", "Database"]

Moment: TypeAlias = Union[date, timedelta, str]


class Database:
    """A log database: what was said, and a place to keep what will be.

    Nothing is logged from Python unless a `Database` is given as `log=` to a model's
    `conversation()`, `prompt()` or `chain()`, or `log()` is called. It may be used from several
    threads. The file is opened, and made where it is missing, with the first response to log.

    Args:
        path: The file; the `logs.db` of the user directory where missing. `:memory:` is a log that
            no file holds; it is gone once it is closed.

    Example:
        >>> import llm
        >>> with llm.Database("talks.db") as db:
        ...     conversation = llm.get_model().conversation(log=db)
        ...     conversation.prompt("Hi").text()  # doctest: +SKIP
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path: Path = Path(path) if path is not None else config.logs_db_path()
        self._is_in_memory = str(path) == ":memory:"
        self._database: sqlite_utils.Database | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; it is opened again when another response is logged."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def log(self, response: Any) -> None:
        """Record a response, or all responses of a chain, by its own `log_to_db`.

        Raises:
            LogError: The file cannot be written.
            ValueError: An asynchronous response was not awaited.
        """
        with self._lock:
            response.log_to_db(self._opened())

    __call__ = log

    def _opened(self) -> sqlite_utils.Database:
        with self._lock:
            if self._database is None:
                make = open_in_memory if self._is_in_memory else partial(open_log, self.path)
                self._database = make(any_thread=True)
            return self._database

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection that reads; `None` where there is no file yet."""
        if self._is_in_memory:
            yield connection_of(self._opened())
        elif self.path.exists():
            with closing(open_for_reading(self.path)) as conn:
                yield conn
        else:
            yield None

    def turns(
        self,
        query: str | None = None,
        *,
        model: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        conversation_id: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """The turns that pass all filters, as `llm logs --json` shows them.

        Args:
            query: Full-text search in the syntax of SQLite FTS5.
            model: The id or an alias of the model asked for, or the id of the one that answered.
            since: Only what began then or later: a `datetime` or `date`, an age as a `timedelta`,
                or a text such as `2026-01-31`, `3d` or `2h`. What names no time zone is of this
                machine's zone.
            until: Only what began before then; a date means its end.
            conversation_id: Only this conversation.
            limit: So many of the newest; of the best with `query`.

        Returns:
            Dictionaries, read as they are asked for: oldest first, with `query` the best first.

        Raises:
            LogError: The file cannot be read, or the query is not valid.
            InvalidInput: A time is not understood.
        """
        filters = LogFilters(
            limit=limit,
            model=model,
            query=query,
            conversation_id=conversation_id,
            since=_time(since),
            until=_time(until, end_of_day=True),
        )
        with self._reading() as conn:
            if conn is not None:
                yield from iter_rows(conn, matching_ids(conn, filters))

    def conversations(
        self, query: str | None = None, *, limit: int | None = None
    ) -> Iterator[ConversationInfo]:
        """The conversations, the one used last first: id, name, model, turns, last use.

        Args:
            query: Only those with this text in their title, or its words in a turn.
            limit: The most that are wanted.

        Raises:
            LogError: The file cannot be read.
        """
        with self._reading() as conn:
            if conn is not None:
                yield from list_conversations(conn, limit=limit, query=query)

    @overload
    def conversation(
        self, id: str | None = None, *, model: _Model | None = None, async_: Literal[False] = False
    ) -> Conversation: ...

    @overload
    def conversation(
        self, id: str | None = None, *, model: _AsyncModel | None = None, async_: Literal[True]
    ) -> AsyncConversation: ...

    def conversation(
        self, id: str | None = None, *, model: _BaseModel | None = None, async_: bool = False
    ) -> Conversation | AsyncConversation:
        """A conversation that can go on: with its history, and with this database as its log.

        Where the file of an attachment is gone, or has changed since, a warning says so, and the
        model gets a note in its place.

        Args:
            id: Its id or its title, or an unambiguous beginning of either; the conversation that
                was used last where missing.
            model: The model to go on with; the one that answered last where missing.
            async_: Give an `AsyncConversation`.

        Raises:
            NotFound: There is none.
            UnknownModelError: No `model` was given, and the one of the log is not installed.
        """
        from .logs.read.rehydrate import load_conversation

        wanted = id
        with self._reading() as conn:
            if id is not None and conn is not None:
                wanted = require_conversation_id(conn, id)
        source = self._opened() if self._is_in_memory else self.path
        found = load_conversation(source, wanted, async_=async_, model=model)
        if found is None:
            raise NotFound(f"No conversation found in {self.path}: nothing has been logged there")
        found.log = self
        return found

    def __repr__(self) -> str:
        return f"<Database {self.path}>"


def _time(moment: Moment | None, *, end_of_day: bool = False) -> str | None:
    if moment is None:
        return None
    if isinstance(moment, timedelta):
        moment = datetime.now(timezone.utc) - moment
    text = moment if isinstance(moment, str) else moment.isoformat()
    return parse_time(text, end_of_day=end_of_day)
