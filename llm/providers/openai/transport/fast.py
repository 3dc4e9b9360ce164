"""The fast transport: httpx2 or, for the usual case, `plain`; answers as JSON as they arrive.

Everything that decides something (reading, retrying, naming errors) is plain code shared by the
two drivers `exchange` and `exchange_async`, which differ in `for` and `async for` only.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import llm

from ..wire.shapes import DONE, DUMMY_KEY, ENDED, Json
from ..wire.sse import BOM, END, ErrorPayload, EventDecoder
from . import faults, http_log

if TYPE_CHECKING:
    import httpx2

    from .plain import Reply, Target

C = TypeVar("C")
Take = Callable[[bytes], Iterable[Json]]

_USUAL = llm.CallPolicy()

# What a server may send, in bytes: of an event or line, of an answer in one piece, of a refusal.
LONGEST_EVENT = 16_000_000
LONGEST_BODY = 100_000_000
LONGEST_REFUSAL = 1_000_000
MOST_REDIRECTS = 5


class _Enough(Exception):
    """A refusal is so long that the rest is not read."""


class Call:
    """One request: where to, with what.

    Args:
        endpoint: Address, model and key, as errors need them.
        headers: The HTTP headers, complete.
        body: The JSON body; for a GET request `None`.
        policy: How often to try, and how long to wait for the server.
    """

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

    def content(self, headers: dict[str, str]) -> tuple[Iterator[str], dict[str, str]]:
        """The pieces of the body, and the headers with its length; a body of JSON is ASCII."""
        start = list(islice(self.pieces(), 2))
        is_long = len(start) > 1
        if start:
            length = sum(map(len, self.pieces() if is_long else start))
            headers = {**headers, "content-length": str(length)}
        return self.pieces() if is_long else iter(start), headers

    def show(self, url: str, headers: Mapping[str, str]) -> None:
        """Write the request to stderr where the environment asks for it."""
        if log := http_log(self.endpoint.secrets):
            log.request(self.method, url, headers, "".join(self.pieces()).encode())


class Reader:
    """Turns the pieces of a successful reply into JSON objects.

    An event stream and a plain JSON body are told apart by their first byte: compatible servers
    answer with either, and label it as they please.
    """

    def __init__(self, endpoint: faults.Endpoint) -> None:
        self._endpoint = endpoint
        self._decoder = EventDecoder()
        self._whole: list[bytes] | None = None
        # What came before the first byte that tells what the reply is; `None` from then on.
        self._before: bytes | None = b""
        # The beginning of a body in which no event has been found.
        self._shown = b""
        # The bytes since the last event ended, or of the body.
        self._size = 0
        self.is_done: bool = False

    def feed(self, piece: bytes) -> Iterable[Json]:
        """The objects that `piece` completes; `DONE` among them where the stream says it ends.

        Raises:
            ModelError: The stream told of an error, after what came before it was taken; or what
                it sends has no end.
        """
        self._size += len(piece)
        if self._before is not None:
            piece = self._begin(self._before + piece)
        if self._whole is None:
            payloads = self._decoder.feed(piece)
            if payloads:
                self._size, self._shown = 0, b""
            elif self._size > LONGEST_EVENT:
                raise faults.too_long(self._endpoint, "a line", LONGEST_EVENT)
            return self._objects(payloads)
        if self._size > LONGEST_BODY:
            raise faults.too_long(self._endpoint, "an answer", LONGEST_BODY)
        self._whole.append(piece)
        return ()

    def _begin(self, piece: bytes) -> bytes:
        """What there is from the first byte on that is no blank and in no comment."""
        start = _SILENCE.sub(b"", piece.removeprefix(BOM), count=1)
        is_open = start[:1] in (b"", b":") or start in (BOM[:1], BOM[:2])
        self._before = start if is_open else None
        # What begins so is no field of an event.
        if start[:1] in (b"{", b"[", b"<", b'"', b"n"):
            self._whole = []
        elif not is_open:
            self._shown = start[:200]
        return b"" if is_open else start

    def finish(self, is_framed: bool) -> Iterator[Json]:
        """The objects left when the reply has ended, and the word that it has.

        Args:
            is_framed: The body told where it would end; if only the closed connection does, it may
                have been cut short.
        """
        if self._whole is not None:
            yield self._object(b"".join(self._whole))
            yield DONE
            return
        left = self._decoder.finish()
        if self._shown and not left:
            raise faults.not_json(self._endpoint, self._shown)
        yield from self._objects(left)
        if is_framed and not self.is_done:
            yield ENDED

    def _objects(self, payloads: list[bytes]) -> Iterator[Json]:
        for payload in payloads:
            if payload[:1] != b"{" and not isinstance(payload, ErrorPayload):
                payload = _bare(payload)
            if payload[:6] == END:
                self.is_done = True
                yield DONE
                return
            if payload:
                yield self._object(payload)

    def _object(self, payload: bytes) -> Json:
        is_error = isinstance(payload, ErrorPayload)
        try:
            value = _parsed(payload.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            if is_error:
                raise faults.told_in_stream(self._endpoint, payload) from None
            raise faults.not_json(self._endpoint, payload) from None
        if is_error:
            raise faults.told_in_stream(self._endpoint, value)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0]
        if not isinstance(value, dict):
            value = {"value": value}
        return value if value.get("choices") else faults.checked(self._endpoint, value)


# Blanks and comments, before anything that has a meaning.
_SILENCE = re.compile(rb"\A(?:\s|:[^\r\n]*[\r\n])+")


def _bare(payload: bytes) -> bytes:
    """What an event says, without blanks and comments, and without a field name that stands there
    twice: gateways put whole events into the data of theirs."""
    payload = payload.strip()
    while payload[:5] == b"data:":
        payload = payload[5:].lstrip()
    return b"" if payload[:1] == b":" else payload


def is_framed(headers: Mapping[str, str]) -> bool:
    """Whether a body tells where it ends: by a last chunk, or by its length."""
    return "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()


_scan = json.JSONDecoder().raw_decode


def _parsed(text: str) -> object:
    """The JSON value of `text`; a third faster than `json.loads` for an object without padding."""
    if text[:1] == "{":
        value, end = _scan(text)
        if end == len(text):
            return value
    return json.loads(text)


class Course:
    """The course of one call: what each reply, and each connection that fails, leads to.

    Attributes:
        reader: Reads the reply that is a success.
        pause_s: The pause before the next attempt, in seconds.
    """

    def __init__(self, call: Call, told: llm.Response | llm.AsyncResponse | None) -> None:
        self._told = told
        self._endpoint = call.endpoint
        self._method = call.method
        self._redirects = 0
        self._attempts = call.policy.attempts(call.endpoint.host)
        self._begun = False
        self.reader: Reader = Reader(call.endpoint)
        self.pause_s: float = 0.0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One attempt, which may end with a pause where the connection fails.

        Raises:
            ConnectionLost: It fails, and there should be no further attempt.
        """
        self._begun = False
        try:
            yield
        except _transport_errors() as error:
            trouble, pause = faults.trouble_of(error), None
            if not (self._begun or trouble.is_permanent):
                pause = self._attempts.pause_s(reason=trouble.what_failed)
            if pause is None:
                raise faults.lost(self._endpoint, trouble, begun=self._begun) from error
            self.pause_s = pause

    @contextmanager
    def reading(self, reply: httpx2.Response | Reply) -> Iterator[Take]:
        """What takes the pieces of a reply, and gives the objects that they complete.

        Raises:
            ModelError: The server refused, and there should be no further attempt.
        """
        self._begun = True
        body = bytearray()

        def refused(piece: bytes) -> Iterable[Json]:
            body.extend(piece)
            if len(body) > LONGEST_REFUSAL:
                raise _Enough
            return ()

        if self._told is not None:
            self._told.request_id = reply.headers.get("x-request-id")
        take: Take = self.reader.feed if reply.is_success else refused
        with suppress(_Enough), self._shown(reply, take) as shown:
            yield shown
        if not reply.is_success:
            refusal = reply.status_code, reply.headers, bytes(body[:LONGEST_REFUSAL])
            if self._follows(reply.status_code, reply.headers):
                return
            pause = self._attempts.pause_s(*refusal)
            if pause is None:
                raise faults.refusal(self._endpoint, *refusal)
            self.pause_s = pause

    def _follows(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a redirect leads to another path of the same server, which is asked next."""
        redirects = (301, 302, 303, 307, 308) if self._method == "GET" else (307, 308)
        location = headers.get("location", "")
        target = faults.redirected(self._endpoint.url, location)
        is_own = (
            status in redirects
            and location
            and faults.origin(target) == faults.origin(self._endpoint.url)
        )
        if not is_own or self._redirects == MOST_REDIRECTS:
            return False
        self._redirects += 1
        self._endpoint.url = target
        self.pause_s = 0.0
        return True

    @contextmanager
    def _shown(self, reply: httpx2.Response | Reply, take: Take) -> Iterator[Take]:
        """What shows the pieces, where the environment asks for it, and hands them on."""
        log = http_log(self._endpoint.secrets)
        if log is None:
            yield take
            return
        log.reply(reply.status_code, reply.headers)
        with log.body() as write:

            def shown(piece: bytes) -> Iterable[Json]:
                write(piece)
                return take(piece)

            yield shown
            if not reply.is_success:
                write(b"\n")


def _transport_errors() -> tuple[type[Exception], ...]:
    """What a connection raises that fails; where httpx2 was not imported it has raised nothing."""
    httpx2 = sys.modules.get("httpx2")
    if httpx2 is None:
        return (faults.TransportError,)
    more = (httpx2.RequestError, httpx2.StreamError, httpx2.InvalidURL, UnicodeError)
    return (faults.TransportError, *more)


_clients: dict[bool, httpx2.Client] = {}


def _client(call: Call) -> httpx2.Client:
    """The client of this process: connections are kept for the next turn."""
    import httpx2

    has_tls = llm.needs_tls(call.endpoint.url)
    client = _clients.get(has_tls)
    if client is None or client.is_closed:
        client = _clients[has_tls] = _make_client(httpx2.Client, call)
    return client


def _make_client(kind: Callable[..., C], call: Call) -> C:
    settings = {} if llm.needs_tls(call.endpoint.url) else {"verify": False}
    return llm.make_http_client(kind, **settings)


def close() -> None:
    """Close the kept connections; the next call opens new ones."""
    for client in _clients.values():
        client.close()
    _clients.clear()
    if plain := sys.modules.get(f"{__package__}.plain"):
        plain.close()


def exchange(
    call: Call,
    sleep: Callable[[float], object] = time.sleep,
    *,
    told: llm.Response | llm.AsyncResponse | None = None,
) -> Iterator[Json]:
    """The JSON objects of the answer as they arrive: events, or one whole body.

    `DONE` comes where the server said that the answer was complete, `ENDED` where it said nothing
    and the body is whole. The response `told` learns the id that the server gave the request.

    Raises:
        ModelError: The server refused (AuthError, RateLimited, ContextTooLong, Overloaded), sent
            what cannot be read, or the connection failed (ConnectionLost).
    """
    course = Course(call, told)
    reader = course.reader
    while True:
        with course.attempt(), closing(_send(call)) as reply, course.reading(reply) as take:
            for piece in reply.iter_bytes():
                yield from take(piece)
                if reader.is_done:
                    return
            if reply.is_success:
                yield from reader.finish(is_framed(reply.headers))
                return
        sleep(course.pause_s)


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
    pieces, headers = call.content(headers)
    call.show(call.endpoint.url, headers)
    return plain.send(call.method, target, headers, pieces, call.policy)


def _request(call: Call, client: httpx2.Client | httpx2.AsyncClient) -> httpx2.Request:
    import httpx2

    from .long_body import LongBody

    pieces, headers = call.content(dict(call.headers))
    timeout = httpx2.Timeout(call.policy.timeout_s, connect=call.policy.connect_timeout_s)
    request = client.build_request(call.method, call.endpoint.url, headers=headers, timeout=timeout)
    request.stream = LongBody(pieces)
    call.show(str(request.url), request.headers)
    return request


def _tell_when_sent(event: str, info: Mapping[str, Any]) -> None:
    if event.endswith("send_request_body.complete"):
        llm.request_sent()


async def exchange_async(
    call: Call,
    sleep: Callable[[float], Awaitable[object]] | None = None,
    *,
    told: llm.Response | llm.AsyncResponse | None = None,
) -> AsyncGenerator[Json, None]:
    """As `exchange`, without blocking the event loop."""
    import asyncio

    import httpx2

    course = Course(call, told)
    # A client belongs to its event loop, so it is made for the call.
    async with _make_client(httpx2.AsyncClient, call) as client:
        while True:
            with course.attempt():
                reply = await client.send(_request(call, client), stream=True)
                async with aclosing(reply):
                    with course.reading(reply) as take:
                        async for piece in reply.aiter_bytes():
                            for value in take(piece):
                                yield value
                            if course.reader.is_done:
                                return
                        if reply.is_success:
                            for value in course.reader.finish(is_framed(reply.headers)):
                                yield value
                            return
            await (sleep or asyncio.sleep)(course.pause_s)
