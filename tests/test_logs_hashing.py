"""The content address of a message depends on its content and history, and on nothing else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import llm
from llm.logs import HASH_PREFIX, canonical_json, content_hash, message_hash
from llm.logs.records.chains import attachment_digest, attachment_type
from llm.parts import AttachmentPart, Message, TextPart, ToolResultPart
from llm.text import JSONObject
from llm.text.secrets import storable_value
from tests.helpers.databases import DATA

VECTORS = json.loads((DATA / "hash_vectors.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_message_hash_of_vector_is_that_of_0_36(
    vector: JSONObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses agree with those that 0.36 wrote."""
    monkeypatch.chdir(DATA)
    message = Message.from_dict(vector["message"])
    assert message_hash(message, vector["parent"]) == vector["hash"]


def test_canonical_json_of_vectors_is_byte_for_byte_that_of_0_36() -> None:
    """Key order, separators and numbers are those of the vectors."""
    for vector in VECTORS:
        assert canonical_json(json.loads(vector["canonical"])) == vector["canonical"]


def test_content_hash_has_prefix_and_known_value() -> None:
    """Any JSON value has an address: `b2:` and 32 hexadecimal digits."""
    assert content_hash({"a": 1}) == HASH_PREFIX + "2c6b113b8dd15ffbded9860b43eb0c6c"


def test_canonical_json_of_what_json_cannot_express_uses_its_text() -> None:
    """A value of another type, or keys of several types, never stop a response being logged."""
    assert canonical_json({"p": Path("x")}) == '{"p":"x"}'
    assert canonical_json({1: "a", "b": 2}) == '{"1":"a","b":2}'


def test_message_hash_with_lone_surrogate_is_that_with_replacement_character() -> None:
    """What no encoding can store enters as U+FFFD."""
    broken = message_hash(llm.user("a \ud800 b"), None)
    assert broken == message_hash(llm.user("a \ufffd b"), None)


def test_storable_nested_values_have_no_surrogates() -> None:
    """Texts, keys and list items are cleaned; other values stay."""
    value = {"k\udfff": ["\ud800", ("é", 1, None)]}
    assert storable_value(value) == {"k\ufffd": ["\ufffd", ["é", 1, None]]}


def test_message_hash_of_url_without_type_uses_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging never asks a server: the type is simply not known."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    attachment = llm.Attachment(url="https://example.com/cat.png")
    assert attachment_type(attachment) is None
    assert message_hash(llm.user(attachment), None).startswith(HASH_PREFIX)


def test_attachment_digest_follows_the_file_not_an_earlier_id(tmp_path: Path) -> None:
    """An id that was kept does not hide that the file has changed."""
    path = tmp_path / "a.txt"
    path.write_text("one", encoding="utf-8")
    attachment = llm.Attachment(path=str(path))
    first = attachment.id()
    path.write_text("two", encoding="utf-8")
    assert attachment_digest(attachment) != first


def test_attachment_digest_of_vanished_file_names_the_path() -> None:
    """A file that is gone is told from one that is there."""
    attachment = llm.Attachment(path="/nowhere/x.png", type="image/png")
    assert attachment_digest(attachment) == "missing:/nowhere/x.png"
    assert attachment_type(attachment) == "image/png"
    assert attachment_type(llm.Attachment(path="/nowhere/x.png")) is None


def test_attachment_type_of_empty_attachment_is_unknown() -> None:
    """An attachment with nothing in it has no type, and that is no error."""
    assert attachment_type(llm.Attachment(content=b"")) is None


def test_message_hash_without_attachment_in_its_part_works() -> None:
    """A part without its attachment, and metadata, have an address too."""
    empty = Message("user", [AttachmentPart(None)], {"p": {"x": 1}})
    assert message_hash(empty, None) != message_hash(Message("user", [AttachmentPart(None)]), None)


def test_message_hash_counts_attachments_of_tool_results(tmp_path: Path) -> None:
    """A tool result with another file is another message."""
    with_file = ToolResultPart(
        "t",
        "out",
        attachments=[llm.Attachment(content=b"a", type="text/plain")],
        provider_metadata={"p": 1},
    )
    without = ToolResultPart("t", "out", provider_metadata={"p": 1})
    hashes = {message_hash(Message("tool", [part]), None) for part in (with_file, without)}
    assert len(hashes) == 2


def test_import_of_logs_leaves_sqlite_utils_out() -> None:
    """Hashing, and reading the log, start without the libraries that only writing needs."""
    code = (
        "import sys, llm.logs, llm.logs.file.db, llm.logs.records.chains, llm.migrations;"
        "llm.logs.content_hash(1);"
        "print([m for m in ('sqlite_utils', 'filelock', 'pydantic', 'condense_json', 'click')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_message_hash_of_text_is_independent_of_its_class() -> None:
    """A fragment that is used as text hashes as its text."""
    fragment = llm.Fragment("abc", "source")
    plain = Message("user", [TextPart("abc")])
    assert message_hash(Message("user", [TextPart(fragment)]), None) == message_hash(plain, None)
