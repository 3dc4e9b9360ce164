"""The fast transport: retries, time-outs, broken connections, readable errors."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias

import pytest

import llm
from llm.errors import (
    AuthError,
    ConnectionLost,
    ContextTooLong,
    ModelError,
    Overloaded,
    RateLimited,
)
from llm.net import network, policy
from llm.net.policy import CallPolicy
from llm.providers.openai.transport import fast, faults, plain
from llm.providers.openai.wire.shapes import DONE, ENDED
from llm.text import JSONObject

from .helpers.openai_server import OpenAIServer, Reply, error_reply, json_reply, sse_reply


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    with OpenAIServer() as running:
        yield running
    fast.close()


def call_to(server: OpenAIServer, **more: Any) -> fast.Call:
    """A request to the server."""
    endpoint = faults.Endpoint(f"{server.url}/chat/completions", "m", "openai", ["sk-secret-key"])
    return fast.Call(endpoint, {"authorization": "Bearer sk-secret-key"}, {"stream": True}, **more)


class Sleeps(list[float]):
    """Remembers the pauses that somebody wanted to make."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)

    async def asynchronous(self, seconds: float) -> None:
        """The same for an event loop."""
        self.append(seconds)


def run_sync(
    call: fast.Call, sleeps: Sleeps, seen: list[JSONObject] | None = None
) -> list[JSONObject]:
    """All objects of the answer, through the synchronous driver."""
    found = [] if seen is None else seen
    for value in fast.exchange(call, sleeps):
        found.append(value)
    return found


def run_async(
    call: fast.Call, sleeps: Sleeps, seen: list[JSONObject] | None = None
) -> list[JSONObject]:
    """All objects of the answer, through the asynchronous driver."""
    found = [] if seen is None else seen

    async def collect() -> None:
        async for value in fast.exchange_async(call, sleeps.asynchronous):
            found.append(value)

    asyncio.run(collect())
    return found


def run_client(
    call: fast.Call, sleeps: Sleeps, seen: list[JSONObject] | None = None
) -> list[JSONObject]:
    """All objects of the answer, through the client that proxies and odd addresses need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "target_of", lambda url: None)
        return run_sync(call, sleeps, seen)


Run: TypeAlias = Callable[..., list[JSONObject]]


@pytest.fixture(params=[run_sync, run_client, run_async], ids=["sync", "client", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Either driver, and either transport of the first: they promise the same."""
    driver: Run = request.param
    return driver


def test_stream_gives_its_objects_then_done(server: OpenAIServer, run: Run) -> None:
    """Events arrive in order, the end marker as `DONE`; what follows it is not read."""
    server.add(sse_reply([{"a": 1}, {"a": 2}]))
    assert run(call_to(server), Sleeps()) == [{"a": 1}, {"a": 2}, DONE]
    assert server.last.headers["authorization"] == "Bearer sk-secret-key"


def test_stream_without_end_marker_gives_no_done(server: OpenAIServer, run: Run) -> None:
    """Whoever takes the objects can see that the stream did not say that it was complete."""
    server.add(sse_reply([{"a": 1}], done=False), sse_reply([{"a": 1}], done=False, chunked=False))
    found = run(call_to(server), Sleeps())
    assert [(value is DONE, value is ENDED) for value in found] == [(False, False), (False, True)]
    assert run(call_to(server), Sleeps()) == [{"a": 1}]


def test_plain_json_is_taken_for_what_it_is(server: OpenAIServer, run: Run) -> None:
    """A JSON body is one object, whatever was asked for."""
    server.add(json_reply({"a": [1]}))
    assert run(call_to(server), Sleeps()) == [{"a": [1]}, DONE]


def test_objects_in_a_list_of_one_are_unwrapped(server: OpenAIServer, run: Run) -> None:
    """Some servers wrap their body into a list."""
    server.add(json_reply([{"a": 1}]))
    assert run(call_to(server), Sleeps())[0] == {"a": 1}


