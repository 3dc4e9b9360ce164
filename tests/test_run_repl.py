"""The lines of a chat and what they mean."""

from __future__ import annotations

import pytest

from llm.run.line_editor import LineReader
from llm.run.repl import read_prompts


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
