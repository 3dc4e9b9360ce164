"""Models that answer on the spot, registered like those of a plugin.

`with registered():` does it in this process; `python tests/helpers/run_llm.py ARGS` is the command
with these models installed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator

import llm
import llm.testing
from llm.models import Options
from llm.parts import StreamEvent, ToolCallPart, ToolResultPart
from llm.testing import AsyncScriptedModel, ScriptedModel
from llm.testing.models import Answer

FENCED = "One:\n```python\nfirst()\n```\nTwo:\n```\nsecond()\n```\nEnd."


def transcript(prompt: llm.Prompt) -> str:
    """The roles and texts of everything that is sent, one line."""
    return " | ".join(f"{message.role}: {message.text()}" for message in prompt.messages)


def of_role(role: str) -> llm.Message:
    """A message of a role that only other programs know."""
    message = llm.user()
    message.role = role  # type: ignore[assignment]
    return message


class EchoOptions(Options):
    """Options of the echo model."""

    shout: bool | None = None
    times: int | None = None


class Echo(llm.Model):
    """Answers with the messages it was sent, in pieces."""

    model_id = "echo"
    can_stream = True
    attachment_types = {"image/png", "text/plain"}
    Options = EchoOptions

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        text = transcript(prompt)
        for part in prompt.attachments:
            text += f" + {part.type} {len(part.content_bytes() or b'')} bytes"
        assert isinstance(prompt.options, EchoOptions)
        if prompt.options.shout:
            text = text.upper()
        text = text * (prompt.options.times or 1)
        if not stream:
            text = "whole " + text
        yield from re.findall(r"\s*\S+\s*", text)
        response.set_usage(input=1234, output=5, details={"cached": 1})


class Forgetful(llm.Model):
    """Answers the new prompt and looks at nothing else."""

    model_id = "forgetful"
    can_stream = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield f"Only {prompt.prompt}"


class Plain(llm.Model):
    """Cannot stream."""

    model_id = "plain"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        yield StreamEvent("reasoning", "secret")
        yield f"stream={stream}"


class PickyOptions(Options):
    """Options of the picky model."""

    shout: bool | None = None
    length: int | None = None
    timeout: str | None = None


class Slow(llm.Model):
    """Says where it is and then waits for ever; on `quick` it answers."""

    model_id = "slow"
    can_stream = True
    supports_tools = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        if prompt.prompt == "quick":
            yield transcript(prompt)
            return
        yield "started"
        threading.Event().wait()


class AsyncSlow(llm.AsyncModel):
    """The asynchronous twin of the slow model."""

    model_id = "slow"
    can_stream = True

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        import asyncio

        yield "started"
        await asyncio.Event().wait()


class Keyed(llm.KeyModel):
    """Tells its key."""

    model_id = "keyed"
    needs_key = "vault"
    key_env_var = "VAULT_KEY"
    can_stream = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
        key: str | None,
    ) -> Iterator[str]:
        yield f"key={key}"


class Leaky(llm.KeyModel):
    """Puts its key into the error, as services do that quote it."""

    model_id = "leaky"
    needs_key = "vault"
    key_env_var = "VAULT_KEY"
    can_stream = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
        key: str | None,
    ) -> Iterator[str]:
        if prompt.prompt == "answer":
            yield f"Your key is {key}, sir"
            response.response_json = {"seen": key}
            return
        raise ValueError(f"GET https://api.example.com/?key={key} failed")


def script_turn(prompt: llm.Prompt) -> Iterator[str | llm.ToolCall]:
    """What a scripted model does next: the last user message is the JSON list of its turns."""
    said = prompt.messages
    asked = max(n for n, message in enumerate(said) if message.role == "user")
    turns = json.loads(said[asked].text()) if said[asked].text().startswith("[") else []
    done = [message for message in said[asked:] if _is_whole_turn(message)]
    if len(done) >= len(turns):
        parts = [part for message in said for part in message.parts]
        yield "; ".join(part.output for part in parts if isinstance(part, ToolResultPart))
    elif isinstance(turns[len(done)], str):
        yield turns[len(done)]
    else:
        yield "calling"
        yield from (llm.ToolCall(*call) for call in turns[len(done)])


def _is_whole_turn(message: llm.Message) -> bool:
    """Whether a message is an answer of a scripted model that did not break off."""
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    return message.role == "assistant" and bool(calls or message.text() != "calling")


class Scripted(llm.Model):
    """Calls tools as the prompt says, and at the end tells all results.

    The prompt is a JSON list; of each turn it says the text, or the calls as `[name, arguments]`.
    """

    model_id = "scripted"
    supports_tools = True
    can_stream = True
    attachment_types = {"image/png"}

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        for piece in script_turn(prompt):
            if isinstance(piece, llm.ToolCall):
                response.add_tool_call(piece)
            else:
                yield piece


class AsyncScripted(llm.AsyncModel):
    """The asynchronous twin of the scripted model."""

    model_id = "scripted"
    supports_tools = True
    can_stream = True

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        for piece in script_turn(prompt):
            if isinstance(piece, llm.ToolCall):
                response.add_tool_call(piece)
            else:
                yield piece


def model(model_id: str, script: Callable[[llm.Prompt], Answer], **more: object) -> ScriptedModel:
    """A model that takes nothing but text."""
    takes = {"supports_tools": False, "supports_schema": False, "attachment_types": ()}
    return ScriptedModel(script, model_id=model_id, **{**takes, **more})


def fail(prompt: llm.Prompt) -> Iterator[str]:
    """Break off in the middle of the answer."""
    if "now" not in (prompt.prompt or ""):
        yield "partial "
        yield "answer"
    if "silently" in (prompt.prompt or ""):
        raise KeyError
    raise ValueError("boom")


def think(prompt: llm.Prompt) -> Iterator[str | StreamEvent]:
    """Think aloud, before and between."""
    yield StreamEvent("reasoning", "Let me ")
    yield StreamEvent("reasoning", "think")
    yield StreamEvent("text", "")
    yield "A"
    yield StreamEvent("reasoning", "Hm")
    yield "B"
    yield StreamEvent("reasoning", "Done")
    if prompt.hide_reasoning:
        yield " hidden"


def threaten(prompt: llm.Prompt) -> Iterator[str | StreamEvent]:
    """Think and fail with control sequences for the terminal."""
    if prompt.prompt != "now":
        yield StreamEvent("reasoning", "\x1b]0;title\x07 thoughts")
    raise ValueError("\x1b]0;title\x07 trouble")


def wait(prompt: llm.Prompt) -> Iterator[str]:
    """Wait, as for a network, until what logging needs was imported meanwhile."""
    before = "sqlite_utils" in sys.modules
    deadline = time.monotonic() + 60
    while "llm.logs.write.store" not in sys.modules or "sqlite_utils" not in sys.modules:
        if time.monotonic() > deadline:
            raise llm.ModelError("nothing was imported within a minute")
        threading.Event().wait(0.01)
    yield f"loaded before {before}, while waiting True"


# What stops its user, or the connection, in the middle of an answer.
INTERRUPTIONS = {"stop": KeyboardInterrupt(), "cut": BrokenPipeError(32, "Broken pipe")}


def registered() -> contextlib.AbstractContextManager[None]:
    """The models are there while the block runs."""
    return llm.testing.registered(
        Echo(),
        AsyncScriptedModel(
            lambda prompt: ["async ", transcript(prompt), llm.Usage(1, 2)],
            model_id="echo",
            Options=EchoOptions,
        ),
        model("fails", fail),
        AsyncScriptedModel([["partial", ValueError("async boom")]] * 9, model_id="fails"),
        Slow(),
        AsyncSlow(),
        Scripted(),
        AsyncScripted(),
        Forgetful(),
        model("picky", lambda prompt: llm.ModelError("not in the mood"), Options=PickyOptions),
        model("reasoner", think),
        model("fenced", lambda prompt: FENCED),
        Plain(),
        Keyed(),
        Leaky(),
        model("single", lambda prompt: "once", supports_conversation=False),
        # It never stops talking.
        model("endless", lambda prompt: itertools.repeat("line after line\n")),
        model("evil", threaten),
        # Few encodings have these characters, one of which is half of a pair.
        model("odd", lambda prompt: "snow \u2603 half \ud83d end"),
        model(
            "interrupted",
            lambda prompt: filter(None, ["begun", INTERRUPTIONS.get(prompt.prompt)]),
        ),
        model("patient", wait),
        model("rude", lambda prompt: "a\x1b]0;title\x07b\r\nc\td"),
        aliases={"echo": ["e"]},
    )
