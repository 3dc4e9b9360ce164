"""Requests of Chat Completions: our messages, options and tools to JSON.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import llm
from llm.parts import Message, ToolCallPart, ToolResultPart
from llm.utils import simplify_usage_dict

from .shapes import (
    Json,
    count_from,
    data_url,
    function_fields,
    plain_message,
    plain_value,
    ran_here,
    user_messages,
)

if TYPE_CHECKING:
    from llm import Attachment, Prompt
else:
    llm.for_hints(globals(), {"llm": "Attachment Prompt"})


def chat_messages(
    messages: Iterable[Message], image_detail: str | None = None, server: str | None = None
) -> list[Json]:
    """The `messages` of a request.

    A system text that repeats the last one is sent once. Calls that a provider ran itself are not
    sent; reasoning only to the server that gave it, in the way in which that wants it back.
    """
    item = partial(attachment_item, image_detail=image_detail)
    sent: list[Json] = []
    last_system: str | None = None
    for message in messages:
        role = message.role
        if plain := plain_message(message):
            sent.append(plain)
        elif role == "user":
            sent.extend(user_messages(message, item, "text"))
        elif role == "assistant":
            sent.append(_assistant_message(message, server))
        elif role == "tool":
            for part in ran_here(message, ToolResultPart):
                result = {"tool_call_id": part.tool_call_id, "content": part.output}
                sent.append({"role": "tool", **result})
        elif role == "system":
            text = message.text()
            if text and text != last_system:
                sent.append({"role": "system", "content": text})
                last_system = text
    return sent


def _assistant_message(message: Message, server: str | None) -> Json:
    from .kept import sent_back, sent_back_with_call

    text, kept = message.text(), sent_back(message, server)
    calls = [
        {
            "type": "function",
            "id": part.tool_call_id,
            "function": {"name": part.name, "arguments": json.dumps(part.arguments)},
            **sent_back_with_call(part, server),
        }
        for part in ran_here(message, ToolCallPart)
    ]
    if not calls:
        return {"role": "assistant", "content": text, **kept}
    return {"role": "assistant", "content": text or None, "tool_calls": calls, **kept}


def attachment_item(attachment: Attachment, image_detail: str | None = None) -> Json:
    """An attachment as an item of a user message's content.

    Only PDFs and audio are fetched from a URL; an image's URL is passed on.
    """
    kind = attachment.resolve_type()
    if kind == "application/pdf":
        file = {"filename": f"{attachment.id()}.pdf", "file_data": data_url(attachment, kind)}
        return {"type": "file", "file": file}
    if kind is not None and kind.startswith("image/"):
        image: Json = {"url": attachment.url or data_url(attachment, kind)}
        if image_detail:
            image["detail"] = plain_value(image_detail)
        return {"type": "image_url", "image_url": image}
    form = "wav" if kind == "audio/wav" else "mp3"
    return {
        "type": "input_audio",
        "input_audio": {"data": attachment.base64_content(), "format": form},
    }


# Options that shape the request in other ways than by their own name.
_NOT_SENT = frozenset({"json_object", "image_detail", "chat_completions", "reasoning_summary"})


def request_options(prompt: Prompt, stream: bool, default_max_tokens: int | None = None) -> Json:
    """The fields of a request that come from options, schema and tools."""
    options = llm.option_values(prompt)
    fields: Json = {
        name: plain_value(value) for name, value in options.items() if name not in _NOT_SENT
    }
    if default_max_tokens is not None:
        fields.setdefault("max_tokens", default_max_tokens)
    if prompt.schema:
        shape = {"name": "output", "schema": prompt.schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": shape}
    elif options.get("json_object"):
        fields["response_format"] = {"type": "json_object"}
    tools = [
        {"type": "function", "function": function_fields(tool)}
        for tool in prompt.tools
        if isinstance(tool, llm.Tool)
    ]
    if tools:
        fields["tools"] = tools
    if stream:
        fields["stream_options"] = {"include_usage": True}
    return fields


def usage_fields(usage: Json) -> Json:
    """What `set_usage` is told: the tokens, and whatever else the server tells about them."""
    rest = {
        name: value
        for name, value in usage.items()
        if name not in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {
        "input": count_from(usage, "prompt_tokens"),
        "output": count_from(usage, "completion_tokens"),
        "details": simplify_usage_dict(rest) or None,
    }
