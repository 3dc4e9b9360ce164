"""The server that the tests use in place of a vendor: a real one, on the real small model."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from .helpers.serve_model import running_server

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "name of the city"}},
            "required": ["city"],
        },
    },
}


def ask(base_url: str, key: str | None = None, **request: Any) -> dict[str, Any]:
    """The choice that the server answers with."""
    call = urllib.request.Request(
        f"{base_url}/chat/completions",
        json.dumps({"max_tokens": 60, "temperature": 0, **request}).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(call, timeout=60) as reply:
        choice: dict[str, Any] = json.load(reply)["choices"][0]
    return choice


def test_server_answers_and_calls_tools() -> None:
    """Text for a question, a tool call where a tool fits, and an answer to its result."""
    question = {"role": "user", "content": "Call get_weather for London"}
    with running_server() as base_url:
        assert ask(base_url, messages=[{"role": "user", "content": "Say hi"}])["message"]["content"]
        choice = ask(base_url, messages=[question], tools=[WEATHER])
        (call,) = choice["message"]["tool_calls"]
        result = {"role": "tool", "tool_call_id": call["id"], "content": "rain, 12 degrees"}
        history = [question, choice["message"], result]
        assert ask(base_url, messages=history, tools=[WEATHER])["message"]["content"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    assert isinstance(json.loads(call["function"]["arguments"]), dict)


def test_server_with_a_key_refuses_others() -> None:
    """A wrong key is refused as a vendor would."""
    messages = [{"role": "user", "content": "Say hi"}]
    with running_server(api_key="sesame", plain=True) as base_url:
        assert ask(base_url, "sesame", messages=messages, max_tokens=5)
        with pytest.raises(urllib.error.HTTPError, match="401") as caught:
            ask(base_url, "wrong", messages=messages)
        caught.value.close()
