"""What servers really send, in every way in which it can be asked for.

The cases are data: see `tests/data/wire/cases/README.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import pytest

from llm.providers.openai.transport import fast

from .helpers.wire_cases import (
    LAST_PROMPT,
    Case,
    Command,
    Library,
    Outcome,
    Way,
    WireServer,
    last_reply,
    ways,
)

ASKED = list(ways())


@pytest.mark.parametrize(("case", "way"), ASKED, ids=[f"{case}, {way}" for case, way in ASKED])
def test_case_comes_out_as_it_should(case: Case, way: Way) -> None:
    """Requests, text, reasoning, calls, errors and exit codes are those of the case."""
    with WireServer(case) as server:
        asker = Command(case, way, server) if way.by == "command" else Library(case, way, server)
        for turn in case.turns:
            server.add(*(server.reply(reply, way.form) for reply in turn["replies"]))
            begun = len(server.taken)
            check_outcome(asker.ask(turn), turn, way)
            paths = [request.path.replace("+", "%20") for request in server.taken[begun:]]
            assert paths == turn.get("paths", paths)
            sent = [request.body for request in server.taken[begun:]]
            check_requests(sent, turn.get("requests", [{}] * len(turn["replies"])), way)
        if way.by == "command" or not case.turns[-1].get("error"):
            check_next(case, way, server, asker)
    fast.close()


def check_outcome(outcome: Outcome, turn: Mapping[str, Any], way: Way) -> None:
    """Hold what came of a turn against what the case says."""
    expected = turn.get("error", [])
    expected = [expected] if isinstance(expected, str) else expected
    assert bool(outcome.error) == bool(expected), outcome
    assert [text for text in expected if text not in outcome.error] == [], outcome.error
    assert "Traceback" not in outcome.notes
    text = turn.get("text", "")
    assert outcome.text == text, outcome
    assert outcome.exit_code == (0 if not expected else 3 if text else 1)
    if outcome.reasoning is not None and "reasoning" in turn:
        assert outcome.reasoning == turn["reasoning"]
    if outcome.calls is not None and "calls" in turn:
        assert outcome.calls == turn["calls"]
    if outcome.notes:
        assert [text for text in turn.get("notes", []) if text not in outcome.notes] == []


def check_requests(sent: list[Any], expected: list[Mapping[str, Any]], way: Way) -> None:
    """Hold the requests of a turn against the fields that the case gives."""
    assert len(sent) == len(expected), sent
    for body, fields in zip(sent, expected, strict=True):
        assert bool(body.get("stream")) == way.streams
        taken = {name: body.get(name) for name in fields}
        assert taken == with_names(fields, taken)


def with_names(expected: Any, found: Any) -> Any:
    """What is expected, with the ids that we made ourselves in place of `<name>`s."""
    ids: dict[str, str] = {}

    def filled(value: Any, real: Any) -> Any:
        if isinstance(value, dict) and isinstance(real, dict):
            return {name: filled(item, real.get(name)) for name, item in value.items()}
        if isinstance(value, list) and isinstance(real, list):
            return [filled(*pair) for pair in zip_longest(value, real)][: len(value)]
        if isinstance(value, str) and value.startswith("<") and value.endswith(">"):
            # Each name stands for an id of its own.
            return ids.get(value) or (real not in ids.values() and ids.setdefault(value, real))
        return value

    return filled(expected, found)


def check_next(case: Case, way: Way, server: WireServer, asker: Command | Library) -> None:
    """One more prompt is answered, and what was before goes with it as the case says."""
    server.add(last_reply(case.data.get("api", "chat"), way.streams))
    outcome = asker.ask({"prompt": LAST_PROMPT})
    assert (outcome.exit_code, outcome.text, outcome.error) == (0, "Fine.", "")
    check_requests([server.taken[-1].body], [case.data.get("next", {})], way)
    if "refused" in case.data and way.by != "command":
        assert server.refused == case.data["refused"]