def test_compressed_body_is_read(server: OpenAIServer, run: Run) -> None:
    """A server that compresses unasked is understood."""
    body = gzip.compress(b'{"a": 1}')
    server.add(Reply(pieces=[body], headers={"Content-Encoding": "gzip"}))
    assert run(call_to(server), Sleeps())[0] == {"a": 1}


def test_padding_around_json_is_allowed(server: OpenAIServer, run: Run) -> None:
    """Spaces before and after the JSON of an event mean nothing; anything else is an error."""
    server.add(Reply(pieces=[b'data:   {"a": 1}  \n\ndata: {"a": 2} \n\n']))
    assert run(call_to(server), Sleeps()) == [{"a": 1}, {"a": 2}, ENDED]
    server.add(Reply(pieces=[b'data: {"a": 1} x\n\n']))
    with pytest.raises(ModelError, match="not JSON"):
        run(call_to(server), Sleeps())


def test_value_that_is_no_object_is_wrapped(server: OpenAIServer, run: Run) -> None:
    """A bare JSON value becomes an object that means nothing."""
    server.add(Reply(pieces=[b"data: 5\n\ndata: [DONE]\n\n"]))
    assert run(call_to(server), Sleeps())[0] == {"value": 5}


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_passing_trouble_is_retried_twice(server: OpenAIServer, run: Run, status: int) -> None:
    """Two further attempts with growing pauses, then the answer."""
    server.add(error_reply(status, "busy"), error_reply(status, "busy"), sse_reply([{"a": 1}]))
    sleeps = Sleeps()
    assert run(call_to(server), sleeps) == [{"a": 1}, DONE]
    assert len(server.requests) == 3
    assert 0.37 <= sleeps[0] <= 0.5
    assert 0.75 <= sleeps[1] <= 1.0


@pytest.mark.parametrize(("status", "count"), [(500, 3), (502, 3), (503, 5)])
def test_last_failure_is_told(server: OpenAIServer, run: Run, status: int, count: int) -> None:
    """After two retries, four for a busy server, its own words reach the user."""
    server.add(*[error_reply(status, "Loading model") for _ in range(6)])
    with pytest.raises(Overloaded, match=rf"answered {status}: Loading model\. .*try again"):
        run(call_to(server), Sleeps())
    assert len(server.requests) == count


