"""The transport of the SDK: clients of the `openai` library, imported here and nowhere else.

It serves classes that override `get_client`, and whoever asks a model for its client. Importing
the library costs more than half a second, so everything else takes the fast transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import httpx2

import llm

from ..wire.shapes import DONE, ENDED, Json, plain
from . import fast, faults, http_log

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

USUAL_ERRORS = (httpx2.RequestError, httpx2.StreamError)


def make_client(
    settings: dict[str, Any], *, is_azure: bool, is_async: bool
) -> OpenAI | AsyncOpenAI:
    """A client of the `openai` library, made with these arguments for its class."""
    import openai

    log = http_log([settings["api_key"]])
    hooks = log.hooks(is_async=is_async) if log else {}
    http = openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient
    settings = {**settings, "http_client": llm.make_http_client(http, event_hooks=hooks)}
    if is_azure:
        azure = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
        return azure(**settings)
    return openai.AsyncOpenAI(**settings) if is_async else openai.OpenAI(**settings)


def under(policy: llm.CallPolicy, client: Any) -> Any:
    """The client with the retries and the time-out of `policy`, where that says something new."""
    if policy == llm.CallPolicy() or not hasattr(client, "with_options"):
        return client
    return client.with_options(max_retries=policy.retries, timeout=policy.timeout_s)


def exchange(client: object, path: str, endpoint: faults.Endpoint, request: Json) -> Iterator[Json]:
    """The JSON objects of the answer as they arrive, then `DONE`, or `ENDED` after a stream; from a
    client of `openai`, or one like it, whose resource `path` leads to.

    Raises:
        ModelError: As for the fast transport.
    """
    with _translated(endpoint):
        answer = _resource(client, path).create(**request)
    with _translated(endpoint, begun=True):
        if not request.get("stream"):
            yield _object(endpoint, answer)
        else:
            try:
                for chunk in answer:
                    yield _object(endpoint, chunk)
            finally:
                if hasattr(answer, "close"):
                    answer.close()
            if not _is_whole(answer):
                return
    yield ENDED if request.get("stream") else DONE


async def exchange_async(
    client: object, path: str, endpoint: faults.Endpoint, request: Json
) -> AsyncIterator[Json]:
    """As `exchange`, without blocking the event loop."""
    with _translated(endpoint):
        answer = await _resource(client, path).create(**request)
    with _translated(endpoint, begun=True):
        if not request.get("stream"):
            yield _object(endpoint, answer)
        else:
            try:
                async for chunk in answer:
                    yield _object(endpoint, chunk)
            finally:
                if hasattr(answer, "close"):
                    await answer.close()
            if not _is_whole(answer):
                return
    yield ENDED if request.get("stream") else DONE


def _object(endpoint: faults.Endpoint, value: object) -> Json:
    """An object of an answer, from whatever the library makes of what the server sends."""
    if isinstance(value, str):
        raise faults.not_json(endpoint, value.encode(errors="replace"))
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else {"value": list(map(plain, value))}
    return faults.checked(endpoint, plain(value))


def _is_whole(answer: object) -> bool:
    """Whether a stream that ended had an end of its own; not where only the connection ended."""
    reply = getattr(answer, "response", None)
    return reply is None or fast.is_framed(reply.headers)


def _resource(client: object, path: str) -> Any:
    return attrgetter(path.replace("/", "."))(client)


@contextmanager
def _translated(endpoint: faults.Endpoint, *, begun: bool = False) -> Iterator[None]:
    """Let the library's errors appear as ours."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        reply = error.response
        body = reply.content if reply.is_closed else error.body
        raise faults.refusal(endpoint, error.status_code, reply.headers, body or b"") from error
    except openai.APIConnectionError as error:
        trouble = faults.trouble_of(error.__cause__ or error)
        raise faults.lost(endpoint, trouble, begun=begun) from error
    except openai.APIError as error:
        raise faults.told_in_stream(endpoint, error.body or {"message": str(error)}) from error
    except JSONDecodeError as error:
        raise faults.not_json(endpoint, error.doc.encode(errors="replace")) from error
    except USUAL_ERRORS as error:
        raise faults.lost(endpoint, faults.trouble_of(error), begun=begun) from error
