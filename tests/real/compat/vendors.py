"""How the vendors answer: each in the shape of its own API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...helpers.openai_server import (
    Reply,
    chunk,
    completion,
    json_reply,
    sse_reply,
    text_stream,
    tool_call_stream,
)

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
_ABILITIES = {"completion_chat": True, "function_calling": True, "vision": True}

# What is asked for while models are registered, and by commands of the plugins.
STANDING: dict[str, Reply] = {
    "/openai/v1/models": json_reply(
        {"data": [{"id": name} for name in ("served", "served-vision", "whisper-large-v3")]}
    ),
    "/v1/models": json_reply(
        {"object": "list", "data": [{"id": "served", "type": "base", "capabilities": _ABILITIES}]}
    ),
    "/api/v1/models": json_reply(
        {
            "data": [
                {
                    "id": "acme/served",
                    "name": "Served",
                    "context_length": 1000,
                    "pricing": {},
                    "architecture": {"input_modalities": ["text", "image"]},
                    "supported_parameters": ["tools", "reasoning", "structured_outputs"],
                }
            ]
        }
    ),
    "/api/tags": json_reply({"models": [{"model": "served:latest", "digest": "d" * 64}]}),
    "/api/show": json_reply(
        {"model_info": {}, "capabilities": ["completion", "tools", "vision", "embedding"]}
    ),
}


@dataclass(frozen=True)
class Vendor:
    """A vendor, its plugin, and how it answers.

    Args:
        plugin: The distribution of the plugin.
        model: A model of it.
        host: Where the plugin looks for the vendor; empty where its user says that.
        streamed: An answer of these texts, piece by piece.
        whole: One in one piece, where the plugin ever asks for that.
        calling: An answer that asks for one call of a tool, where the plugin offers tools.
        sees: The model that takes pictures, where there is one.
        twin: Whether the plugin has asynchronous models.
        counts: Whether it hands on the usage: 7 tokens in, 3 out.
    """

    plugin: str
    model: str
    host: str
    streamed: Callable[..., Reply]
    whole: Callable[[str], Reply] | None = None
    calling: Callable[[str, dict[str, Any]], Reply] | None = None
    sees: str | None = None
    twin: bool = True
    counts: bool = True

    @property
    def key(self) -> str:
        """The name of its key."""
        return self.plugin.removeprefix("llm-")

    def __str__(self) -> str:
        return self.key


def response_stream(*items: dict[str, Any]) -> Reply:
    """A streamed answer of OpenAI's Responses API."""
    events: list[dict[str, Any]] = []
    for item in items:
        events.append({"type": "response.output_item.added", "item": item})
        if item["type"] == "message":
            text = item["content"][0]["text"]
            events.append(
                {"type": "response.output_text.delta", "item_id": item["id"], "delta": text}
            )
        events.append({"type": "response.output_item.done", "item": item})
    events.append({"type": "response.completed", "response": _response(items)})
    return sse_reply(events, done=False)


def _response(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    return {
        "id": "r",
        "object": "response",
        "status": "completed",
        "output": list(items),
        "usage": usage,
    }


def _message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "m1", "role": "assistant", "content": content}


def _responses_text(*texts: str) -> Reply:
    return response_stream(_message("".join(texts)))


def _responses_whole(text: str) -> Reply:
    return json_reply(_response([_message(text)]))


def _responses_call(name: str, arguments: dict[str, Any]) -> Reply:
    call = {"type": "function_call", "id": "f1", "call_id": "c1", "name": name}
    return response_stream({**call, "arguments": json.dumps(arguments)})


def _chat_text(*texts: str) -> Reply:
    return text_stream(*texts, usage=USAGE)


def _chat_whole(text: str) -> Reply:
    return json_reply(completion({"content": text}, usage=USAGE))


def _chat_call(name: str, arguments: dict[str, Any]) -> Reply:
    return tool_call_stream((name, arguments))


def _groq_text(*texts: str) -> Reply:
    chunks = [chunk({"role": "assistant", "content": text}) for text in texts]
    return sse_reply([*chunks, {**chunk(finish="stop"), "x_groq": {"id": "q", "usage": USAGE}}])