def test_busy_server_may_ask_for_four_pauses(server: OpenAIServer, run: Run) -> None:
    """Its own words are kept each time."""
    server.add(*[error_reply(429, "slow down", {"Retry-After": "1"}) for _ in range(4)])
    server.add(sse_reply([{"a": 1}]))
    sleeps = Sleeps()
    assert run(call_to(server), sleeps) == [{"a": 1}, DONE]
    assert sleeps == [1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_kept(
    server: OpenAIServer, run: Run, headers: dict[str, str], pause: float
) -> None:
    """The server says how long to wait, in seconds, milliseconds or as a date."""
    server.add(error_reply(429, "slow down", headers), sse_reply([{"a": 1}]))
    sleeps = Sleeps()
    run(call_to(server), sleeps)
    assert sleeps == [pause]


def test_long_retry_after_is_told_not_waited_for(server: OpenAIServer, run: Run) -> None:
    """Nobody wants to sit before a silent terminal for an hour."""
    server.add(error_reply(429, "quota", {"Retry-After": "3600"}))
    with pytest.raises(RateLimited, match=r"429: quota\. Try again in 3600 s"):
        run(call_to(server), Sleeps())
    assert len(server.requests) == 1


def test_exhausted_quota_is_not_retried(server: OpenAIServer, run: Run) -> None:
    """Waiting does not refill an account."""
    server.add(error_reply(429, "You exceeded your quota", code="insufficient_quota"))
    with pytest.raises(RateLimited, match="exceeded your quota"):
        run(call_to(server), Sleeps())
    assert len(server.requests) == 1


@pytest.mark.parametrize(("told", "requests"), [("true", 2), ("false", 1)])
def test_server_may_decide_about_retries(
    server: OpenAIServer, run: Run, told: str, requests: int
) -> None:
    """`x-should-retry` overrules the status."""
    server.add(
        error_reply(400 if told == "true" else 500, "no", {"x-should-retry": told}),
        sse_reply([{"a": 1}]),
    )
    if told == "true":
        run(call_to(server), Sleeps())
    else:
        with pytest.raises(Overloaded):
            run(call_to(server), Sleeps())
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (error_reply(401, "Bad key sk-secret-key"), AuthError, r"Bad key \[\.\.\.\]\. Check the"),
        (error_reply(403, "no access"), AuthError, "llm keys set openai"),
        (error_reply(400, "bad 'x'"), ModelError, "answered 400: bad 'x'$"),
        (error_reply(404, "no such model"), ModelError, "no such model.*Check the address http"),
        (json_reply({"detail": "Not Found"}, 404), ModelError, "404: Not Found"),
        (json_reply({"detail": [{"msg": "x"}]}, 422), ModelError, "422: x$"),
        (json_reply({"error": "plain"}, 418), ModelError, "418: plain$"),
        (json_reply([{"error": {"message": "listed"}}], 400), ModelError, "400: listed$"),
        (json_reply({"error": {"code": "odd"}}, 400), ModelError, "400: odd$"),
        (json_reply({"a": 1}, 400), ModelError, "answered 400: {.a.: 1}$"),
        (Reply(400, pieces=[b"<html><h1>Bad\n Gateway</h1>"]), ModelError, "400: Bad Gateway"),
        (Reply(400, pieces=[b"x" * 5000]), ModelError, "x{50,600}…$"),
        (Reply(307, headers={"Location": "https://e/"}), ModelError, "redirects to https://e/"),
        (
            error_reply(400, "This model's maximum context length is 4097 tokens."),
            ContextTooLong,
            "does not fit into the context of m: This model's",
        ),
        (
            error_reply(400, "too big", type="exceed_context_size_error", n_ctx=512),
            ContextTooLong,
            "too big",
        ),
    ],
)
def test_refusal_is_one_readable_line(
    server: OpenAIServer, run: Run, reply: Reply, kind: type, message: str
) -> None:
    """Class and text of the error say what the server said and what to do; the key is not in it."""
    reply.headers["x-should-retry"] = "false"
    server.add(reply)
    with pytest.raises(kind, match=message) as caught:
        run(call_to(server), Sleeps())
    assert "sk-secret-key" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({"n_ctx": 512, "type": "exceed_context_size_error"}, 512), ({}, 4097)],
)
def test_context_error_knows_the_limit(
    server: OpenAIServer, run: Run, fields: JSONObject, limit: int
) -> None:
    """The size of the context is read from the reply."""
    server.add(error_reply(400, "maximum context length is 4097 tokens", **fields))
    with pytest.raises(ContextTooLong) as caught:
        run(call_to(server), Sleeps())
    assert caught.value.limit == limit


def test_reset_in_mid_answer_is_told(server: OpenAIServer, run: Run) -> None:
    """A connection that is reset costs nothing of what came before it."""
    delivered = threading.Event()
    reply = sse_reply([{"a": 1}], done=False, reset=True)
    reply.pieces.append(delivered)
    server.add(reply)

    class Seen(list[JSONObject]):
        def append(self, value: JSONObject) -> None:
            super().append(value)
            delivered.set()

    seen = Seen()
    with pytest.raises(ConnectionLost, match="broke off before the answer was complete"):
        run(call_to(server), Sleeps(), seen)
    assert seen == [{"a": 1}]
    assert len(server.requests) == 1


def test_chunked_body_cut_short_is_told(server: OpenAIServer, run: Run) -> None:
    """A body without its last chunk is a broken connection, not an end."""
    server.add(sse_reply([{"a": 1}], done=False, truncate=True))
    with pytest.raises(ConnectionLost, match="broke off"):
        run(call_to(server), Sleeps())


def test_connection_refused_is_retried_then_told(run: Run) -> None:
    """Nobody listens: two retries, then the address and the question whether it is right."""
    with OpenAIServer() as server:
        call = call_to(server)
    sleeps = Sleeps()
    with pytest.raises(ConnectionLost, match=r"Cannot reach 127\.0\.0\.1:\d+ .*its address\?"):
        run(call, sleeps)
    assert len(sleeps) == 2


