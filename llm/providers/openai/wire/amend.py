"""Other forms of a request, for servers that refuse the documented one: each says when it helps.

A form is equal to the request where there is nothing about it to change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Optional

Json = dict[str, Any]

EMPTY_RESULT = "(no output)"
_IN_WORDS = "Answer with one JSON object that fits this JSON schema, and with nothing else:\n"


class Amendment(NamedTuple):
    """A change to a request.

    Attributes:
        name: What it is remembered by.
        words: Matches the refusal that it is for; `None`: any that nothing else is for.
        change: Makes the other form.
        is_of_model: What is learnt is true of one model, not of all of its server's.
    """

    name: str
    words: Optional[str]
    change: Callable[[Json], Json]
    is_of_model: bool = False


def amended(request: Json, names: Collection[str]) -> Json:
    """The request with the changes of these names."""
    for amendment in AMENDMENTS:
        if amendment.name in names:
            request = amendment.change(request)
    return request


def helpful(request: Json, refusal: str, tried: Collection[str]) -> list[Amendment]:
    """The amendments that the text of a refusal asks for, and that change the request.

    Where it asks for none of them, the one for refusals that do not say what is wrong.
    """
    left = [
        amendment
        for amendment in AMENDMENTS
        if amendment.name not in tried and amendment.change(request) != request
    ]
    meant = [a for a in left if a.words and re.search(a.words, refusal, re.IGNORECASE | re.DOTALL)]
    return meant or [amendment for amendment in left if amendment.words is None]


def _without(request: Json, name: str) -> Json:
    return {field: value for field, value in request.items() if field != name}


def _renamed(old: str, new: str) -> Callable[[Json], Json]:
    def rename(request: Json) -> Json:
        if old not in request or new in request:
            return request
        return {new if name == old else name: value for name, value in request.items()}

    return rename


def _messages(request: Json) -> list[Json]:
    messages = request.get("messages")
    return messages if isinstance(messages, list) else []


def _each_message(request: Json, change: Callable[[Json], Json]) -> Json:
    """The request with each message, or item of the Responses API, changed."""
    changed = dict(request)
    for name in ("messages", "input"):
        if isinstance(request.get(name), list):
            changed[name] = [change(message) for message in request[name]]
    return changed


def _with_content(request: Json) -> Json:
    """A text in place of null, where the assistant only called tools."""
    return _each_message(
        request,
        lambda message: (
            {**message, "content": ""}
            if message.get("tool_calls") and message.get("content") is None
            else message
        ),
    )


def _with_results(request: Json) -> Json:
    """A text in place of the empty result of a tool."""

    def change(message: Json) -> Json:
        if message.get("role") == "tool" and message.get("content") == "":
            return {**message, "content": EMPTY_RESULT}
        if message.get("type") == "function_call_output" and message.get("output") == "":
            return {**message, "output": EMPTY_RESULT}
        return message

    return _each_message(request, change)


def _system_first(request: Json) -> Json:
    """One system message, at the beginning, in place of those in mid-conversation."""
    messages = _messages(request)
    texts = [str(m.get("content") or "") for m in messages if m.get("role") == "system"]
    if not texts:
        return request
    rest = [message for message in messages if message.get("role") != "system"]
    return {**request, "messages": [{"role": "system", "content": "\n\n".join(texts)}, *rest]}


def _schema_in_words(request: Json) -> Json:
    """Any JSON object, with the schema told to the model, in place of answers that fit it."""
    form = request.get("response_format") or {}
    if form.get("type") == "json_schema":
        words = _IN_WORDS + json.dumps((form.get("json_schema") or {}).get("schema"))
        told = {**request, "messages": _told(_messages(request), words, "text")}
        return {**told, "response_format": {"type": "json_object"}}
    text = request.get("text") or {}
    form = text.get("format") or {} if isinstance(text, dict) else {}
    if form.get("type") == "json_schema" and isinstance(request.get("input"), list):
        items = _told(request["input"], _IN_WORDS + json.dumps(form.get("schema")), "input_text")
        return {**request, "input": items, "text": {**text, "format": {"type": "json_object"}}}
    return request


def _told(messages: list[Json], words: str, kind: str) -> list[Json]:
    """The messages, with something more in what the person said last."""
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if message.get("role") == "user":
            said = message.get("content") or ""
            more: object = f"{said}\n\n{words}" if isinstance(said, str) else None
            if isinstance(said, list):
                more = [*said, {"type": kind, "text": words}]
            return [*messages[:place], {**message, "content": more}, *messages[place + 1 :]]
    return [*messages, {"role": "user", "content": words}]


def _only_in_words(request: Json) -> Json:
    """No word about the form at all, where the model has been told of the schema."""
    form = request.get("response_format") or {}
    is_told = _IN_WORDS in "".join(_texts(_messages(request)))
    return _without(request, "response_format") if is_told and form else request


def _texts(messages: list[Json]) -> list[str]:
    found = []
    for content in (message.get("content") for message in messages):
        pieces = content if isinstance(content, list) else [{"text": content}]
        found += [str(piece.get("text")) for piece in pieces if isinstance(piece, Mapping)]
    return found


def plainer(request: Json) -> Json:
    """A request of either API in its plainer form; equal to `request` where it is plain.

    llama.cpp's server wants the type of each of the assistant's messages and a text in each
    reasoning item, and takes no null as the description of a tool. It does no harm elsewhere.
    """
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
        content = [
            {"type": "reasoning_text", "text": str(piece["text"])}
            for piece in item.get("summary") or ()
            if piece.get("text")
        ]
        return {**item, "content": content} if content else None
    return item


def _plain_tool(tool: object) -> object:
    """A tool without a description where it has an empty one, in the shape of either API."""
    if not isinstance(tool, dict):
        return tool
    plain = {name: value for name, value in tool.items() if (name, value) != ("description", None)}
    if isinstance(plain.get("function"), dict):
        plain["function"] = _plain_tool(plain["function"])
    return plain


# That a name is not known, in the words of servers.
_UNKNOWN = (
    r"(un(supported|recogni[sz]ed|known|expected)|not (be )?(supported|permitted|allowed|accepted"
    r"|recogni[sz]ed|available)|extra (input|field)|does(n't| not) (support|accept)"
    r"|additional propert|invalid (argument|field|param)|forbidden|instead)"
)
_NOT_THERE = (
    r"(null|none|nonetype|missing|required|empty|blank|string|at least|must (have|include))"
)
_FORMS = r"(json_schema|response[_ ]format|structured output|guided|text\.format)"

AMENDMENTS = [
    Amendment(
        "no stream_options",
        r"stream_options|include_usage",
        lambda request: _without(request, "stream_options"),
    ),
    Amendment(
        "max_completion_tokens",
        rf"\bmax_tokens\b.*{_UNKNOWN}|{_UNKNOWN}.*\bmax_tokens\b",
        _renamed("max_tokens", "max_completion_tokens"),
        is_of_model=True,
    ),
    Amendment(
        "max_tokens",
        rf"\bmax_completion_tokens\b.*{_UNKNOWN}|{_UNKNOWN}.*\bmax_completion_tokens\b",
        _renamed("max_completion_tokens", "max_tokens"),
        is_of_model=True,
    ),
    Amendment(
        "content beside calls",
        rf"content.*{_NOT_THERE}|{_NOT_THERE}.*content|NoneType",
        _with_content,
    ),
    Amendment(
        "no empty results",
        rf"(content|text|part|output|result).*{_NOT_THERE}|{_NOT_THERE}.*(content|text|part|result)",
        _with_results,
    ),
    Amendment(
        "system first",
        r"system.*(begin|first|start|after|order|position|middle|only|unexpected|alternat|role)"
        r"|(first|unexpected|only|roles?).*system|roles must alternate",
        _system_first,
    ),
    Amendment(
        "schema in words", rf"^(?!.*invalid schema).*{_FORMS}", _schema_in_words, is_of_model=True
    ),
    Amendment("schema in words alone", _FORMS + "|json_object", _only_in_words, is_of_model=True),
    Amendment("plainer", None, plainer),
]
