"""Conversations as the messages of OpenAI's chat API, one conversation a line, and back.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from ...errors import InvalidInput
from ...text import JSONObject
from ...tools.calling import parse_arguments
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

_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}


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
    if kind in _AUDIO and content:
        return {"type": "input_audio", "input_audio": {"data": content, "format": _AUDIO[kind]}}
    file = {"filename": shape.get("path", shape.get("url", kind))}
    if data:
        file["file_data"] = data
    return {"type": "file", "file": file}


def from_openai(body: object) -> list[MessageDict]:
    """The messages, as dictionaries, of a request body or of its list of messages.

    Raises:
        InvalidInput: Something in it is no message.
    """
    entries = body.get("messages") if isinstance(body, dict) else body
    if not isinstance(entries, list):
        raise InvalidInput('There are no "messages" in it')
    messages: list[JSONObject] = []
    names: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("role"), str):
            raise InvalidInput(f"Message {number} has no role")
        try:
            message = _message(entry, names)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"Message {number} cannot be understood: {error!r}") from error
        if messages and message["role"] == messages[-1]["role"] == "tool":
            # Results of tools that stand together are one message.
            messages[-1]["parts"] += message["parts"]
        else:
            messages.append(message)
    return cast("list[MessageDict]", messages)


def _message(entry: JSONObject, names: dict[str, str]) -> JSONObject:
    """The message of an entry; `names` are those of the tools that were called so far, by call."""
    role = {"developer": "system", "function": "tool"}.get(entry["role"], entry["role"])
    parts = _parts(entry.get("content"))
    if role == "tool":
        return {"role": role, "parts": [_result(entry, parts, names)]}
    if role not in ("system", "user", "assistant"):
        raise ValueError(f"unknown role {role!r}")
    if entry.get("reasoning_content"):
        parts.insert(0, {"type": "reasoning", "text": entry["reasoning_content"]})
    for call in entry.get("tool_calls") or ():
        call_id, function = call["id"], call["function"]
        names[call_id] = name = function["name"]
        arguments = parse_arguments(function.get("arguments"))
        part = {"type": "tool_call", "name": name, "arguments": arguments, "tool_call_id": call_id}
        parts.append(part)
    return {"role": role, "parts": parts}


def _result(entry: JSONObject, parts: Iterable[JSONObject], names: Mapping[str, str]) -> JSONObject:
    call_id = entry.get("tool_call_id")
    name = names.get(call_id or "") or entry.get("name") or "unknown"
    output = "".join(part.get("text", "") for part in parts)
    part = {"type": "tool_result", "name": name, "output": output}
    return part if call_id is None else {**part, "tool_call_id": call_id}


def _parts(content: str | Iterable[JSONObject] | None) -> list[JSONObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [] if content is None else [*map(_part, content)]


def _part(item: JSONObject) -> JSONObject:
    kind = item["type"]
    if kind in ("text", "refusal"):
        return {"type": "text", "text": item[kind]}
    if kind not in ("image_url", "input_audio", "file"):
        raise ValueError(f"unknown content {kind!r}")
    return {"type": "attachment", "attachment": _attachment(kind, item[kind])}


def _attachment(kind: str, given: JSONObject) -> dict[str, str]:
    if kind == "image_url":
        return _at_address(given["url"], "image/*")
    if kind == "input_audio":
        types = {name: mime for mime, name in _AUDIO.items()}
        return {"type": types.get(given["format"], "audio/*"), "content": given["data"]}
    if "file_data" in given:
        return _at_address(given["file_data"], "application/octet-stream")
    return {"path": given["filename"]}


def _at_address(address: str, kind: str) -> dict[str, str]:
    """The attachment at a `data:` URI or at a web address."""
    if not address.startswith("data:"):
        return {"type": kind, "url": address}
    head, _, content = address.removeprefix("data:").partition(",")
    return {"type": head.partition(";")[0] or kind, "content": content}
