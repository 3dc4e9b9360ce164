"""The wire cases of `tests/data/wire/cases`: read, served, and asked for in every way.

The README beside them tells what a case may say.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.default_plugins import openai_models
from llm.parts import StreamEvent
from llm.providers.openai.transport import plain

from .openai_server import (
    OpenAIServer,
    Received,
    Reply,
    chunk,
    completion,
    json_reply,
    sse_reply,
    text_stream,
)

CASES = Path(__file__).parent.parent / "data/wire/cases"
LAST_PROMPT = "and now?"
_KINDS = {"chat": "Chat", "completions": "Completion", "responses": "Responses"}


#: What a server may refuse, by the name that a case gives it.
REFUSES: dict[str, Callable[[Any], bool]] = {
    "stream_options": lambda body: "stream_options" in body,
    "max_tokens": lambda body: "max_tokens" in body,
    "null content": lambda body: any(
        message.get("tool_calls") and message["content"] is None for message in body["messages"]
    ),
    "empty result": lambda body: any(
        message["role"] == "tool" and not message["content"] for message in body["messages"]
    ),
    "system inside": lambda body: any(
        message["role"] == "system" for message in body["messages"][1:]
    ),
    "json_schema": lambda body: (body.get("response_format") or {}).get("type") == "json_schema",
    "response_format": lambda body: "response_format" in body,
    "text format": lambda body: (
        (body.get("text") or {}).get("format", {}).get("type") == "json_schema"
    ),
    "null description": lambda body: any(
        tool["function"].get("description", "") is None for tool in body.get("tools", ())
    ),
}


class Way(NamedTuple):
    """One way of asking.

    Attributes:
        by: `sync`, `client` (synchronous, over httpx2), `sdk` (over the client of `openai` that a
            class of its own returns), `async` or `command`.
        streams: Whether a stream is asked for.
    """

    by: str
    streams: bool

    @property
    def form(self) -> str:
        """The field of a reply that is served."""
        return "streamed" if self.streams else "whole"

    def __str__(self) -> str:
        return f"{self.by}-{self.form}"


WAYS = [
    Way(by, streams)
    for by in ("sync", "client", "sdk", "async", "command")
    for streams in (True, False)
]


class Case(NamedTuple):
    """A case, with the file that it stands in."""

    story: str
    data: dict[str, Any]

    @property
    def turns(self) -> list[dict[str, Any]]:
        """Its turns."""
        return list(self.data.get("turns") or [self.data])

    def goes(self, way: Way) -> bool:
        """Whether it can be asked for in a way."""
        if way.by == "sdk" and not self.data.get("sdk", True):
            return False
        # The older API has no asynchronous class.
        if self.data.get("api") == "completions" and way.by == "async":
            return False
        replies = [reply for turn in self.turns for reply in turn["replies"]]
        return all(way.form in reply or "body" in reply for reply in replies)

    def __str__(self) -> str:
        return f"{self.story}: {self.data['name']}"


def read_cases() -> Iterator[Case]:
    """All cases."""
    for path in sorted(CASES.glob("*.json")):
        for data in json.loads(path.read_text(encoding="utf-8")):
            yield Case(path.stem, data)


def ways() -> Iterator[tuple[Case, Way]]:
    """All cases, in each way in which they can be asked for."""
    for case in read_cases():
        for way in WAYS:
            if case.goes(way):
                yield case, way


# Serving


class WireServer(OpenAIServer):
    """Refuses what the case says, and answers the rest in order.

    Attributes:
        taken: The requests that were not refused.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.refuses = case.data.get("refuses") or {}
        self.taken: list[Received] = []

    def reply_to(self, received: Received) -> Reply:
        """The refusal, or the next answer."""
        for name, told in self.refuses.items():
            if REFUSES[name](received.body):
                self.requests.append(received)
                return self.reply({"status": 400, **told}, "body")
        self.taken.append(received)
        return super().reply_to(received)

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return len(self.requests) - len(self.taken)

    def reply(self, told: Mapping[str, Any], form: str) -> Reply:
        """A reply of a case."""
        end = told.get("end", "chunked")
        headers = {
            name: str(value).replace("{server}", self.url)
            for name, value in told.get("headers", {}).items()
        }
        kind = "application/json"
        if form in told and form == "streamed":
            kind = "text/event-stream"
            pieces = [_event(value) for value in told["streamed"]]
            if told.get("done", True):
                pieces.append(b"data: [DONE]\n\n")
        else:
            pieces = [_body(told.get(form, told.get("body")))]
        if end == "length":
            headers["Content-Length"] = str(sum(map(len, pieces)))
        return Reply(
            told.get("status", 200),
            headers,
            [*pieces],
            content_type=kind,
            chunked=end in ("chunked", "cut"),
            truncate=end == "cut",
            reset=end == "reset",
        )


