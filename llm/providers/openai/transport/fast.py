"""The fast transport: httpx2 or, for the usual case, `plain`; answers as JSON as they arrive.

Everything that decides something (reading, retrying, naming errors) is plain code shared by the
two drivers `exchange` and `exchange_async`, which differ in `for` and `async for` only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import llm
from llm.errors import ModelError

from ..wire.shapes import DONE, DUMMY_KEY, Json
from ..wire.sse import ErrorPayload, EventDecoder
from . import faults, show

if TYPE_CHECKING:
    import httpx2

    from .plain import Reply, Target

C = TypeVar("C")

_USUAL = llm.CallPolicy()


class Call:
    """One request: where to, with what.

    Args:
        endpoint: Address, model and key, as errors need them.
        headers: The HTTP headers, complete.
        body: The JSON body; for a GET request `None`.
        policy: How often to try, and how long to wait for the server.
    """

    __slots__ = ("body", "endpoint", "headers", "policy")

    def __init__(
        self,
        endpoint: faults.Endpoint,
        headers: Mapping[str, str],
        body: Json | None,
        policy: llm.CallPolicy = _USUAL,
    ) -> None:
        self.endpoint = endpoint
        self.headers = headers
        self.body = body
        self.policy = policy
        own = {name: value for name, value in headers.items() if DUMMY_KEY not in value}
        llm.remember_request(endpoint.url, own)

    @property
    def method(self) -> str:
        """POST with a body, else GET."""
        return "GET" if self.body is None else "POST"

    def pieces(self) -> Iterator[str]:
        """The body as it goes over the wire; in several pieces where there is much of it."""
        if self.body is not None:
            yield from llm.json_pieces(self.body)


class Reader:
    """Turns the pieces of a successful reply into JSON objects.

    An event stream and a plain JSON body are told apart by their first byte: compatible servers
    answer with either, and label it as they please.
    """

    def __init__(self, endpoint: faults.Endpoint) -> None:
        self._endpoint = endpoint
        self._decoder = EventDecoder()
        self._whole: list[bytes] | None = None
        self._begun = False
        self.is_done = False
        self._failure: ModelError | None = None

    def feed(self, piece: bytes) -> list[Json]:
        """The objects that `piece` completes; `DONE` among them where the stream says it ends."""
        if self._whole is not None:
            self._whole.append(piece)
            return []
        if not self._begun:
            start = piece.lstrip()
            self._begun = bool(start)
            if start[:1] in (b"{", b"[", b"<"):
                self._whole = [piece]
                return []
        return self._objects(self._decoder.feed(piece))

    def finish(self) -> list[Json]:
        """The objects left when the reply has ended."""
        if self._whole is None:
            return self._objects(self._decoder.finish())
        return [self._object(b"".join(self._whole)), DONE]

    def check(self) -> None:
        """Raise the error that the stream told of, once what came before it was taken.

        Raises:
            ModelError: There was one.
        """
        if self._failure is not None:
            raise self._failure

    def _objects(self, payloads: list[bytes]) -> list[Json]:
        objects: list[Json] = []
        for payload in payloads:
            if self.is_done:
                break
            if payload[:6] == b"[DONE]":
                self.is_done = True
                objects.append(DONE)
            elif payload:
                try:
                    objects.append(self._object(payload))
                except ModelError as error:
                    if not objects:
                        raise
                    self._failure = error
                    break
        return objects

    def _object(self, payload: bytes) -> Json:
        try:
            value = _parsed(payload.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise faults.not_json(self._endpoint, payload) from None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict):
            return {"value": value}
        if value.get("error") or isinstance(payload, ErrorPayload):
            raise faults.told_in_stream(self._endpoint, value)
        return value


_scan = json.JSONDecoder().raw_decode


def _parsed(text: str) -> Any:
    """The JSON value of `text`; a third faster than `json.loads` for an object without padding."""
    if text[:1] == "{":
        value, end = _scan(text)
        if end == len(text):
            return value
    return json.loads(text)


class Failures:
    """Says what follows the failures of one call."""

    def __init__(self, call: Call) -> None:
        self._endpoint = call.endpoint
        self._attempts = call.policy.attempts(call.endpoint.host)

    def after_status(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        """The pause before the next attempt, in seconds.

        Raises:
            ModelError: There should be no further attempt.
        """
        pause = self._attempts.pause_s(status, headers, body)
        if pause is None:
            raise faults.refusal(self._endpoint, status, headers, body)
        return pause

    def after_exception(self, error: Exception) -> float:
        """The pause before the next attempt after the connection failed, in seconds.

        Raises:
            ConnectionLost: There should be no further attempt.
        """
        trouble = _trouble_of(error)
        pause = None
        if not trouble.is_permanent:
            reason = "was silent for too long" if trouble.is_timeout else "cannot be reached"
            pause = self._attempts.pause_s(reason=reason)
        if pause is None:
            raise faults.lost(self._endpoint, str(trouble), begun=False) from error
        return pause


def _transport_errors() -> tuple[type[Exception], ...]:
    """What a connection raises that fails; where httpx2 was not imported it has raised nothing."""
    httpx2 = sys.modules.get("httpx2")
    if httpx2 is None:
        return (faults.TransportError,)
    more = (httpx2.RequestError, httpx2.StreamError, httpx2.InvalidURL, UnicodeError)
    return (faults.TransportError, *more)


def _trouble_of(error: Exception) -> faults.TransportError:
    """How the connection failed, in the same words for both transports."""
    if isinstance(error, faults.TransportError):
        return error
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        return faults.TransportError(faults.SILENT, is_timeout=True)
    if isinstance(error, (httpx2.LocalProtocolError, UnicodeError)):
        # Its text repeats the header, which may hold the key.
        return faults.TransportError(faults.UNSENDABLE, is_permanent=True)
    is_permanent = isinstance(error, (httpx2.UnsupportedProtocol, httpx2.InvalidURL))
    return faults.TransportError(str(error) or type(error).__name__, is_permanent=is_permanent)


_clients: dict[bool, httpx2.Client] = {}


def _client(call: Call) -> httpx2.Client:
    """The client of this process: connections are kept for the next turn."""
    import httpx2

    has_tls = llm.needs_tls(call.endpoint.url)
    client = _clients.get(has_tls)
    if client is None or client.is_closed:
        client = _clients[has_tls] = _make_client(httpx2.Client, has_tls)
    return client


def _make_client(kind: Callable[..., C], has_tls: bool) -> C:
    return llm.make_http_client(kind, **({} if has_tls else {"verify": False}))


def close() -> None:
    """Close the kept connections; the next call opens new ones."""
    for client in _clients.values():
        client.close()
    _clients.clear()
    if plain := sys.modules.get(f"{__package__}.plain"):
        plain.close()


def _start_of(call: Call) -> tuple[str, bool]:
    """The first piece of the body, and whether there are more; a body of JSON is ASCII."""
    pieces = call.pieces()
    return next(pieces, ""), next(pieces, None) is not None


def _request(call: Call, client: httpx2.Client | httpx2.AsyncClient) -> httpx2.Request:
    import httpx2

    start, is_long = _start_of(call)
    request = client.build_request(
        call.method,
        call.endpoint.url,
        content=b"" if is_long else start.encode(),
        headers=dict(call.headers),
        timeout=httpx2.Timeout(call.policy.timeout_s, connect=call.policy.connect_timeout_s),
    )
    if is_long:
        from .long_body import put_body

        put_body(request, call.pieces)
    _show_request(call, str(request.url), request.headers)
    return request


def _show_request(call: Call, url: str, headers: Mapping[str, str]) -> None:
    if show.is_wanted():
        content = "".join(call.pieces()).encode()
        llm.HTTPLog(call.endpoint.secrets).request(call.method, url, headers, content)


def _show_head(call: Call, reply: httpx2.Response | Reply) -> None:
    if show.is_wanted():
        llm.HTTPLog(call.endpoint.secrets).reply(reply.status_code, reply.headers)


def _show_refusal(call: Call, body: bytes) -> None:
    with show.showing(call.endpoint.secrets) as show_piece:
        if show_piece is not None:
            show_piece(body + b"\n")


def exchange(call: Call, sleep: Callable[[float], object] = time.sleep) -> Iterator[Json]:
    """The JSON objects of the answer as they arrive: events, or one whole body.

    `DONE` comes where the server said that the answer was complete.

    Raises:
        ModelError: The server refused (AuthError, RateLimited, ContextTooLong, Overloaded), sent
            what cannot be read, or the connection failed (ConnectionLost).
    """
    reader = Reader(call.endpoint)
    with _opened(call, sleep) as reply:
        with _broken_off(call), show.showing(call.endpoint.secrets) as show_piece:
            for piece in reply.iter_bytes():
                if show_piece is not None:
                    show_piece(piece)
                yield from reader.feed(piece)
                reader.check()
                if reader.is_done:
                    return
        yield from reader.finish()


@contextmanager
def _opened(call: Call, sleep: Callable[[float], object]) -> Iterator[httpx2.Response | Reply]:
    """A reply whose status is a success, after as many attempts as it takes."""
    trouble = Failures(call)
    while True:
        try:
            reply = _send(call)
        except _transport_errors() as error:
            sleep(trouble.after_exception(error))
            continue
        _show_head(call, reply)
        try:
            if reply.is_success:
                yield reply
                return
            with _broken_off(call):
                body = reply.read()
            _show_refusal(call, body)
            pause = trouble.after_status(reply.status_code, reply.headers, body)
        finally:
            reply.close()
        sleep(pause)


def _send(call: Call) -> httpx2.Response | Reply:
    from . import plain

    target = plain.target_of(call.endpoint.url)
    if target is not None:
        return _send_plainly(call, target)
    client = _client(call)
    request = _request(call, client)
    request.extensions["trace"] = _tell_when_sent
    return client.send(request, stream=True)


def _send_plainly(call: Call, target: Target) -> Reply:
    from . import plain

    headers = {"host": target.host_header, "connection": "keep-alive", **call.headers}
    headers.setdefault("accept", "*/*")
    headers.setdefault("accept-encoding", "identity")
    start, is_long = _start_of(call)
    if call.body is not None:
        headers["content-length"] = str(sum(map(len, call.pieces())) if is_long else len(start))
    _show_request(call, call.endpoint.url, headers)
    pieces = call.pieces() if is_long else iter((start,))
    return plain.send(call.method, target, headers, pieces, call.policy)


def _tell_when_sent(event: str, info: Mapping[str, Any]) -> None:
    if event.endswith("send_request_body.complete"):
        llm.request_sent()


@contextmanager
def _broken_off(call: Call) -> Iterator[None]:
    try:
        yield
    except _transport_errors() as error:
        raise faults.lost(call.endpoint, str(_trouble_of(error)), begun=True) from error


async def _pause(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


async def exchange_async(
    call: Call, sleep: Callable[[float], Awaitable[object]] = _pause
) -> AsyncIterator[Json]:
    """As `exchange`, without blocking the event loop."""
    reader = Reader(call.endpoint)
    async with _opened_async(call, sleep) as reply:
        with _broken_off(call), show.showing(call.endpoint.secrets) as show_piece:
            async for piece in reply.aiter_bytes():
                if show_piece is not None:
                    show_piece(piece)
                for value in reader.feed(piece):
                    yield value
                reader.check()
                if reader.is_done:
                    return
        for value in reader.finish():
            yield value


@asynccontextmanager
async def _opened_async(
    call: Call, sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[httpx2.Response]:
    import httpx2

    trouble = Failures(call)
    # A client belongs to its event loop, so it is made for the call.
    has_tls = llm.needs_tls(call.endpoint.url)
    async with _make_client(httpx2.AsyncClient, has_tls) as client:
        while True:
            try:
                reply = await client.send(_request(call, client), stream=True)
            except _transport_errors() as error:
                await sleep(trouble.after_exception(error))
                continue
            _show_head(call, reply)
            try:
                if reply.is_success:
                    yield reply
                    return
                with _broken_off(call):
                    body = await reply.aread()
                _show_refusal(call, body)
                pause = trouble.after_status(reply.status_code, reply.headers, body)
            finally:
                await reply.aclose()
            await sleep(pause)
