"""Rules about tool calls: their form, what they cover, and which of them wins."""

from __future__ import annotations

from typing import Any

import pytest

from llm.text import JSONObject
from llm.tools.policy import Candidate, Decision, Rule, Rules, decide


def call(tool: str = "read_file", **values: Any) -> Candidate:
    """A call with arguments, unless they are fields of a candidate."""
    fields = {
        name: values.pop(name)
        for name in ("toolbox", "is_untrusted", "side_effects")
        if name in values
    }
    return Candidate(tool, values, **fields)


@pytest.mark.parametrize(
    ("rule", "arguments", "covered"),
    [
        ("read_file", {}, True),
        ("read_*", {"path": "x"}, True),
        ("READ_FILE", {}, False),
        ("write_file", {}, False),
        ("read_file(path=docs/*)", {"path": "docs/a/b.md"}, True),
        ("read_file(path=docs/*)", {"path": "src/a.py"}, False),
        ("read_file(path=docs/*)", {}, False),
        ("read_file(path=docs/*)", {"path": "docs/../etc/passwd"}, False),
        ("read_file(path=*/../a)", {"path": "x/../a"}, True),
        ("read_file(path=*)", {"path": "../a"}, True),
        ("read_file(path=*, mode=r)", {"path": "a", "mode": "r"}, True),
        ("read_file(path=*, mode=r)", {"path": "a", "mode": "w"}, False),
        ("read_file(lines=1?)", {"lines": 12}, True),
        ("read_file(all=true)", {"all": True}, True),
        ('read_file(path="a, b=*")', {"path": "a, b=c"}, True),
        ("read_file()", {"path": "a"}, True),
        ("read_file(side_effects=True)", {}, True),
        ("read_file(side_effects=false)", {}, False),
    ],
)
def test_rule_allows_what_its_patterns_match(
    rule: str, arguments: JSONObject, covered: bool
) -> None:
    """Names and arguments are matched as text; a missing argument or a climbing path is not."""
    assert Rule.parse(rule).allows(call(**arguments)) is covered


def test_rule_covers_a_toolbox_and_what_it_declares() -> None:
    """The name of a toolbox covers its tools; `side_effects` is what the tool says of itself."""
    assert Rule.parse("SQLite").allows(call("SQLite_query", toolbox="SQLite"))
    only_looks = Rule.parse("*(side_effects=False)")
    assert only_looks.allows(Candidate("look", side_effects=False))
    # What a model writes is no declaration.
    assert not only_looks.allows(Candidate("write", {"side_effects": False}))


def test_rule_denies_paths_that_come_out_the_same() -> None:
    """A prohibition also sees through detours."""
    rule = Rule.parse("read_file(path=/etc/*)")
    assert rule.denies(call(path="/etc/passwd"))
    assert rule.denies(call(path="/home/../etc/passwd"))
    assert rule.denies(call(path="//etc/passwd"))
    assert not rule.denies(call(path="/home/x"))
    assert not rule.denies(call())


@pytest.mark.parametrize("text", ["", "a b", "f(x", "f(x)", "f(=y)", "f(x=1)y"])
def test_rule_of_another_form_is_refused(text: str) -> None:
    """What cannot be understood is an error that shows it."""
    with pytest.raises(ValueError, match="Not a rule"):
        Rule.parse(text)


def test_decision_is_left_to_ask_where_no_rule_holds() -> None:
    """Without rules only untrusted tools are asked about; always and never are obeyed."""
    untrusted = Candidate("f", is_untrusted=True)
    own = Candidate("f")
    assert decide([], own)[0] is Decision.ALLOW
    assert decide([], untrusted)[0] is Decision.ASK
    assert decide([Rules(ask="never")], untrusted)[0] is Decision.ALLOW
    assert decide([Rules(ask="always")], own)[0] is Decision.ASK
    assert decide([Rules(), Rules(ask="always")], own)[0] is Decision.ASK
    assert decide([Rules(ask="foreign"), Rules(ask="always")], own)[0] is Decision.ALLOW


def test_deny_beats_allow_and_the_first_origin_wins() -> None:
    """Within one origin deny wins; what the stronger origin says counts first."""
    both = Rules.parse(allow=["f"], deny=["f(x=1)"])
    assert decide([both], Candidate("f", {"x": 1}))[0] is Decision.DENY
    assert decide([both], Candidate("f", {"x": 2}))[0] is Decision.ALLOW
    stored = Rules.parse(deny=["f"])
    assert decide([Rules.parse(allow=["f"]), stored], Candidate("f"))[0] is Decision.ALLOW
    assert decide([Rules.parse(ask="never"), stored], Candidate("f"))[0] is Decision.DENY
    assert "the rule f denies it" in decide([stored], Candidate("f"))[1]


def test_rules_of_a_folder_hold_there_and_below() -> None:
    """Rules of folders are added to the others; the innermost `ask` counts."""
    data = {
        "ask": "always",
        "allow": ["a"],
        "folders": {"/home/me": {"allow": ["b"], "ask": "never"}, "/home/me/x": {"deny": ["c"]}},
    }
    inside = Rules.from_data(data, "/home/me/x/y")
    assert [rule.text for rule in inside.allow] == ["a", "b"]
    assert ([rule.text for rule in inside.deny], inside.ask) == (["c"], "never")
    outside = Rules.from_data(data, "/home/meow")
    assert ([rule.text for rule in outside.allow], outside.ask) == (["a"], "always")
    assert Rules.from_data({"folders": {"/": {"deny": ["d"]}}}, "/tmp").deny
    assert Rules.from_data(None, "/") == Rules()
    linked = Rules.from_data({"folders": {"/link": {"deny": ["d"]}}}, "/real", lambda path: "/real")
    assert linked.deny


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (["a"], "the file has to be a mapping"),
        ({"denny": []}, "'denny' in the file is not known"),
        ({"allow": "a"}, "allow has to be a list of rules"),
        ({"allow": [1]}, "allow has to be a list of rules"),
        ({"ask": False}, "ask is 'False', but has to be one of always, foreign, never"),
        ({"folders": {"/a": {"folders": {}}}}, "'folders' in folders: /a is not known"),
        ({"folders": {1: {}}}, "1 in folders is not known"),
        ({"folders": {"~/x": {}}}, "folders: '~/x' has to be an absolute path"),
    ],
)
def test_rules_of_another_form_are_refused(data: JSONObject, problem: str) -> None:
    """A mistake in the file is never passed over."""
    with pytest.raises(ValueError) as refused:
        Rules.from_data(data, "/")
    assert problem in str(refused.value)
