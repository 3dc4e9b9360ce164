"""Tool calls that arrive in pieces: which piece belongs to which call.

OpenAI gives each call an index, an id and a name, once. Compatible servers leave out any of them,
repeat them, or give all calls the same: what is left then is whether a call is whole already.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from llm.parts import StreamEvent

from .shapes import Call, CallIds, Json, arguments_text

_MARK = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)

#: Fields of a call that a server wants back as they were: Gemini's signatures, and LiteLLM's.
KEPT = ("extra_content", "provider_specific_fields")


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


# What is in a piece that brings more arguments of a call, and nothing else.
_MORE_OF_ONE = frozenset({"index", "function"})
_ARGUMENTS = frozenset({"arguments"})


class _Piece:
    """What a server sends of a call at a time."""

    def __init__(self, given: Json) -> None:
        function = given.get("function") or {}
        self.index: object = given.get("index")
        self.id: object = given.get("id")
        self.name = str(function.get("name") or "")
        self.arguments = arguments_text(function.get("arguments"))
        self.kept = {field: given[field] for field in KEPT if given.get(field)}

    @property
    def says_something(self) -> bool:
        """Whether there is anything in it; some servers send empty ones."""
        return bool(self.id or self.name or self.arguments)


class _Open:
    """A call that more pieces may come of."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._nesting = Nesting()
        self._seen = 0

    def more(self, arguments: str) -> Iterable[StreamEvent]:
        """Put more arguments to the call; the events that say so."""
        if not arguments:
            return ()
        self.call.pieces.append(arguments)
        return (StreamEvent("tool_call_args", arguments, None, self.call.id),)

    def has_another_id(self, piece: _Piece) -> bool:
        """Whether the server gives a piece an id, and gave the call another one."""
        given = self.call.given_id
        return bool(piece.id and given) and piece.id != given

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
        for given in filter(None, pieces):
            if given.keys() == _MORE_OF_ONE and (found := self._by_place.get(given["index"])):
                function = given["function"]
                if function.keys() == _ARGUMENTS and function["arguments"].__class__ is str:
                    # The usual piece of a long call.
                    yield from found.more(function["arguments"])
                    continue
            piece = _Piece(given)
            if piece.says_something or piece.index in self._by_place:
                call = self._begin(piece) if are_whole else self._place(piece)
                yield from _put(piece, call.call)

    def _place(self, piece: _Piece) -> _Open:
        """The call that a piece belongs to; a new one where it begins one."""
        found = self._found(piece)
        if found is None or self._begins_another(found, piece):
            found = self._begin(piece)
        elif piece.id and not found.call.given_id:
            found.call.given_id = piece.id
            self._by_id[piece.id] = found
        if piece.index is not None:
            self._by_place[piece.index] = found
        self._last = found
        return found

    def _begin(self, piece: _Piece) -> _Open:
        begun = _Open(Call(self._ids.take(piece.id), piece.id))
        self._calls.append(begun.call)
        if piece.id:
            self._by_id[piece.id] = begun
        return begun

    def _found(self, piece: _Piece) -> _Open | None:
        """The call that a piece goes on with, by what the server says about it."""
        if piece.index is not None and piece.index in self._by_place:
            return self._by_place[piece.index]
        if piece.name and piece.index is not None:
            return None
        if piece.id in self._by_id:
            return self._by_id[piece.id]
        last = self._last
        if piece.name:
            return None if piece.id else last
        return last if last and not last.is_whole() else None

    def _begins_another(self, found: _Open, piece: _Piece) -> bool:
        """Whether a piece with a name is another call, although index or id say that it is not."""
        call, name = found.call, piece.name
        if not name:
            return False
        has_other_id = found.has_another_id(piece)
        if not call.name:
            return has_other_id and found.is_whole()
        if name != call.name:
            # Else the name may come in pieces.
            return bool(has_other_id or call.pieces) or {name, call.name} <= set(self._names)
        if not call.pieces:
            return has_other_id
        return bool(has_other_id or piece.arguments) and found.is_whole()


def _put(piece: _Piece, call: Call) -> Iterator[StreamEvent]:
    """Put a piece to its call; the events that say so."""
    call.kept.update(piece.kept)
    # Some servers repeat the name with each piece, or send it in pieces.
    if piece.name and (not call.name or (not call.pieces and piece.name != call.name)):
        call.name += piece.name
        yield StreamEvent("tool_call_name", piece.name, tool_call_id=call.id)
    if piece.arguments:
        call.pieces.append(piece.arguments)
        yield StreamEvent("tool_call_args", piece.arguments, tool_call_id=call.id)
