"""Plugins of the vendors, unchanged from the package index, against imitations of their services.

For each: a prompt, streamed and not, a conversation that goes on, a tool, a picture, an error.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ...helpers.openai_server import error_reply, json_reply
from .user import User
from .vendors import VENDORS, Vendor

SHOUT = "def shout(text: str) -> str:\n    'Say it loudly'\n    return text.upper()"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(20))
KEY = "sk-of-the-vendor"
ASYNC = ("--async",)

each_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=str)


def with_twins(vendors: Iterable[Vendor]) -> pytest.MarkDecorator:
    """Each of the vendors, synchronously and, where the plugin can, not."""
    params = [
        pytest.param(vendor, driver, id=f"{vendor}{''.join(driver)}")
        for vendor in vendors
        for driver in ((), ASYNC)
        if not driver or vendor.twin
    ]
    return pytest.mark.parametrize(("vendor", "driver"), params)


each_driver = with_twins(VENDORS)


@pytest.fixture
def customer(user: User, vendor: Vendor) -> User:
    """A user who has the key of the vendor."""
    user.store("keys.json", {vendor.key: KEY})
    return user.uses(vendor.plugin)


def spoken(body: Any) -> list[tuple[str, str]]:
    """Who says what in a request."""
    said = []
    for message in body.get("messages") or body.get("contents") or body["input"]:
        content = message.get("content") or message.get("parts") or ""
        if not isinstance(content, str):
            content = "".join(part.get("text") or "" for part in content)
        role = message.get("role", message.get("type"))
        said.append(("assistant" if role == "model" else role, content))
    return said


def without_system(body: Any) -> list[tuple[str, str]]:
    """The same without the system prompt, which stands in a place of its own here and there."""
    return [(role, text) for role, text in spoken(body) if role != "system"]


@each_driver
def test_prompt_is_answered(customer: User, vendor: Vendor, driver: tuple[str, ...]) -> None:
    """At the vendor's own address, with its key; the log has the answer and the tokens."""
    asked = ("-m", vendor.model, "-s", "be brief", *driver, "hello")
    replies = [vendor.streamed("Hi", " there")]
    assert customer.ask(*asked, replies=replies) == "Hi there\n"
    assert set(customer.vendors.tunnels) == ({f"{vendor.host}:443"} if vendor.host else set())
    assert KEY in json.dumps(customer.last.headers)
    assert without_system(customer.last.body) == [("user", "hello")]
    assert "be brief" in json.dumps(customer.last.body)
    (row,) = json.loads(customer.ask("logs", "--json"))
    assert (row["prompt"], row["system"], row["response"]) == ("hello", "be brief", "Hi there")
    if vendor.counts:
        assert (row["input_tokens"], row["output_tokens"]) == (7, 3)


@each_vendor
def test_prompt_is_answered_in_one_piece(customer: User, vendor: Vendor) -> None:
    """With `--no-stream`, which some plugins do not hand on."""
    reply = vendor.whole("Hi there") if vendor.whole else vendor.streamed("Hi", " there")
    asked = ("-m", vendor.model, "--no-stream", "hello")
    assert customer.ask(*asked, replies=[reply]) == "Hi there\n"
    assert (customer.last.body or {}).get("stream", False) is (vendor.key == "anthropic")


@each_driver
def test_conversation_goes_on(customer: User, vendor: Vendor, driver: tuple[str, ...]) -> None:
    """After `-c` the vendor is sent what was said before."""
    asked = ("-m", vendor.model, "-s", "be brief", *driver, "hello")
    customer.ask(*asked, replies=[vendor.streamed("Hi", " there")])
    replies = [vendor.streamed("And", " you?")]
    assert customer.ask("-c", *driver, "Fine", replies=replies) == "And you?\n"
    assert without_system(customer.last.body) == [
        ("user", "hello"),
        ("assistant", "Hi there"),
        ("user", "Fine"),
    ]
    # The plugin of Gemini sends only the system prompt of the turn itself.
    assert json.dumps(customer.last.body).count("be brief") == (vendor.key != "gemini")


@with_twins(one for one in VENDORS if one.calling)
def test_tool_is_called(customer: User, vendor: Vendor, driver: tuple[str, ...]) -> None:
    """It is offered, run, its result sent; a later turn has the call in its history."""
    assert vendor.calling
    replies = [vendor.calling("shout", {"text": "hey"}), vendor.streamed("He", " said HEY")]
    asked = ("-m", vendor.model, "--functions", SHOUT, *driver, "go")
    # The plugin of Anthropic puts a blank between an answer with calls and the next one.
    assert customer.ask(*asked, replies=replies).lstrip() == "He said HEY\n"
    offered, told = (request.body for request in customer.vendors.requests)
    assert "Say it loudly" in json.dumps(offered["tools"])
    assert "HEY" not in json.dumps(offered)
    assert '"HEY"' in json.dumps(told)
    customer.ask("-c", *driver, "more", replies=[vendor.streamed("Again")])
    later = json.dumps(customer.last.body)
    assert [later.index(part) for part in ("go", '"HEY"', "He said HEY", "more")] == sorted(
        later.index(part) for part in ("go", '"HEY"', "He said HEY", "more")
    )


