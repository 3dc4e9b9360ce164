"""The lines of a chat and what they mean."""

from __future__ import annotations

import pytest

from llm.prompting.line_editor import LineReader
from llm.prompting.repl import START_LINES, read_prompts, reply_to
from llm.text import edit_distance


def reader(*lines: object) -> LineReader:
    """A reader that gives lines, raises those that are exceptions, and then ends."""
    left = list(lines)

    def read_line(prompt: str) -> str:
        if not left:
            raise EOFError
        line = left.pop(0)
        if isinstance(line, type) and issubclass(line, BaseException):
            raise line
        return str(line)

    return read_line


def prompts_of(*lines: object) -> list[str]:
    """The prompts that lines give; the editor gives `edited`."""
    return list(read_prompts(reader(*lines), lambda: "edited"))


def test_line_is_sent_as_typed() -> None:
    """A line is a prompt, its own spaces included."""
    assert prompts_of("  hello there ") == ["  hello there "]


@pytest.mark.parametrize("line", ["exit", " quit ", "exit  "])
def test_exit_words_leave_stripped(line: str) -> None:
    """`exit` and `quit` end the chat, with any white space around."""
    assert prompts_of(line, "never") == []


@pytest.mark.parametrize("line", ["exit now", "!edit this", "!multiple", "quitting"])
def test_words_with_more_text_are_prompts(line: str) -> None:
    """A line that only begins like a command is a prompt."""
    assert prompts_of(line) == [line]


def test_empty_lines_ask_again() -> None:
    """An empty line sends nothing."""
    assert prompts_of("", "   ", "hi") == ["hi"]


def test_edit_asks_for_editor() -> None:
    """`!edit` alone opens the editor."""
    assert prompts_of("!edit") == ["edited"]


def test_multi_keeps_empty_lines() -> None:
    """Between `!multi` and `!end` every line counts, the empty ones too."""
    assert prompts_of("!multi", "a", "", "exit", "  b", "!end") == ["a\n\nexit\n  b"]
    assert prompts_of("!multi", "exit", "!end", "!multi", "!edit", "!end") == ["exit", "!edit"]


def test_multi_with_word_ends_with_that_word() -> None:
    """`!multi X` is ended by `!end X` and by nothing else."""
    assert prompts_of("!multi  X ", "a", "!end", "!end X") == ["a\n!end"]


def test_multi_without_text_sends_nothing() -> None:
    """An empty block is no prompt."""
    assert prompts_of("!multi", "", "!end", "hi") == ["hi"]
    assert prompts_of("!multi", "") == []


def test_end_of_input_sends_open_block() -> None:
    """What an unfinished block holds is sent at the end of input."""
    prompts = list(read_prompts(reader("!multi", "a", "b"), lambda: None))
    assert prompts == ["a\nb"]


def test_interrupt_takes_back_open_block() -> None:
    """Ctrl-C inside a block forgets the block and not the chat."""
    lines = reader("!multi", "a", KeyboardInterrupt, "b", KeyboardInterrupt, "never")
    assert list(read_prompts(lines, lambda: None)) == ["b"]


def test_prompt_shows_outside_blocks_only() -> None:
    """Inside a block there is no prompt sign."""
    signs = []

    def read_line(prompt: str) -> str:
        signs.append(prompt)
        return ["!multi", "a", "!end", "exit"][len(signs) - 1]

    assert list(read_prompts(read_line, lambda: None)) == ["a"]
    assert signs == ["> ", "", "", "> "]


def test_editor_gives_prompt_or_nothing() -> None:
    """The text of the editor is sent; an editor left without saving sends nothing."""
    texts = iter(["written", None])
    prompts = list(read_prompts(reader("!edit", "!edit", "exit"), lambda: next(texts)))
    assert prompts == ["written"]


def test_interrupt_in_the_editor_comes_back() -> None:
    """Ctrl-C there ends the editing and not the chat."""

    def edit() -> str | None:
        raise KeyboardInterrupt

    assert list(read_prompts(reader("!edit", "hi"), edit)) == ["hi"]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("!help", START_LINES[0]),
        (" !help ", "!attach <path or URL>"),
        ("!help me", START_LINES[0]),
        *(
            (line, "type 'exit' or 'quit'")
            for line in ("/exit", "/quit", "/EXIT", " /exit ", "/bye")
        ),
        *((line, "type 'exit' or 'quit'") for line in ("!exit", "!quit", "!Exit")),
        ("/help", "begin with an exclamation mark: !help"),
        ("/edit", "begin with an exclamation mark: !edit"),
        ("/attach a.png", "begin with an exclamation mark: !attach"),
        ("!attach", "!attach needs a path or URL"),
        ("!attach  ", "!attach needs a path or URL"),
        ("!fragment", "!fragment needs an alias, hash, path or URL"),
        ("!end", "!end ends the lines"),
        *((line, "did you mean !help?") for line in ("!hlep", "!halp", "!hel", "!helpme", "!HELP")),
        *((line, "did you mean !multi?") for line in ("!mutli", "!multy", "!mult", "!multin")),
        *((line, "did you mean !edit?") for line in ("!edti", "!edits", "!editor", "!edot it")),
        *((line, "did you mean !attach?") for line in ("!atach a.png", "!attatch b", "!attache")),
        *(
            (line, "did you mean !fragment?")
            for line in ("!fragmnt x", "!fragments x", "!frgament x")
        ),
    ],
)
def test_line_for_the_chat_is_answered_by_it(
    line: str, reply: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Help, other programs' words for leaving, slips and commands without what they need are no
    prompts."""
    assert prompts_of(line, "hi") == ["hi"]
    assert reply in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "line",
    [
        *(
            "!",
            "!!",
            "!important",
            "! help",
            "!multiple",
            "!edit this",
            "!end it",
            "!=",
            "wow!help",
        ),
        *("/", "/etc", "/exit the room", "/etc/passwd", "/help me", "exit!", "/multiply 2 3"),
        *("!" + "x" * 10_000, "!hlep\nin a pasted block", "<!-- !help -->"),
    ],
)
def test_other_line_is_a_prompt(line: str) -> None:
    """An exclamation mark or a slash alone makes no command."""
    assert prompts_of(line) == [line]


def test_commands_that_a_chat_lacks_are_text() -> None:
    """Where a plugin's chat takes no fragments, their word has no meaning, nor has one like it."""
    for line in ("!fragment", "!fragment x", "!fragmnt x"):
        assert reply_to(line, ("!attach",)) is None
    assert reply_to("!attach", ("!attach",)) is not None
    assert "!fragment" not in (reply_to("!help", ("!attach",)) or "!fragment")


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("hlep", "help", 2)],
)
def test_edit_distance(one: str, other: str, distance: int) -> None:
    """The number of insertions, deletions and replacements."""
    assert edit_distance(one, other) == distance