@pytest.mark.parametrize("url", ["ftp://x/y", "http://x:port/", "not a url"])
def test_impossible_address_is_told_at_once(run: Run, url: str) -> None:
    """An address that can never work is not tried again."""
    sleeps = Sleeps()
    with pytest.raises(ConnectionLost, match="Cannot reach"):
        run(fast.Call(faults.Endpoint(url), {}, {}), sleeps)
    assert sleeps == []


@pytest.mark.parametrize("key", ["sk-secret-\nkey", "sk-secret-ключ"])
def test_key_that_cannot_be_sent_is_not_shown(server: OpenAIServer, run: Run, key: str) -> None:
    """A key with a line break or other letters gives an error that does not repeat it."""
    call = call_to(server)
    call.headers = {"authorization": f"Bearer {key}"}
    with pytest.raises(ConnectionLost, match="characters that cannot be sent") as caught:
        run(call, Sleeps())
    assert "sk-secret" not in str(caught.value)


def test_silence_times_out(server: OpenAIServer, run: Run) -> None:
    """A server that stops talking is given up after the time-out."""
    hold = threading.Event()
    reply = sse_reply([{"a": 1}])
    reply.pieces.insert(1, hold)
    server.add(reply)
    try:
        with pytest.raises(ConnectionLost, match="silent for too long"):
            run(call_to(server, policy=CallPolicy(timeout_s=0.1)), Sleeps())
    finally:
        hold.set()


def test_objects_arrive_while_the_stream_is_open(server: OpenAIServer) -> None:
    """The first object is there before the server has sent the second."""
    hold = threading.Event()
    reply = sse_reply([{"a": 1}, {"a": 2}])
    reply.pieces.insert(1, hold)
    server.add(reply)
    values = fast.exchange(call_to(server), Sleeps())
    assert next(values) == {"a": 1}
    hold.set()
    assert list(values) == [{"a": 2}, DONE]


def test_answer_given_up_early_closes_the_connection(server: OpenAIServer) -> None:
    """Whoever stops reading leaves nothing open, and the next call works."""
    server.add(sse_reply([{"a": n} for n in range(100)]), sse_reply([{"b": 1}]))
    values = fast.exchange(call_to(server), Sleeps())
    assert isinstance(values, Generator)
    next(values)
    values.close()
    assert run_sync(call_to(server), Sleeps()) == [{"b": 1}, DONE]


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"data: {nonsense\n\n", ModelError, "sent what is not JSON: {nonsense"),
        (b"<html>Welcome</html>", ModelError, "web page. Is the address right"),
        (b"data: " + b"[" * 100_000 + b"\n\n", ModelError, "not JSON"),
        (
            b'data: {"error": {"message": "broke", "code": 500}}\n\n',
            Overloaded,
            "reported error 500: broke",
        ),
        (
            b'data: {"error": {"message": "m", "code": "server_error"}}\n\n',
            Overloaded,
            "an error: m",
        ),
        (b'data: {"error": "plain"}\n\n', ModelError, "an error: plain"),
        (b'data: {"error": {"message": "x", "code": 7}}\n\n', ModelError, "an error: x"),
        (b'event: error\ndata: {"message": "named"}\n\n', ModelError, "an error: named"),
    ],
)
def test_trouble_inside_a_stream_is_told(
    server: OpenAIServer, run: Run, data: bytes, kind: type, message: str
) -> None:
    """What goes wrong after a good status is an error too."""
    server.add(Reply(pieces=[data], content_type="text/event-stream"))
    with pytest.raises(kind, match=message):
        run(call_to(server), Sleeps())


def test_connections_are_kept_between_calls(server: OpenAIServer) -> None:
    """Two calls share one client, and the connection where the server leaves it open."""
    server.add(json_reply({"a": 1}, keep_alive=True), json_reply({"a": 2}))
    run_client(call_to(server), Sleeps())
    kept = dict(fast._clients)
    run_client(call_to(server), Sleeps())
    assert fast._clients == kept


