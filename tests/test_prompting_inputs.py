"""Text and attachments that go into a prompt."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from llm import terminal
from llm.errors import AttachmentError
from llm.prompting import inputs, material

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


class Piped(io.TextIOWrapper):
    """Standard input with bytes in it."""

    def __init__(self, raw: bytes, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(raw), encoding=encoding)


class Terminal(Piped):
    """Standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("raw", "typed", "text"),
    [
        (b"a\n", "b", "a\n b"),
        (b"a", None, "a"),
        (b"", "b", "b"),
        (b"", None, ""),
        (b"a\r\nb\rc", None, "a\nb\nc"),
    ],
)
def test_piped_text_goes_before_typed(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, typed: str | None, text: str
) -> None:
    """Standard input, a space, the argument; nothing is stripped."""
    monkeypatch.setattr(sys, "stdin", Piped(raw))
    assert material.prompt_text(typed, may_wait=False) == text


def test_terminal_is_read_only_when_waiting_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal is read where nothing else was given, and left alone otherwise."""
    monkeypatch.setattr(sys, "stdin", Terminal(b"typed later"))
    assert material.prompt_text("now", may_wait=False) == "now"
    assert material.prompt_text(None, may_wait=True) == "typed later"


def test_closed_stdin_counts_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process started without standard input gets an empty one."""
    monkeypatch.setattr(sys, "stdin", None)
    assert material.prompt_text("hi", may_wait=False) == "hi"
    assert terminal.read_stdin_line() == ""


def test_stdin_without_bytes_is_read_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for standard input that knows only text will do."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("first\nsecond\n"))
    assert terminal.read_stdin_line() == "first\n"
    assert terminal.read_stdin_text() == "second\n"


@pytest.mark.parametrize(
    ("raw", "encoding", "text"),
    [
        ("é".encode(), "ascii", "é"),
        ("é".encode("latin-1"), "latin-1", "é"),
        (b"a\xff", "ascii", "a\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_stdin_of_any_encoding_becomes_text(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, encoding: str, text: str
) -> None:
    """UTF-8 is tried first, then the locale's encoding; bytes that fit neither are replaced."""
    monkeypatch.setattr(sys, "stdin", Piped(raw, encoding))
    assert terminal.read_stdin_text() == text


def test_argument_with_undecodable_bytes_is_cleaned() -> None:
    """A lone surrogate from the command line never reaches a model or the database."""
    assert terminal.clean_argument("a\udcffb") == "a\N{REPLACEMENT CHARACTER}b"
    assert terminal.clean_argument("caf\udcc3\udca9") == "café"
    assert terminal.clean_argument("half \ud83d") == "half ?"


def test_attachment_of_path_is_absolute_and_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path is stored absolute, with the type that its bytes show."""
    (tmp_path / "dot.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    attachment = inputs.attachment_from("dot.png")
    assert (attachment.type, attachment.path) == ("image/png", str(tmp_path / "dot.png"))


def test_attachment_of_stdin_takes_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is the content of standard input."""
    monkeypatch.setattr(sys, "stdin", Piped(PNG))
    attachment = inputs.attachment_from("-")
    assert (attachment.type, attachment.content) == ("image/png", PNG)


def test_attachment_of_empty_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attachment without bytes is a mistake worth telling."""
    monkeypatch.setattr(sys, "stdin", Piped(b""))
    with pytest.raises(AttachmentError, match="stdin is empty"):
        inputs.attachment_from("-")


def test_attachment_of_unknown_type_tells_the_way_out(tmp_path: Path) -> None:
    """Text has no magic number; the message names the option that gives a type."""
    path = tmp_path / "notes"
    path.write_text("plain text")
    with pytest.raises(AttachmentError, match=r"Could not determine mimetype of .*--at"):
        inputs.attachment_from(str(path))


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_attachment_that_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A missing file and a directory are refused, with or without a given type."""
    monkeypatch.chdir(tmp_path)
    for read in (inputs.attachment_from, lambda value: inputs.typed_attachment(value, "image/png")):
        with pytest.raises(AttachmentError, match=r"does not exist|is a directory"):
            read(name)


def test_attachment_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without read permission is refused before anything is sent."""
    path = tmp_path / "secret.png"
    path.write_bytes(PNG)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(AttachmentError, match="permission denied"):
        inputs.typed_attachment(str(path), "image/png")


def test_attachment_with_given_type_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--at` guesses nothing and fetches nothing."""
    attachment = inputs.typed_attachment("https://host.invalid/x", "audio/wav")
    assert (attachment.type, attachment.url) == ("audio/wav", "https://host.invalid/x")
    monkeypatch.setattr(sys, "stdin", Piped(b"text"))
    attachment = inputs.typed_attachment("-", "text/plain")
    assert (attachment.type, attachment.content) == ("text/plain", b"text")
