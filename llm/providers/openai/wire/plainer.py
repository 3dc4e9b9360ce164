"""Requests in a plainer form, for compatible servers that refuse the documented one.

llama.cpp's server wants the type of each of the assistant's messages and a text in each reasoning
item, and takes no null as the description of a tool. What it wants does no harm elsewhere, but the
documented form goes first: it is what OpenAI and subclasses know.
"""

from __future__ import annotations

from .shapes import Json


def plainer(request: Json) -> Json:
    """A request of either API in its plainer form; equal to `request` where it is plain."""
    changed = dict(request)
    if isinstance(request.get("input"), list):
        changed["input"] = [plain for item in request["input"] if (plain := _plain_item(item))]
    if request.get("tools"):
        changed["tools"] = [_plain_tool(tool) for tool in request["tools"]]
    return changed


def _plain_item(item: Json) -> Json | None:
    """An item of the Responses API; `None` where nothing of it can be said plainly."""
    if item.get("role") == "assistant" and "type" not in item:
        return {"type": "message", **item}
    if item.get("type") == "reasoning" and not item.get("content"):
        content = _reasoning_content(item)
        return {**item, "content": content} if content else None
    return item


def _reasoning_content(item: Json) -> list[Json]:
    """The texts of a summary of reasoning as content."""
    texts = [str(piece.get("text") or "") for piece in item.get("summary") or ()]
    return [{"type": "reasoning_text", "text": text} for text in texts if text]


def _plain_tool(tool: object) -> object:
    """A tool without a description where it has an empty one, in the shape of either API."""
    if not isinstance(tool, dict):
        return tool
    plain = {name: value for name, value in tool.items() if (name, value) != ("description", None)}
    if isinstance(plain.get("function"), dict):
        plain["function"] = _plain_tool(plain["function"])
    return plain