def test_plain_connections_are_kept_while_the_server_keeps_them(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection does for two calls; one that the server has closed is made anew, untold."""
    made: list[int] = []
    connect = http.client.HTTPConnection.connect

    def counted(connection: http.client.HTTPConnection) -> None:
        made.append(1)
        connect(connection)

    monkeypatch.setattr(http.client.HTTPConnection, "connect", counted)
    server.add(*[json_reply({"a": n}, keep_alive=True) for n in range(3)])
    sleeps = Sleeps()
    for number in range(2):
        assert run_sync(call_to(server), sleeps)[0] == {"a": number}
    assert len(made) == 1
    [[connection, _]] = next(iter(plain._kept.values()))
    connection.sock.shutdown(socket.SHUT_RDWR)
    assert run_sync(call_to(server), sleeps)[0] == {"a": 2}
    assert (len(made), sleeps) == (2, [])
    fast.close()
    assert plain._kept == {}


def test_both_transports_send_the_same(server: OpenAIServer) -> None:
    """A server cannot tell which one a request came by, but for what was left to a default."""
    requests = []
    for run in (run_sync, run_client):
        server.add(json_reply({"a": 1}))
        call = call_to(server)
        call.headers = {
            **call.headers,
            "accept": "a/b",
            "accept-encoding": "identity",
            "user-agent": "llm/1",
        }
        run(call, Sleeps())
        requests.append((server.last.path, [*server.last.headers.items()], server.last.body))
    assert requests[0] == requests[1]


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnonsense",
    ],
    ids=["nobody", "nothing", "short", "half a chunk", "no gzip"],
)
def test_both_transports_tell_the_same(reply: bytes | None) -> None:
    """Whoever gets the error cannot tell which one it came by."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    with client:
                        # A server that closes before it has read everything resets the connection.
                        request = b""
                        while not request.endswith(b"{}") and (data := client.recv(65536)):
                            request += data
                        client.sendall(reply or b"")

        thread = threading.Thread(target=answer)
        endpoint = faults.Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        if reply is None:
            listener.close()
        else:
            thread.start()
        told = []
        for run in (run_sync, run_client):
            with pytest.raises(ConnectionLost) as caught:
                run(fast.Call(endpoint, {}, {}, CallPolicy(retries=0)), Sleeps())
            told.append(str(caught.value))
        if reply is not None:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://x/y", "http://x:port/", "http://u:p@x/", "http://x/a b", "http://ä.de/"),
        *("http://x:99999/", "http://x/%ä", "http://x/#part", "http://x/'?a='"),
    ],
)
def test_unusual_address_is_left_to_the_client(url: str) -> None:
    """What would have to be quoted, or explained, is nothing for the plain transport."""
    assert plain.target_of(url) is None


def test_usual_address_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and port as they are told to the server; a proxy makes the client necessary."""
    target = plain.target_of("HTTP://[::1]:80/v1/x?api-version=1")
    assert target == ("http", "[::1]", 80, "/v1/x?api-version=1")
    assert target.host_header == "[::1]"
    other = plain.target_of("http://Example.com:8080")
    assert other is not None
    assert (other.host_header, other.path) == ("example.com:8080", "/")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    assert plain.target_of("http://example.com/") is None


def test_get_request_has_no_body(server: OpenAIServer, run: Run) -> None:
    """Without a body the request is a GET."""
    server.add(json_reply({"data": []}))
    endpoint = faults.Endpoint(f"{server.url}/models")
    assert run(fast.Call(endpoint, {}, None), Sleeps())[0] == {"data": []}
    assert (server.last.method, server.last.body) == ("GET", None)


def test_tls_is_prepared_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP needs no TLS context, unless a proxy is reached through TLS."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert network.needs_tls("https://api.openai.com/v1")
    assert not network.needs_tls("http://127.0.0.1:1/v1")
    monkeypatch.setenv("ALL_PROXY", "https://proxy:1")
    assert network.needs_tls("http://127.0.0.1:1/v1")


def test_exchange_is_shown_on_request(
    server: OpenAIServer,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`LLM_OPENAI_SHOW_RESPONSES` writes request and reply to stderr, without the key."""
    monkeypatch.setenv("LLM_OPENAI_SHOW_RESPONSES", "1")
    reply = sse_reply([{"said": "sk-secret-key"}])
    reply.headers = {"Set-Cookie": "session=abc", "X-Request-Id": "r1"}
    server.add(reply)
    run(call_to(server), Sleeps())
    err = capsys.readouterr().err
    assert f"Request: POST {server.url}/chat/completions" in err
    assert "authorization: [...]" in err.lower()
    assert '"stream": true' in err
    assert "Response: status_code=200" in err
    assert "session=..." in err
    assert "r1" in err
    assert "data: [DONE]" in err
    assert "sk-secret-key" not in err


