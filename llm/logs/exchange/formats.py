"""The files in which conversations travel: our JSON, OpenAI messages, Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...errors import InvalidInput
from ...models.openai_messages import from_openai
from ...models.serialize import CHAIN_FORMAT, FORMAT, check_conversation, from_messages
from .as_markdown import from_markdown, to_markdown
from .as_openai import to_openai

if TYPE_CHECKING:
    from ...serialization import ConversationDict

JSON, OPENAI, MARKDOWN = FORMATS = ("json", "openai", "markdown")


def written(shapes: Iterable[ConversationDict], form: str) -> Iterator[str]:
    """Pieces of the text of a file with these conversations.

    Args:
        shapes: The conversations.
        form: `json` (an object a line), `openai` (a request body a line) or `markdown`.
    """
    for shape in shapes:
        if form == MARKDOWN:
            yield to_markdown(shape)
        else:
            value = to_openai(shape) if form == OPENAI else shape
            yield json.dumps(value, ensure_ascii=False) + "\n"


def format_of(text: str) -> str:
    """The format that a file with this text must have."""
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if start not in ("{", "["):
        return MARKDOWN
    first = next(_values(text), None)
    is_ours = isinstance(first, dict) and first.get("format") in (FORMAT, CHAIN_FORMAT)
    return JSON if is_ours else OPENAI


def read(text: str, form: str | None = None, model_id: str | None = None) -> list[ConversationDict]:
    """The conversations in the text of a file.

    Args:
        text: The text.
        form: Its format; found out where missing.
        model_id: The model that is said to have answered where the file does not say.

    Raises:
        InvalidInput: The text is not of that format.
    """
    text = text.removeprefix("\ufeff")
    form = form or format_of(text)
    if form == MARKDOWN:
        return [_from_markdown(text, model_id)]
    values = list(_values(text))
    if not values:
        raise InvalidInput("There is nothing to import: the file is empty")
    if form == JSON:
        return [check_conversation(value) for value in values]
    if all(isinstance(value, dict) and "role" in value for value in values):
        # One message a line.
        values = [values]
    return [_from_openai(value, model_id) for value in values]


def _values(text: str) -> Iterator[object]:
    """The JSON values of a text: a single one, the items of a list, or one a line.

    Raises:
        InvalidInput: It is no JSON; the message names the line.
    """
    try:
        whole = json.loads(text)
    except ValueError:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise InvalidInput(f"Line {number} is not valid JSON: {error}") from error
    else:
        yield from whole if isinstance(whole, list) else [whole]


def _from_markdown(text: str, model_id: str | None) -> ConversationDict:
    front, messages = from_markdown(text)
    shape = from_messages(messages, front.get("model") or model_id, name=_text(front.get("title")))
    if front.get("id"):
        shape["forked_from"] = str(front["id"])
    return shape


def _from_openai(body: object, model_id: str | None) -> ConversationDict:
    messages = from_openai(body)
    given = body if isinstance(body, dict) else {}
    metadata = given.get("metadata") or {}
    return from_messages(
        messages, given.get("model") or model_id, name=_text(metadata.get("title"))
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
