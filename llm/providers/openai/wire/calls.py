"""Tool calls that arrive in pieces: which piece belongs to which call.

OpenAI gives each call an index, an id and a name, once. Compatible servers leave out any of them,
repeat them, or give all calls the same: what is left then is whether a call is whole already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from llm.parts import StreamEvent
from llm.utils import monotonic_ulid

from .shapes import Call, Json, arguments_text

_MARK = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)

#: Fields of a call that a server wants back as they were: Gemini's signatures, and LiteLLM's.
KEPT = ("extra_content", "provider_specific_fields")


def new_call_id() -> str:
    """An id for a tool call that comes without one."""
    return f"call_{str(monotonic_ulid()).lower()}"


class CallIds:
    """The ids of the calls of one answer: those that the server gives, each once; else new ones.

    Args:
        new_id: Makes a new one.
    """

    def __init__(self, new_id: Callable[[], str] | None = None) -> None:
        self._new_id = new_id or new_call_id
        self._taken: set[str] = set()

    def take(self, given: object) -> str:
        """The id of a call that came with this one, or with none."""
        call_id = str(given) if given else ""
        if not call_id or call_id in self._taken:
            call_id = self._new_id()
        self._taken.add(call_id)
        return call_id


class Nesting:
    """Whether JSON that arrives in pieces is whole: every bracket is closed again."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = False
        self._has_begun = False
        self._left = ""

    def add(self, text: str) -> None:
        """Take up the next piece."""
        text, self._left = self._left + text, ""
        for match in _MARK.finditer(text):
            mark = match[0]
            if mark == "\\":
                self._left = mark
            elif mark == '"':
                self._in_text = not self._in_text
            elif not self._in_text and mark in "{[":
                self._depth, self._has_begun = self._depth + 1, True
            elif not self._in_text and mark in "}]":
                self._depth -= 1

    @property
    def is_whole(self) -> bool:
        """Whether something has been opened, and nothing is open any more."""
        return self._has_begun and self._depth <= 0 and not self._in_text


class _Open:
    """A call that more pieces may come of."""

    def __init__(self, call: Call, given_id: object) -> None:
        self.call = call
        self.given_id = given_id
        self._nesting = Nesting()
        self._seen = 0

    def is_whole(self) -> bool:
        """Whether its arguments are a whole JSON object already."""
        for piece in self.call.pieces[self._seen :]:
            self._nesting.add(piece)
        self._seen = len(self.call.pieces)
        return self._nesting.is_whole or self.call.pieces == ["null"]


class ChatCalls:
    """The calls of one answer of Chat Completions, put together of their pieces.

    Args:
        ids: Gives each call its id.
        names: The names of the tools that may be called.
        calls: The list that each call is put into.
    """

    def __init__(self, ids: CallIds, names: Collection[str], calls: list[Call]) -> None:
        self._ids = ids
        self._names = names
        self._calls = calls
        self._by_place: dict[object, _Open] = {}
        self._by_id: dict[object, _Open] = {}
        self._last: _Open | None = None

    def add(self, pieces: Iterable[Json], *, are_whole: bool) -> Iterator[StreamEvent]:
        """What some pieces add to the answer; of a whole message each one is a call."""
        for piece in pieces:
            if piece:
                yield from self._piece(piece, is_whole=are_whole)

    def _piece(self, piece: Json, *, is_whole: bool) -> Iterator[StreamEvent]:
        function = piece.get("function") or {}
        name = str(function.get("name") or "")
        arguments = arguments_text(function.get("arguments"))
        if not (name or arguments or piece.get("id") or piece.get("index") in self._by_place):
            return
        call = (self._begin(piece) if is_whole else self._place(piece, name, arguments)).call
        call.kept.update({field: piece[field] for field in KEPT if piece.get(field)})
        # Some servers repeat the name with each piece, or send it in pieces.
        if name and (not call.name or (not call.pieces and name != call.name)):
            call.name += name
            yield StreamEvent("tool_call_name", name, tool_call_id=call.id)
        if arguments:
            call.pieces.append(arguments)
            yield StreamEvent("tool_call_args", arguments, tool_call_id=call.id)

    def _place(self, piece: Json, name: str, arguments: str) -> _Open:
        """The call that a piece belongs to; a new one where it begins one."""
        index = piece.get("index")
        found = self._found(index, piece.get("id"), name)
        if found is None or self._begins_another(found, piece.get("id"), name, arguments):
            found = self._begin(piece)
        if piece.get("id") and not found.given_id:
            found.given_id = piece["id"]
            self._by_id[found.given_id] = found
        if index is not None:
            self._by_place[index] = found
        self._last = found
        return found

    def _begin(self, piece: Json) -> _Open:
        given = piece.get("id")
        begun = _Open(Call(self._ids.take(given)), given)
        self._calls.append(begun.call)
        if given:
            self._by_id[given] = begun
        return begun

    def _found(self, index: object, given: object, name: str) -> _Open | None:
        """The call that a piece goes on with, by what the server says about it."""
        if index is not None and index in self._by_place:
            return self._by_place[index]
        if index is None and given in self._by_id:
            return self._by_id[given]
        last = self._last
        if name:
            return last if index is None and not given else None
        if given in self._by_id:
            return self._by_id[given]
        return last if last and not last.is_whole() else None

    def _begins_another(self, found: _Open, given: object, name: str, arguments: str) -> bool:
        """Whether a piece with a name is another call, although index or id say that it is not."""
        call = found.call
        if not name:
            return False
        if given and found.given_id and given != found.given_id:
            return found.is_whole() or bool(call.name and (name != call.name or not call.pieces))
        if not call.name or name == call.name:
            return bool(call.name and arguments) and found.is_whole()
        return bool(call.pieces) or {name, call.name} <= set(self._names)
