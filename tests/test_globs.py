"""Patterns of `.gitignore` and `dir:`: what they match, and that matching always ends."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.material.gitignore import IgnoreRules, glob_pattern
from llm.material.loaders import load_folder

PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "?", "/", "**/", "/**", "[ab]"]), max_size=12)
PATHS = st.lists(st.sampled_from(["a", "b", "c", "/"]), min_size=1, max_size=12)


def matches(glob: str, path: str) -> bool:
    """Whether a pattern matches a path, by trying everything."""
    names, wanted = path.split("/"), glob.split("/")

    @cache
    def rest(i: int, j: int) -> bool:
        if i == len(wanted):
            return j == len(names)
        if wanted[i] == "**":
            is_last = i == len(wanted) - 1
            if is_last:
                return len(wanted) == 1 or j < len(names)
            return any(rest(i + 1, k) for k in range(j, len(names) + 1))
        return j < len(names) and name(wanted[i], names[j]) and rest(i + 1, j + 1)

    return rest(0, 0)


def name(glob: str, text: str) -> bool:
    """The same for a name between slashes."""
    if not glob:
        return not text
    if glob[0] == "*":
        return name(glob[1:], text) or bool(text and name(glob, text[1:]))
    if not text:
        return False
    if glob.startswith("[ab]"):
        return text[0] in "ab" and name(glob[4:], text[1:])
    return glob[0] in ("?", text[0]) and name(glob[1:], text[1:])


@given(PATTERNS.map("".join), PATHS.map("".join))
def test_matches_are_those_of_trying_everything(glob: str, path: str) -> None:
    """What is settled early is what trying everything finds."""
    clean = "/".join(filter(None, path.split("/"))) or "a"
    glob = "/".join(filter(None, glob.split("/"))) or "a"
    assert bool(glob_pattern(glob).fullmatch(clean)) == matches(glob, clean)


HARD = {
    "stars": ("*a" * 25 + "b", "a" * 250),
    "stars and sets": ("*[ab]?" * 25 + "c", "a" * 250),
    "folders": ("**/" * 25 + "x", "a/" * 250 + "y"),
    "folders and names": ("**/a/" * 25 + "x", "a/" * 250 + "y"),
    "folders and stars": ("**/*a*b/" * 25 + "x", "aaab/" * 250 + "y"),
    "stars in folders": ("**/*a*a*a*" * 12 + "x", "aaaa/" * 250 + "y"),
    "names of stars": ("*/" * 25 + "x", "aaaa/" * 250 + "y"),
    "two stars at the end": ("**/*a*b*/" * 12 + "**", "aaaa/" * 250 + "y"),
    "stars within a name": ("a**b" * 25 + "x", "ab" * 120),
}


@pytest.mark.parametrize("kind", HARD)
def test_no_pattern_takes_for_ever(kind: str) -> None:
    """Patterns on which a naive matcher would try billions of ways end at once."""
    glob, path = HARD[kind]
    assert not glob_pattern(glob).fullmatch(path)


@pytest.mark.parametrize("kind", HARD)
def test_hostile_rules_do_not_hinder(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with such a `.gitignore` is read, and such a pattern of `dir:` finds its files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    glob, _ = HARD[kind]
    odd = (" " * 100_000 + "x", "[" * 100_000, "[[:" * 50_000, "\\" * 99_999, "*a" * 50_000)
    (tmp_path / ".gitignore").write_text("\n".join([glob, f"!{glob}", *odd, "no.txt"]))
    folder = tmp_path / ("a" * 250)
    folder.mkdir()
    (folder / ("a" * 250)).write_text("text")
    (folder / "no.txt").write_text("text")
    [fragment] = load_folder(str(folder))
    assert str(fragment).endswith("\n---\ntext\n---\n")
    (folder / "x").write_text("found")
    found = load_folder(f"**/{'*a' * 25}*/x")
    assert [str(item).splitlines()[-2] for item in found] == ["found"]


def test_rule_longer_than_a_path_is_none(tmp_path: Path) -> None:
    """No path is as long as such a rule, which therefore decides nothing."""
    (tmp_path / ".gitignore").write_text("*" * 5000 + "\n*.log\n")
    rules = IgnoreRules(tmp_path)
    assert rules.ignores(tmp_path / "x.log", is_folder=False)
    assert not rules.ignores(tmp_path / "x.txt", is_folder=False)
