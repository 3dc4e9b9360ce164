"""The lines of a chat and what they mean."""

from __future__ import annotations

import pytest

from llm.run.line_editor import LineReader
from llm.run.repl import Edit, Leave, LineParser, Say, read_prompts


def feed_all(*lines: str) -> list[object]:
    """The actions that lines give, without those that ask for more."""
    parser = LineParser()
    return [action for line in lines if (action := parser.feed(line)) is not None]


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


def test_line_is_sent_as_typed() -> None:
    """A line is a prompt, its own spaces included."""
    assert feed_all("  hello there ") == [Say("  hello there ")]


@pytest.mark.parametrize("line", ["exit", " quit ", "exit  "])
def test_exit_words_leave_stripped(line: str) -> None:
    """`exit` and `quit` end the chat, with any white space around."""
    assert feed_all(line) == [Leave()]


@pytest.mark.parametrize("line", ["exit now", "!edit this", "!multiple", "quitting"])
def test_words_with_more_text_are_prompts(line: str) -> None:
    """A line that only begins like a command is a prompt."""
    assert feed_all(line) == [Say(line)]


def test_empty_lines_ask_again() -> None:
    """An empty line sends nothing."""
    assert feed_all("", "   ") == []


def test_edit_asks_for_editor() -> None:
    """`!edit` alone opens the editor."""
    assert feed_all("!edit") == [Edit()]


def test_multi_keeps_empty_lines() -> None:
    """Between `!multi` and `!end` every line counts, the empty ones too."""
    assert feed_all("!multi", "a", "", "exit", "  b", "!end") == [Say("a\n\nexit\n  b")]


def test_multi_with_word_ends_with_that_word() -> None:
    """`!multi X` is ended by `!end X` and by nothing else."""
    assert feed_all("!multi  X ", "a", "!end", "!end X") == [Say("a\n!end")]


def test_multi_without_text_sends_nothing() -> None:
    """An empty block is no prompt."""
    assert feed_all("!multi", "", "!end", "hi") == [Say("hi")]


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
