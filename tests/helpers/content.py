"""A model that tells everything it was given, loaders, and a small web site."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import llm
from llm.models import Options


class TellOptions(Options):
    """Options of the telling model."""

    n: int | None = None


def told(prompt: llm.Prompt, stream: bool) -> dict[str, Any]:
    """What a model was given, as plain values."""
    return {
        "messages": [[message.role, message.text()] for message in prompt.messages],
        "attachments": [attachment.type for attachment in prompt.attachments],
        "options": {name: value for name, value in prompt.options if value is not None},
        "schema": prompt.schema,
        "tools": [tool.name for tool in prompt.tools],
        "stream": stream,
    }


class Tell(llm.Model):
    """Answers with JSON of what it was given."""

    model_id = "tell"
    can_stream = True
    supports_schema = True
    supports_tools = True
    attachment_types = {"image/png", "text/plain", "application/pdf"}
    Options = TellOptions

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield json.dumps(told(prompt, stream))


class AsyncTell(llm.AsyncModel):
    """The asynchronous twin."""

    model_id = "tell"
    supports_schema = True
    Options = TellOptions

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield json.dumps(told(prompt, stream))


class Scripted(llm.Model):
    """Answers with the next of `answers`, in pieces of three characters."""

    model_id = "scripted"
    can_stream = True
    supports_schema = True

    answers: list[str] = []
    asked: list[str] = []

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        type(self).asked.append(prompt.prompt)
        text = type(self).answers.pop(0)
        yield from (text[at : at + 3] for at in range(0, len(text), 3))


class AsyncScripted(llm.AsyncModel):
    """The asynchronous twin, which shares the answers."""

    model_id = "scripted"
    can_stream = True
    supports_schema = True

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        text = Scripted.answers.pop(0)
        for at in range(0, len(text), 3):
            yield text[at : at + 3]


TEMPLATES: dict[str, dict[str, Any]] = {
    "plain": {"prompt": "About cats: $input"},
    "greedy": {
        "prompt": "x",
        "fragments": ["/etc/hostname"],
        "tools": ["llm_version"],
        "functions": "def shout(): return 'HI'",
    },
    "web": {"prompt": "x", "fragments": ["https://example.invalid/x"]},
    "command": {"prompt": "x", "fragments": ["cmd:echo hi"]},
}


class Content:
    """The plugin that registers all of it."""

    @llm.hookimpl
    def register_models(self, register: Callable[..., None]) -> None:
        register(Tell(), AsyncTell())
        register(Scripted(), AsyncScripted())

    @llm.hookimpl
    def register_template_loaders(self, register: Callable[..., None]) -> None:
        def load(rest: str) -> Any:
            """Templates of the tests."""
            if rest == "odd":
                return "no template"
            if rest not in TEMPLATES:
                raise ValueError(f"no {rest} here")
            return llm.Template(name=rest, **TEMPLATES[rest])

        register("tl", load)

    @llm.hookimpl
    def register_fragment_loaders(self, register: Callable[..., None]) -> None:
        def load(rest: str) -> Any:
            if rest == "bad":
                raise ValueError("nope")
            if rest == "number":
                return [5]
            if rest == "text":
                return "just text"
            file = llm.Attachment(content=b"%PDF-1.4 x", type="application/pdf")
            return [llm.Fragment(f"text {rest}", f"fl:{rest}"), file]

        register("fl", load)


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """The models and loaders are there while the block runs."""
    from llm.plugins import load_plugins, pm

    load_plugins()
    plugin = Content()
    pm.register(plugin, "content-of-tests")
    Scripted.answers, Scripted.asked = [], []
    try:
        yield
    finally:
        pm.unregister(plugin)


class Pages(http.server.ThreadingHTTPServer):
    """A site on loopback: `pages` maps a path to type and body; everything else is not there."""

    def __init__(self, pages: dict[str, tuple[str, bytes]]) -> None:
        self.pages = pages
        self.seen: list[tuple[str, str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Pages

    def do_GET(self) -> None:
        """Answer; the body only where it was asked for."""
        agent = self.headers.get("user-agent", "")
        self.server.seen.append((self.command, self.path, agent))
        kind, body = self.server.pages.get(self.path, (None, b"not here"))
        self.send_response(404 if kind is None else 200)
        self.send_header("content-type", kind or "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def serving(pages: dict[str, tuple[str, bytes]]) -> Iterator[Pages]:
    """The site is up while the block runs."""
    with Pages(pages) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
