"""Messages of OpenAI's chat API, read as ours.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, cast

from ..errors import InvalidInput
from ..parts import Message
from ..text import JSONObject
from ..tools.calling import parse_arguments

if TYPE_CHECKING:
    from ..serialization import MessageDict

#: The formats of sounds there, by their types.
AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def messages_from(given: Sequence[object]) -> list[Message]:
    """Messages, dictionaries that `Message.to_dict()` gave, and entries of a request, as messages.

    Raises:
        InvalidInput: Something is none of these.
    """
    messages: list[Message] = []
    for is_message, group in groupby(given, lambda item: isinstance(item, Message)):
        if is_message:
            messages += cast("Iterable[Message]", group)
            continue
        for is_ours, items in groupby(group, _is_ours):
            found = list(items)
            shapes = found if is_ours else from_openai(found)
            messages += map(Message.from_dict, cast("list[MessageDict]", shapes))
    return messages


def _is_ours(item: object) -> bool:
    return isinstance(item, Mapping) and "parts" in item


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
        types = {name: mime for mime, name in AUDIO.items()}
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
