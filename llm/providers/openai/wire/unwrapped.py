"""The JSON of a schema without what some models put around it: their thinking, and a fence."""

from __future__ import annotations

from collections.abc import Iterator

_OPEN, _CLOSE = "<think>", "</think>"
_FENCE = "```"
# What may stand behind the opening of a fence.
_LONGEST_INFO = 40
# The end of a fenced text that may be its closing.
_LONGEST_END = 200


class Unwrapper:
    """Takes an answer in pieces, and tells its JSON from its wrapping.

    An answer that begins with neither `<think>` nor a fence passes as it is.
    """

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""

    def feed(self, piece: str) -> Iterator[tuple[bool, str]]:
        """What a piece adds: texts, with each whether it is thinking."""
        if self._state == "plain":
            yield False, piece
            return
        text, self._held = self._held + piece, ""
        while text:
            before = self._state
            step = {"start": self._start, "thinking": self._think, "fenced": self._fenced}.get(
                before
            )
            if step is None:
                yield False, text
                return
            is_thought, found, text = step(text)
            if found:
                yield is_thought, found
            if self._state == before:
                # Of the rest nobody knows yet what it is.
                self._held = text
                return

    def end(self) -> str:
        """What was kept back, unless it closes the fence."""
        held, self._held = self._held, ""
        return "" if self._state == "fenced" and held.strip() in ("", _FENCE) else held

    def _start(self, text: str) -> tuple[bool, str, str]:
        begun = text.lstrip()
        if begun.startswith(_OPEN):
            self._state = "thinking"
            return True, "", begun[len(_OPEN) :]
        if begun.startswith(_FENCE):
            info, line_end, rest = begun.partition("\n")
            if line_end:
                self._state = "fenced"
                return False, "", rest
            if len(info) <= _LONGEST_INFO:
                return False, "", text
        elif _OPEN.startswith(begun) or _FENCE.startswith(begun):
            return False, "", begun
        self._state = "plain"
        return False, begun, ""

    def _think(self, text: str) -> tuple[bool, str, str]:
        thought, mark, rest = text.partition(_CLOSE)
        if mark:
            self._state = "start"
            return True, thought, rest
        kept = next(n for n in range(len(_CLOSE), -1, -1) if text.endswith(_CLOSE[:n]))
        return True, text[: len(text) - kept], text[len(text) - kept :]

    def _fenced(self, text: str) -> tuple[bool, str, str]:
        body = text.rstrip()
        ticks = len(body) - len(body.rstrip("`"))
        if ticks <= len(_FENCE):
            body = body[: len(body) - ticks].rstrip()
        place = max(len(body), len(text) - _LONGEST_END)
        return False, text[:place], text[place:]