def test_shown_body_that_is_not_json_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A body that is no JSON is shown as it is."""
    llm.HTTPLog().request("POST", "http://x", {}, b"not json")
    assert "    not json" in capsys.readouterr().err


def test_endpoint_hides_credentials_in_the_address() -> None:
    """User and password of a URL are not part of the host that errors name."""
    assert faults.Endpoint("http://u:p@h:1/v1").host == "h:1"
    assert faults.Endpoint("x").host == "x"


def test_retry_after_that_makes_no_sense_is_ignored() -> None:
    """Words, negative numbers and infinity are no pause."""
    for value in ("soon", "-5", "inf", ""):
        assert policy.retry_after_s({"retry-after": value}) in (None, 0.0)


def test_missing_listing_is_told_without_a_model(server: OpenAIServer, run: Run) -> None:
    """A list of models is not asked for any one of them."""
    server.add(error_reply(404, "nothing here"))
    call = fast.Call(faults.Endpoint(f"{server.url}/models", "m"), {}, None)
    with pytest.raises(ModelError, match=r"Check the address http://[^ ]*/models$"):
        run(call, Sleeps())


def test_key_advice_without_a_key_name(server: OpenAIServer, run: Run) -> None:
    """Where no key was sent, the error says how to name one."""
    server.add(error_reply(401, "missing"))
    call = call_to(server)
    call.endpoint.key_name = None
    with pytest.raises(AuthError, match=r"api_key_name in extra-openai-models\.yaml"):
        run(call, Sleeps())


def test_body_goes_out_as_compact_json(server: OpenAIServer) -> None:
    """The body is JSON that any server can read, lone surrogates included."""
    call = fast.Call(faults.Endpoint("http://x"), {}, {"a": "é\ud800", "b": 1})
    assert json.loads("".join(call.pieces()).encode()) == {"a": "é\ud800", "b": 1}
    assert b": " not in "".join(call.pieces()).encode()


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        ("This model's maximum context length is 128,000 tokens. Reduce it", 128_000),
        ("prompt is too long: 208310 tokens > 200000 maximum", 200_000),
        ("Input tokens exceed the configured limit of 272000 tokens", 272_000),
        ("Prompt has 9 tokens, too large for model with 8 maximum context length", 8),
        ("The input token count (9) exceeds the maximum number of tokens allowed (8)", 8),
        ("the request exceeds the available context size (4096 tokens)", 4096),
        ("Your input exceeds the context window of this model", None),
    ],
)
def test_context_limit_is_read_from_what_services_say(told: str, limit: int | None) -> None:
    """However a service words it, the error has the limit that it tells."""
    error = faults.refusal(faults.Endpoint("http://x", "m"), 400, {}, {"error": {"message": told}})
    assert isinstance(error, ContextTooLong)
    assert error.limit == limit
    assert told in str(error)


def test_context_limit_that_only_a_field_tells_is_named() -> None:
    """Where the text does not say the limit, the error adds it."""
    body = {"error": {"message": "exceeds the available context size", "n_ctx": 4096}}
    error = faults.refusal(faults.Endpoint("http://x", "m"), 400, {}, body)
    assert "the context of m, which is 4096 tokens:" in str(error)