def _event(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    is_short = isinstance(value, dict) and (
        "finish" in value or isinstance(value.get("delta"), dict)
    )
    if is_short:
        more = {name: value[name] for name in value.keys() - {"delta", "finish"}}
        value = chunk(value.get("delta"), value.get("finish"), **more)
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _body(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(value.get("message"), dict):
        more = {name: value[name] for name in value.keys() - {"message", "finish"}}
        value = completion(value["message"], value.get("finish", "stop"), **more)
    return json.dumps(value).encode()


def last_reply(api: str, streams: bool) -> Reply:
    """An answer `Fine.` to the last prompt."""
    if api == "chat":
        return text_stream("Fine.") if streams else json_reply(completion({"content": "Fine."}))
    if api == "completions":
        choice = {"index": 0, "text": "Fine.", "finish_reason": "stop"}
        whole: dict[str, Any] = {"choices": [choice]}
        return sse_reply([whole]) if streams else json_reply(whole)
    content = [{"type": "output_text", "text": "Fine."}]
    item = {"type": "message", "id": "last", "role": "assistant", "content": content}
    whole = {"object": "response", "status": "completed", "output": [item]}
    event = {"type": "response.completed", "response": whole}
    return sse_reply([event]) if streams else json_reply(whole)


# Asking


@dataclass
class Outcome:
    """What came of a turn.

    Attributes:
        notes: What the command wrote to standard error.
        exit_code: That of the command, or the one that it would have.
    """

    text: str = ""
    reasoning: str | None = ""
    calls: list[list[Any]] | None = field(default_factory=list)
    error: str = ""
    notes: str = ""
    exit_code: int = 0


def settings_of(case: Case, server: WireServer) -> dict[str, Any]:
    """Arguments for the class of the model, which are keys of an entry as well."""
    own = {
        name: value.replace("{server}", server.url) if isinstance(value, str) else value
        for name, value in case.data.get("model", {}).items()
    }
    chat = {"supports_tools": True, "supports_schema": True, "vision": True, "reasoning": True}
    usual = {} if case.data.get("api") == "completions" else chat
    return {"api_base": server.url, **usual, **own}


def own_client(model: Any, key: str | None) -> Any:
    """The client that the model has anyway: a class with this method takes the library's way."""
    return openai_models.Chat.get_client(model, key)


class Library:
    """A conversation in Python."""

    def __init__(self, case: Case, way: Way, server: WireServer) -> None:
        name = ("Async" if way.by == "async" else "") + _KINDS[case.data.get("api", "chat")]
        settings = settings_of(case, server)
        kind = getattr(openai_models, name)
        if way.by == "sdk":
            kind = type(name, (kind,), {"get_client": own_client})
        model = kind("served", key="sk-wire-key", **settings)
        self.way = way
        self.conversation = model.conversation(policy=llm.CallPolicy(retries=0))

    def ask(self, turn: Mapping[str, Any]) -> Outcome:
        """What comes of a turn."""
        names: dict[str, Any] = {}
        exec(turn.get("functions", ""), names)
        chain = self.conversation.chain(
            turn.get("prompt", "hello"),
            system=turn.get("system"),
            options=turn.get("options") or {},
            schema=turn.get("schema"),
            tools=[value for name, value in names.items() if name != "__builtins__"],
            stream=self.way.streams,
        )
        events: list[StreamEvent] = []
        told = Outcome()
        read = self._read_async if self.way.by == "async" else self._read
        try:
            read(chain, events)
        except llm.LLMError as error:
            told.error = str(error)
        told.text = "".join(event.chunk for event in events if event.type == "text")
        told.reasoning = "".join(event.chunk for event in events if event.type == "reasoning")
        told.calls = _named_calls(events)
        told.exit_code = 0 if not told.error else 3 if told.text.strip() else 1
        return told

    def _read(self, chain: Any, events: list[StreamEvent]) -> None:
        usual = plain.target_of
        target_of = (lambda url: None) if self.way.by == "client" else usual
        with mock.patch.object(plain, "target_of", target_of):
            for event in chain.stream_events():
                events.append(event)

    def _read_async(self, chain: Any, events: list[StreamEvent]) -> None:
        async def read() -> None:
            async for event in chain.astream_events():
                events.append(event)

        asyncio.run(read())


def _named_calls(events: list[StreamEvent]) -> list[list[Any]]:
    """Names and arguments of the calls, as the events tell them."""
    found: dict[tuple[Any, str | None], list[str]] = {}
    for event in events:
        if event.type in ("tool_call_name", "tool_call_args"):
            call = found.setdefault((event.part_index, event.tool_call_id), ["", ""])
            call[event.type == "tool_call_args"] += event.chunk
    return [[name, llm.parse_arguments(arguments)] for name, arguments in found.values()]


class Command:
    """A conversation at the command line, each turn a command of its own."""

    def __init__(self, case: Case, way: Way, server: WireServer) -> None:
        kinds = {"completions": {"completion": True}, "responses": {"responses": True}}
        kind = kinds.get(case.data.get("api", "chat"), {})
        entry = {"model_id": "served", **kind, **settings_of(case, server)}
        path = llm.user_dir() / "extra-openai-models.yaml"
        path.write_text(json.dumps([entry]), encoding="utf-8")
        self.way = way
        self.turns = 0

    def ask(self, turn: Mapping[str, Any]) -> Outcome:
        """What comes of a turn."""
        prompt = turn.get("prompt", "hello")
        args = ["-m", "served", "--retries", "0", *([] if self.way.streams else ["--no-stream"])]
        args += ["-c"] if self.turns else []
        args += ["--functions", turn["functions"], "--ask", "never"] if "functions" in turn else []
        args += ["-s", turn["system"]] if "system" in turn else []
        args += ["--schema", json.dumps(turn["schema"])] if "schema" in turn else []
        for name, value in turn.get("options", {}).items():
            args += ["-o", name, value if isinstance(value, str) else json.dumps(value)]
        self.turns += 1
        done = CliRunner().invoke(cli, ["prompt", *args, "--", prompt], input="")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        error = done.stderr.partition("Error: ")[2]
        text = done.stdout.removesuffix("\n")
        return Outcome(text, None, None, error, done.stderr, done.exit_code)
