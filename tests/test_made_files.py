"""Files that a model makes: kept in the log, and written with `--out`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.parts import AttachmentPart, StreamEvent

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


class Painter(llm.Model):
    """Makes two pictures and a text."""

    model_id = "painter"
    can_stream = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        yield "Here: "
        for content, kind in ((PNG, None), (b"jpeg", "image/jpeg"), (b"?", "x/y")):
            file = llm.Attachment(content=content, type=kind)
            yield StreamEvent("attachment", "", attachment=file)
        yield "done"


@pytest.fixture(autouse=True)
def _painter(plugin: Callable[..., ModuleType]) -> None:
    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        register(Painter())

    plugin("painter", register_models=register_models)


def run(*args: str, code: int = 0) -> Result:
    """The result of a command that ends with `code`."""
    result = CliRunner().invoke(cli, list(args))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_files_are_written_into_the_folder(tmp_path: Path) -> None:
    """Each file gets a name with the suffix of its type, told on stderr."""
    result = run("-m", "painter", "x", "--out", str(tmp_path / "new" / "out"))
    assert result.stdout == "Here: done\n"
    written = sorted((tmp_path / "new" / "out").iterdir())
    assert [path.suffix for path in written] == [".png", ".jpg", ".bin"]
    assert written[0].read_bytes() == PNG
    assert f"Wrote {written[0]}" in result.stderr


def test_files_are_kept_in_the_log(user_path: Path) -> None:
    """A response with files is read back with their bytes."""
    run("-m", "painter", "x")

    from llm.logs.read.rehydrate import load_conversation

    conversation = load_conversation(user_path / "logs.db", None)
    assert isinstance(conversation, llm.Conversation)
    parts = conversation.responses[0].messages()[0].parts
    attachments = [part.attachment for part in parts if isinstance(part, AttachmentPart)]
    contents = [attachment.content for attachment in attachments if attachment]
    assert contents == [PNG, b"jpeg", b"?"]


def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The answer is there all the same; the error names the folder."""
    (tmp_path / "file").write_text("x")
    result = run("-m", "painter", "x", "--out", str(tmp_path / "file" / "sub"), code=1)
    assert "Cannot write to" in result.stderr
    assert result.stdout == "Here: done\n"


def test_taken_names_are_left_alone(tmp_path: Path) -> None:
    """A name that exists gets a number."""
    from llm.prompting.made_files import _unused

    (tmp_path / "a.png").write_text("x")
    (tmp_path / "a-2.png").write_text("x")
    assert _unused(tmp_path, "a", ".png") == Path(tmp_path / "a-3.png")


def test_files_outlive_the_journal() -> None:
    """An event with a file is the same after it was written down."""
    from llm.prompting.journal_lines import _data, _read_event

    event = StreamEvent("attachment", "", attachment=llm.Attachment(content=PNG, type="image/png"))
    assert _read_event(json.loads(_data(event, "", False))) == event
