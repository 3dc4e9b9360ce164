"""Requests of the Responses API: our messages, options and tools to JSON.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import llm
from llm.parts import Message, ReasoningPart, ToolCallPart, ToolResultPart

from .shapes import (
    Json,
    count_from,
    data_url,
    plain_message,
    plain_value,
    ran_here,
    user_messages,
)

if TYPE_CHECKING:
    from llm import Attachment
else:
    llm.for_hints(globals(), {"llm": "Attachment"})

# Options that this API does not know. Subclasses may find another place for them.
UNKNOWN_OPTIONS = ("frequency_penalty", "presence_penalty", "stop", "logit_bias", "seed")
# Options that shape the request in other ways than by their own name.
_SHAPING = frozenset(
    {
        *("max_tokens", "json_object", "chat_completions", "image_detail", "reasoning_effort"),
        *("reasoning_summary", "verbosity"),
    }
)


def responses_input(
    messages: Iterable[Message], image_detail: str | None = None
) -> tuple[list[Json], str | None]:
    """The `input` of a request and its `instructions`, which is the last system text.

    What the provider ran itself is not sent; reasoning only with the provider's own data.
    """
    item = partial(attachment_item, image_detail=image_detail)
    items: list[Json] = []
    instructions: str | None = None
    for message in messages:
        role = message.role
        if plain := plain_message(message):
            items.append(plain)
        elif role == "user":
            items.extend(user_messages(message, item, "input_text"))
        elif role == "assistant":
            items.extend(_assistant_items(message))
        elif role == "tool":
            for part in ran_here(message, ToolResultPart):
                output = {"call_id": part.tool_call_id, "output": part.output}
                items.append({"type": "function_call_output", **output})
        elif role == "system":
            instructions = message.text() or instructions
    return items, instructions


def _assistant_items(message: Message) -> Iterator[Json]:
    for reasoning in message.parts:
        if isinstance(reasoning, ReasoningPart) and (item := _reasoning_item(reasoning)):
            yield item
    if text := message.text():
        yield {"role": "assistant", "content": text}
    for part in ran_here(message, ToolCallPart):
        yield {
            "type": "function_call",
            "call_id": part.tool_call_id,
            "name": part.name,
            "arguments": json.dumps(part.arguments),
        }


def _reasoning_item(part: ReasoningPart) -> Json | None:
    """The item that the API gave, from the metadata kept with the part."""
    kept = (part.provider_metadata or {}).get("openai")
    if not isinstance(kept, dict) or not kept.get("id"):
        return None
    item: Json = {"type": "reasoning", "id": kept["id"]}
    if kept.get("encrypted_content"):
        item["encrypted_content"] = kept["encrypted_content"]
    item["summary"] = kept.get("summary") or []
    return item


def attachment_item(attachment: Attachment, image_detail: str | None = None) -> Json:
    """An attachment as an item of a user message's content; only PDFs are fetched from a URL."""
    kind = attachment.resolve_type()
    if kind == "application/pdf":
        name = f"{attachment.id()}.pdf"
        return {"type": "input_file", "filename": name, "file_data": data_url(attachment, kind)}
    image: Json = {"type": "input_image", "image_url": attachment.url or data_url(attachment, kind)}
    if image_detail:
        image["detail"] = plain_value(image_detail)
    return image


def request_options(options: Json, *, schema: Json | None) -> Json:
    """The fields of a request that come from options and schema, those on reasoning left out."""
    fields: Json = {}
    if "max_tokens" in options:
        fields["max_output_tokens"] = options["max_tokens"]
    fields |= {name: plain_value(value) for name, value in options.items() if name not in _SHAPING}
    text: Json = {}
    if "verbosity" in options:
        text["verbosity"] = plain_value(options["verbosity"])
    if schema:
        shape = {"name": "output", "schema": schema, "strict": False}
        text["format"] = {"type": "json_schema", **shape}
    elif options.get("json_object"):
        text["format"] = {"type": "json_object"}
    if text:
        fields["text"] = text
    return fields


def taken_out(fields: Json, *, seed_is_known: bool) -> list[str]:
    """The names of options that the API does not know, which are taken out of `fields`.

    Compatible servers know `seed`, as an extra field.
    """
    if seed_is_known and "seed" in fields:
        extra = dict(fields.get("extra_body") or {})
        fields["extra_body"] = {"seed": fields.pop("seed"), **extra}
    ignored = [name for name in UNKNOWN_OPTIONS if name in fields]
    for name in ignored:
        del fields[name]
    return ignored


def usage_fields(usage: Json) -> Json:
    """What `set_usage` is told: the tokens, and the details that are not empty."""
    names = ("input_tokens_details", "output_tokens_details")
    return {
        "input": count_from(usage, "input_tokens"),
        "output": count_from(usage, "output_tokens"),
        "details": {name: usage[name] for name in names if usage.get(name)} or None,
    }
