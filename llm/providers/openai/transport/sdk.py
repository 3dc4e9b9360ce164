"""The SDK lane: clients of the `openai` library, which is imported here and nowhere else.

It serves classes that override `get_client`, and whoever asks a model for its client. Importing
the library costs more than half a second, so everything else takes the fast lane.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2

from ....net.network import make_client as make_http_client
from ....net.policy import CallPolicy
from ..wire.shapes import DONE, Json
from . import faults, show

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

USUAL_ERRORS = (httpx2.RequestError, httpx2.StreamError)


def make_client(
    *,
    api_key: str,
    base_url: str | None = None,
    headers: dict[str, str] | None = None,
    azure: dict[str, str] | None = None,
    is_async: bool = False,
) -> OpenAI | AsyncOpenAI:
    """A client of the `openai` library.

    Args:
        api_key: The key.
        base_url: The address of the API; the library's default where missing.
        headers: Headers to send with each request.
        azure: `api_version` and, where there is one, `azure_deployment`: makes an Azure client.
        is_async: Make an asynchronous client.
    """
    import openai

    kind = openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient
    hooks = _showing_hooks(api_key, is_async) if show.is_wanted() else {}
    http_client = make_http_client(kind, event_hooks=hooks)
    settings: dict[str, Any] = {"api_key": api_key, "http_client": http_client}
    if headers:
        settings["default_headers"] = headers
    if azure is not None:
        settings |= {"azure_endpoint": base_url, **azure}
        azure_class = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
        return azure_class(**settings)
    if base_url:
        settings["base_url"] = base_url
    return openai.AsyncOpenAI(**settings) if is_async else openai.OpenAI(**settings)


def under(policy: CallPolicy, client: Any) -> Any:
    """The client with the retries and the time-out of `policy`, where that says something new."""
    if policy == CallPolicy() or not hasattr(client, "with_options"):
        return client
    return client.with_options(max_retries=policy.retries, timeout=policy.timeout_s)


def exchange(
    client: Any, resource: str, request: Json, endpoint: faults.Endpoint
) -> Iterator[Json]:
    """The JSON objects of the answer as they arrive, then `DONE`.

    Args:
        client: An `openai` client, or one like it.
        resource: What to call `create` on, e.g. `chat.completions`.
        request: The keyword arguments for `create`.
        endpoint: Whom the request goes to, for errors.

    Raises:
        ModelError: As for the fast lane.
    """
    with _translated(endpoint) as progress:
        answer = _resource(client, resource).create(**request)
        progress.begun = True
        if not request.get("stream"):
            yield _plain(answer)
        else:
            try:
                for chunk in answer:
                    yield _plain(chunk)
            finally:
                getattr(answer, "close", _nothing)()
    yield DONE


async def exchange_async(
    client: Any, resource: str, request: Json, endpoint: faults.Endpoint
) -> AsyncIterator[Json]:
    """As `exchange`, without blocking the event loop."""
    with _translated(endpoint) as progress:
        answer = await _resource(client, resource).create(**request)
        progress.begun = True
        if not request.get("stream"):
            yield _plain(answer)
        else:
            try:
                async for chunk in answer:
                    yield _plain(chunk)
            finally:
                if hasattr(answer, "close"):
                    await answer.close()
    yield DONE


def _nothing() -> None:
    """Stands in for the `close` of an answer that has none."""


def _resource(client: Any, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


def _plain(value: Any) -> Json:
    from ..wire.chat_answers import plain

    return plain(value)


class _Progress:
    """How far a request has come."""

    begun = False


@contextmanager
def _translated(endpoint: faults.Endpoint) -> Iterator[_Progress]:
    """Let the library's errors appear as ours."""
    import openai

    progress = _Progress()
    try:
        yield progress
    except openai.APIStatusError as error:
        body = error.response.content if error.response.is_closed else error.body
        raise faults.refusal(
            endpoint, error.status_code, error.response.headers, body or b""
        ) from error
    except openai.APIConnectionError as error:
        reason = str(error.__cause__ or error)
        raise faults.lost(endpoint, reason, begun=progress.begun) from error
    except openai.APIError as error:
        raise faults.told_in_stream(endpoint, error.body or {"message": str(error)}) from error
    except USUAL_ERRORS as error:
        raise faults.lost(endpoint, str(error), begun=progress.begun) from error


def _showing_hooks(api_key: str, is_async: bool) -> dict[str, list[Any]]:
    """What lets an HTTP client write its exchanges to stderr."""
    secrets = (api_key,)

    def asked(request: httpx2.Request) -> None:
        request.headers["accept-encoding"] = "identity"
        show.show_request(
            request.method, str(request.url), request.headers, request.content, secrets
        )

    def answered(response: httpx2.Response) -> None:
        show.show_response(response.status_code, response.headers, secrets)
        response.stream = _Echo(response.stream, secrets)

    async def asked_async(request: httpx2.Request) -> None:
        asked(request)

    async def answered_async(response: httpx2.Response) -> None:
        answered(response)

    if is_async:
        return {"request": [asked_async], "response": [answered_async]}
    return {"request": [asked], "response": [answered]}


class _Echo(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that is written while it is read."""

    def __init__(self, stream: Any, secrets: tuple[str, ...]) -> None:
        self._stream = stream
        self._secrets = secrets

    def __iter__(self) -> Iterator[bytes]:
        with show.showing(self._secrets) as show_piece:
            for piece in self._stream:
                if show_piece is not None:
                    show_piece(piece)
                yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with show.showing(self._secrets) as show_piece:
            async for piece in self._stream:
                if show_piece is not None:
                    show_piece(piece)
                yield piece

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()
