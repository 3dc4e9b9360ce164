"""What a model, a plugin or a service says never controls the terminal."""

from __future__ import annotations

import ast
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm.parts import EventType, StreamEvent
from llm.terminal import StreamDisplay, WholeDisplay, coloured, say
from llm.text import visible

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
OVERRIDES = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]
SEQUENCES = [
    "\x1b]52;c;cm0gLXJm\x07",  # writes the clipboard
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",  # a link that lies
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",  # erases the screen
    "\x1b[1A\x1b[2K",  # rewrites the line before
    "\x9b31m",  # the same begun with one C1 character
    "\x1b[6n",  # asks for an answer, which would be typed
    "\x1bP+q544e\x1b\\",
    "\u202egnp.exe\u202c",
    "a\rb",
    "a\x08b",
]
FORBIDDEN = set(CONTROLS + OVERRIDES) - {"\n", "\t"}

dangerous = st.lists(
    st.one_of(
        st.sampled_from(CONTROLS + OVERRIDES),
        st.sampled_from(SEQUENCES),
        st.text(max_size=5),
        st.just("\r\n"),
    ),
    max_size=12,
).map("".join)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


def cut(text: str, places: list[int]) -> list[str]:
    """The text in pieces."""
    at = sorted({place % (len(text) + 1) for place in places})
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


def shown(pieces: list[str], kind: EventType = "text", raw: bool = False) -> tuple[str, str]:
    """What a terminal gets on stdout and stderr when these pieces arrive."""
    out, err = Terminal(), Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        display = StreamDisplay(show_reasoning=True, raw=raw)
        for piece in pieces:
            display.event(StreamEvent(kind, piece))
        display.finish("".join(pieces))
    return out.getvalue(), err.getvalue()


@given(dangerous)
def test_visible_leaves_nothing_to_execute(text: str) -> None:
    """No control character but newline and tab, and nothing that turns the direction, is left."""
    assert not FORBIDDEN & set(visible(text))
    assert all(unicodedata.category(c) != "Cc" or c in "\n\t" for c in visible(text))


@given(st.text())
def test_visible_keeps_what_is_harmless(text: str) -> None:
    """Everything else stays as it is, each character in its place."""
    harmless = "".join(c for c in text if c not in FORBIDDEN)
    assert visible(harmless) == harmless


@given(dangerous, st.lists(st.integers(0, 99), max_size=5))
def test_pieces_are_shown_like_the_whole(text: str, places: list[int]) -> None:
    """A sequence that is split across chunks is as harmless as one that is not."""
    pieces = cut(text, places)
    assert shown(pieces)[0] == visible(text) + "\n"
    assert not FORBIDDEN & set(shown(pieces)[0])


@given(dangerous, st.lists(st.integers(0, 99), max_size=5))
def test_reasoning_is_as_harmless_as_text(text: str, places: list[int]) -> None:
    """Only the command's own colour codes reach the terminal."""
    err = shown(cut(text, places), "reasoning")[1]
    own = err.replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert not FORBIDDEN & set(own)


@given(dangerous, st.lists(st.integers(0, 99), max_size=5))
def test_raw_passes_on_what_the_model_said(text: str, places: list[int]) -> None:
    """With `--raw` nothing is changed, whatever it does to the terminal."""
    assert shown(cut(text, places), raw=True)[0] == text + "\n"


@given(dangerous)
def test_whole_answers_notes_and_lists_are_harmless(text: str) -> None:
    """So is whatever is written in one go: answers, notes, lines of lists."""
    out, err = Terminal(), Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        WholeDisplay().finish(text)
        say(text)
        say(text, err=True)
        err.write(coloured(text, "\x1b[33m"))
    assert not FORBIDDEN & set(out.getvalue())
    own = err.getvalue().replace("\x1b[33m", "").replace("\x1b[0m", "")
    assert not FORBIDDEN & set(own)


@given(dangerous)
def test_pipe_gets_the_bytes_of_the_model(text: str) -> None:
    """Where no terminal reads, nothing is changed."""
    out = io.StringIO(newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        say(text)
        WholeDisplay().finish(text)
    assert out.getvalue() == f"{text}\n{text}\n"


def test_commands_print_in_one_way() -> None:
    """No command writes past `say`, which is what makes lists harmless."""
    package = Path(llm.__file__).parent
    modules = [*package.glob("commands/*.py"), *package.glob("providers/*/commands.py")]
    wrong = []
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.echo", "print"):
                wrong.append(f"{path.name}:{node.lineno}")
    assert wrong == []


def test_say_without_a_stream_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A closed standard output is no error, and nothing goes to the other stream instead."""
    monkeypatch.setattr("sys.stdout", None)
    say("nobody hears this")
    assert capsys.readouterr().err == ""