@pytest.mark.parametrize("vendor", [one for one in VENDORS if not one.calling], ids=str)
def test_tool_is_refused_where_the_plugin_offers_none(customer: User, vendor: Vendor) -> None:
    """In words, before anything is sent."""
    told = customer.refuses("-m", vendor.model, "--functions", SHOUT, "go")
    assert f"{vendor.model}" in told
    assert "tools" in told


@pytest.mark.parametrize("vendor", [one for one in VENDORS if one.sees], ids=str)
def test_picture_is_sent(customer: User, vendor: Vendor, tmp_path: Path) -> None:
    """Its bytes are in the request, and in that of the next turn."""
    path = tmp_path / "pelican.png"
    path.write_bytes(PNG)
    sent = base64.b64encode(PNG).decode()
    assert vendor.sees
    asked = ("-m", vendor.sees, "-a", str(path), "what is it?")
    assert customer.ask(*asked, replies=[vendor.streamed("A", " bird")]) == "A bird\n"
    assert sent in json.dumps(customer.last.body)
    assert customer.ask("-c", "sure?", replies=[vendor.streamed("Yes")]) == "Yes\n"
    assert json.dumps(customer.last.body).count(sent) == 1


@pytest.mark.parametrize("vendor", [one for one in VENDORS if not one.sees], ids=str)
def test_picture_is_refused_where_the_plugin_takes_none(
    customer: User, vendor: Vendor, tmp_path: Path
) -> None:
    """In words, before anything is sent."""
    path = tmp_path / "pelican.png"
    path.write_bytes(PNG)
    assert "attachments" in customer.refuses("-m", vendor.model, "-a", str(path), "what is it?")


# The plugin of Grok prints errors by itself, on standard output.
@pytest.mark.parametrize("vendor", [one for one in VENDORS if one.key != "grok"], ids=str)
def test_error_of_the_vendor_is_told(customer: User, vendor: Vendor) -> None:
    """Its words reach the user in an error."""
    reply = error_reply(400, "the pelican is asleep", type="invalid_request_error", code=400)
    if vendor.key == "gemini":
        reply = json_reply([{"error": {"message": "the pelican is asleep"}}], 400)
    assert "the pelican is asleep" in customer.fails("-m", vendor.model, "hello", replies=[reply])


EMBEDDINGS: dict[str, tuple[str, Any]] = {
    "llm-gemini": ("gemini-embedding-2", {"embeddings": [{"values": [1.0, 2.0]}]}),
    "llm-mistral": (
        "mistral-embed",
        {
            "id": "e",
            "object": "list",
            "model": "mistral-embed",
            "usage": {"prompt_tokens": 1, "total_tokens": 1, "completion_tokens": 0},
            "data": [{"object": "embedding", "embedding": [1.0, 2.0], "index": 0}],
        },
    ),
    "llm-ollama": ("ollama/served:latest", {"model": "s", "embeddings": [[1.0, 2.0]]}),
}


@pytest.mark.parametrize("vendor", [one for one in VENDORS if one.plugin in EMBEDDINGS], ids=str)
def test_text_is_embedded(customer: User, vendor: Vendor) -> None:
    """`llm embed` asks the vendor for the vector."""
    model, answer = EMBEDDINGS[vendor.plugin]
    asked = ("embed", "-m", model, "-c", "hello")
    assert json.loads(customer.ask(*asked, replies=[json_reply(answer)])) == [1.0, 2.0]


COMMANDS: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "llm-anthropic": (
        ("anthropic", "count", "-m", "claude-sonnet-4.5", "hello"),
        {"input_tokens": 9},
        "9\n",
    ),
    "llm-gemini": (("gemini", "models"), {"models": [{"name": "g"}]}, '[\n  {\n    "name": "g"'),
    "llm-mistral": (("mistral", "models"), None, '[\n  {\n    "id": "served"'),
    "llm-ollama": (("ollama", "models"), None, "model "),
    "llm-openrouter": (("openrouter", "models"), None, "- id: acme/served\n"),
    "llm-grok": (("grok", "models"), None, "Available models:\n"),
}


@pytest.mark.parametrize("vendor", [one for one in VENDORS if one.plugin in COMMANDS], ids=str)
def test_command_of_the_plugin(customer: User, vendor: Vendor) -> None:
    """The plugin's own command runs; that of Anthropic is made of `llm prompt`."""
    args, answer, printed = COMMANDS[vendor.plugin]
    replies = [json_reply(answer)] if answer else []
    assert customer.ask(*args, replies=replies).startswith(printed)
