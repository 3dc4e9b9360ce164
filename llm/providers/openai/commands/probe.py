"""Asking a compatible server which models it has, and what one of them can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import llm
from llm.errors import AuthError, ConnectionLost, ModelError, RateLimited

from ..chat import Chat, Responses
from ..embedding import OpenAIEmbeddingModel
from ..shared import _Shared
from ..transport.fast import Call
from ..wire.shapes import Json
from .endpoint import Server

# Enough for a short answer after some reasoning, little enough for a slow machine.
MAX_TOKENS = 300
IMAGE_SIDE = 64
# A 5xx is how some servers say that they cannot do a thing: it is not asked for again.
ONCE = llm.CallPolicy(retries=0, timeout_s=300.0)
# These say nothing about what a model can do.
_FATAL = (AuthError, ConnectionLost, RateLimited)


def find_server(server: Server) -> tuple[Server, list[str]]:
    """The server under the address that works, and the ids of its models.

    An address without a path is tried with `/v1` first, another one with it at the end last.

    Raises:
        ModelError: There is no list of models at either address.
    """
    address, mark, query = server.url.partition("?")
    longer = Server(
        f"{address.rstrip('/')}/v1{mark}{query}", server.key, server.headers, server.responses
    )
    has_path = "/" in address.partition("://")[2].rstrip("/")
    first, second = (server, longer) if has_path else (longer, server)
    try:
        return first, _probed(first, "").list_model_ids()
    except _FATAL:
        raise
    except ModelError as error:
        try:
            return second, _probed(second, "").list_model_ids()
        except ModelError:
            raise error from None


def probe(
    server: Server,
    name: str,
    *,
    only_embeddings: bool,
    known: Mapping[str, bool],
    tell: Callable[[str, bool], object],
) -> dict[str, bool]:
    """What the model `name` of a server can do; what is not `known` is found out by small requests.

    Returns:
        `chat`, `tools`, `schema`, `vision` and `embeddings`, as far as they were asked for.

    Raises:
        ModelError: The model neither answers nor embeds; what the server said about it.
    """
    found: dict[str, bool] = {}

    def note(ability: str, test: Callable[[], bool]) -> None:
        found[ability] = known[ability] if ability in known else test()
        tell(ability, found[ability])

    refusals: list[ModelError] = []
    model = _probed(server, name)
    if not only_embeddings:
        note("chat", lambda: _succeeds(partial(_answers, model), refusals))
    if found.get("chat"):
        note("tools", partial(_can, model, _calls_tools))
        note("schema", partial(_can, model, _keeps_schema))
        note("vision", partial(_can, model, _sees))
    note("embeddings", lambda: _succeeds(partial(_embeds, server, name), refusals))
    if not (found.get("chat") or found["embeddings"]):
        raise refusals[0] if refusals else ModelError(f"{name} sent no vectors")
    return found


def _succeeds(test: Callable[[], bool], refusals: list[ModelError]) -> bool:
    """Whether the test succeeds; a refusal of the server means no."""
    try:
        return test()
    except _FATAL:
        raise
    except ModelError as error:
        refusals.append(error)
        return False


def _can(model: _Probed, test: Callable[[_Probed], bool]) -> bool:
    """Whether the model passes a test at its most sober, or as it usually answers.

    A small model is easily led astray; some reasoning models take no temperature.
    """
    for options in ({"temperature": 0}, {}):
        model.options = options
        if _succeeds(partial(test, model), []):
            return True
    return False


def _answers(model: _Probed) -> bool:
    model.ask("Say hello.").text()
    return True


def _calls_tools(model: _Probed) -> bool:
    def get_weather(city: str) -> None:
        """Get the current weather of a city."""

    model.more = {"tool_choice": "required"}
    try:
        asked = model.ask("Call get_weather for London.", tools=[get_weather])
        return bool(asked.tool_calls())
    finally:
        model.more = {}


def _keeps_schema(model: _Probed) -> bool:
    """Whether the answer has a key that the model would not think of by itself."""
    schema = {
        "type": "object",
        "properties": {"pelicans_seen": {"type": "integer"}},
        "required": ["pelicans_seen"],
    }
    try:
        answer = json.loads(model.ask("Two and two?", schema=schema).text())
        return isinstance(answer["pelicans_seen"], int)
    except (ValueError, KeyError, TypeError):
        return False


def _sees(model: _Probed) -> bool:
    image = llm.Attachment(content=green_png(), type="image/png")
    prompt = "Which colour does this image have? Answer with its name."
    return "green" in model.ask(prompt, attachments=[image]).text().lower()


def _embeds(server: Server, name: str) -> bool:
    model = _ProbedEmbedding(name, name, api_base=server.url, headers=dict(server.headers))
    return bool(next(server.unlocked(model).embed_batch(["pelican"])))


def green_png() -> bytes:
    """A green square as a PNG file."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", IMAGE_SIDE, IMAGE_SIDE, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes((0, 160, 0)) * IMAGE_SIDE) * IMAGE_SIDE
    chunks = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class _Probed(_Shared):
    """A model as it answers while it is looked at: it says nothing to the user.

    Attributes:
        more: Fields to add to the request.
        options: Options to prompt with.
    """

    key_advice = "Give the right key of this server with --key"

    more: Json = {}
    options: Json = {}

    def ask(self, prompt: str, **more: Any) -> llm.Response:
        """The response to a prompt, asked for in one piece and once."""
        conversation = cast("llm.KeyModel", self).conversation(policy=ONCE)
        return conversation.prompt(
            prompt, stream=False, options={"max_tokens": MAX_TOKENS, **self.options}, **more
        )

    def _call(self, path: str, request: Json, key: str | None, policy: llm.CallPolicy) -> Call:
        return super()._call(path, {**request, **self.more}, key, policy)

    def _tell(self, notice: str) -> None:
        """Say nothing about refusals and answers that are cut off."""


class _ProbedEmbedding(OpenAIEmbeddingModel):
    def _call(self, path: str, request: Json, key: str | None, policy: llm.CallPolicy) -> Call:
        return super()._call(path, request, key, ONCE)


class _ProbedChat(_Probed, Chat):
    """A chat model that is looked at."""


class _ProbedResponses(_Probed, Responses):
    """A model of the Responses API that is looked at."""


def _probed(server: Server, name: str) -> _Probed:
    kind = _ProbedResponses if server.responses else _ProbedChat
    return server.unlocked(kind(**server.settings(name)))
