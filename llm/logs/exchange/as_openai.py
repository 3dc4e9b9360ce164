"""Conversations as the messages of OpenAI's chat API, one conversation a line.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...models.openai_messages import AUDIO
from ...text import JSONObject
from .as_markdown import main_line

if TYPE_CHECKING:
    from ...serialization import (
        AttachmentDict,
        ConversationDict,
        MessageDict,
        PartDict,
        ToolCallPartDict,
        ToolResultPartDict,
    )


def to_openai(shape: ConversationDict) -> JSONObject:
    """The body of a request that would send the conversation: messages, model, tools, title.

    Tool calls that a provider ran itself have no form there and are left out.
    """
    body: JSONObject = {
        "messages": [item for message in main_line(shape) for item in _sent(message)]
    }
    if shape["model"]:
        body["model"] = shape["model"]
    numbers = shape["turns"][-1].get("tools", ()) if shape["turns"] else ()
    for tool in [shape["tools"][number] for number in numbers]:
        # Not those that the provider runs.
        if not tool.get("server_side"):
            function = {
                "name": tool["name"],
                "description": tool["description"] or "",
                "parameters": tool["input_schema"],
            }
            body.setdefault("tools", []).append({"type": "function", "function": function})
    body["metadata"] = {"id": shape["id"], "title": shape["name"] or ""}
    return body


def _sent(message: MessageDict) -> Iterator[JSONObject]:
    """The entries of one message: one, but one a result for a message with tool results."""
    reasoning, calls = "", []
    for part in message["parts"]:
        if part["type"] == "reasoning":
            reasoning += part["text"]
        elif part["type"] == "tool_result" and not part.get("server_executed"):
            yield {"role": "tool", "tool_call_id": _call_id(part), "content": part["output"]}
        elif part["type"] == "tool_call" and not part.get("server_executed"):
            function = {"name": part["name"], "arguments": json.dumps(part["arguments"])}
            calls.append({"id": _call_id(part), "type": "function", "function": function})
    if message["role"] == "tool":
        return
    entry: JSONObject = {"role": message["role"], "content": _content(message["parts"])}
    if reasoning:
        entry["reasoning_content"] = reasoning
    if calls:
        entry["tool_calls"] = calls
    yield entry


def _call_id(part: ToolCallPartDict | ToolResultPartDict) -> str:
    return part.get("tool_call_id") or f"call_{part['name']}"


def _content(parts: Iterable[PartDict]) -> str | list[JSONObject] | None:
    """A text where there is nothing else, `None` for nothing, else a list."""
    items: list[JSONObject] = []
    for part in parts:
        if part["type"] == "text":
            items.append({"type": "text", "text": part["text"]})
        elif part["type"] == "attachment" and part.get("attachment"):
            items.append(_attached(part["attachment"]))
    if all(item["type"] == "text" for item in items):
        return "".join(item["text"] for item in items) if items else None
    return items


def _attached(shape: AttachmentDict) -> JSONObject:
    kind, content = shape.get("type", ""), shape.get("content")
    data = content and f"data:{kind};base64,{content}"
    address = data or shape.get("url")
    if kind.startswith("image/") and address:
        return {"type": "image_url", "image_url": {"url": address}}
    if kind in AUDIO and content:
        return {"type": "input_audio", "input_audio": {"data": content, "format": AUDIO[kind]}}
    file = {"filename": shape.get("path", shape.get("url", kind))}
    if data:
        file["file_data"] = data
    return {"type": "file", "file": file}