def _anthropic(block: dict[str, Any], deltas: list[dict[str, Any]], reason: str) -> Reply:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "served-model",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 1},
    }
    ended = {"stop_reason": reason, "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    pieces = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return Reply(pieces=[piece.encode() for piece in pieces], content_type="text/event-stream")


def _anthropic_text(*texts: str) -> Reply:
    deltas = [{"type": "text_delta", "text": text} for text in texts]
    return _anthropic({"type": "text", "text": ""}, deltas, "end_turn")


def _anthropic_call(name: str, arguments: dict[str, Any]) -> Reply:
    block = {"type": "tool_use", "id": "c1", "name": name, "input": {}}
    delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
    return _anthropic(block, [delta], "tool_use")


def _gemini(*parts: dict[str, Any]) -> Reply:
    events = [
        {
            "candidates": [{"content": {"parts": [part], "role": "model"}}],
            "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3},
            "modelVersion": "served-model",
        }
        for part in parts
    ]
    pieces = [f"{'[' if not n else ','}{json.dumps(event)}" for n, event in enumerate(events)]
    return Reply(pieces=[piece.encode() for piece in [*pieces, "]"]])


def _gemini_text(*texts: str) -> Reply:
    return _gemini(*({"text": text} for text in texts))


def _gemini_call(name: str, arguments: dict[str, Any]) -> Reply:
    return _gemini({"functionCall": {"name": name, "args": arguments}})


def _ollama(*messages: dict[str, Any]) -> Reply:
    head = {"model": "served:latest", "created_at": "2025-01-01T00:00:00Z"}
    lines: list[dict[str, Any]] = [
        {**head, "message": {"role": "assistant", **message}} for message in messages
    ]
    lines[-1] |= {"done": True, "prompt_eval_count": 7, "eval_count": 3}
    pieces = [json.dumps({"done": False, **line}).encode() + b"\n" for line in lines]
    return Reply(pieces=list(pieces), content_type="application/x-ndjson")


def _ollama_text(*texts: str) -> Reply:
    return _ollama(*({"content": text} for text in texts))


def _ollama_call(name: str, arguments: dict[str, Any]) -> Reply:
    call = {"function": {"name": name, "arguments": arguments}}
    return _ollama({"content": "", "tool_calls": [call]})


VENDORS = (
    Vendor(
        "llm-anthropic",
        "anthropic/claude-sonnet-4-5",
        "api.anthropic.com",
        _anthropic_text,
        calling=_anthropic_call,
        sees="anthropic/claude-sonnet-4-5",
    ),
    Vendor(
        "llm-gemini",
        "gemini/gemini-2.5-flash",
        "generativelanguage.googleapis.com",
        _gemini_text,
        calling=_gemini_call,
        sees="gemini/gemini-2.5-flash",
    ),
    Vendor(
        "llm-mistral",
        "mistral/served",
        "api.mistral.ai",
        _chat_text,
        _chat_whole,
        _chat_call,
        sees="mistral/served",
    ),
    Vendor(
        "llm-ollama",
        "ollama/served:latest",
        "",
        _ollama_text,
        _ollama_text,
        _ollama_call,
        sees="ollama/served:latest",
    ),
    Vendor(
        "llm-groq",
        "groq/served",
        "api.groq.com",
        _groq_text,
        _chat_whole,
        sees="groq/served-vision",
    ),
    Vendor(
        "llm-openrouter",
        "openrouter/acme/served",
        "openrouter.ai",
        _responses_text,
        _responses_whole,
        _responses_call,
        sees="openrouter/acme/served",
    ),
    Vendor(
        "llm-grok",
        "grok-4-latest",
        "api.x.ai",
        _chat_text,
        _chat_whole,
        _chat_call,
        twin=False,
        counts=False,
    ),
    Vendor(
        "llm-perplexity",
        "sonar",
        "api.perplexity.ai",
        _responses_text,
        _responses_whole,
        twin=False,
    ),
)
