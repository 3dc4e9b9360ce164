"""Proxies and certificate authorities, named by the environment as everywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llm.net.http
from llm.default_plugins.openai_models import AsyncChat, Chat
from llm.errors import ConnectionLost
from llm.net.network import make_client
from llm.net.policy import CallPolicy
from llm.providers.openai.transport import fast, plain

from .helpers.authority import Authority
from .helpers.openai_server import OpenAIServer, Reply, text_stream

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class SdkChat(Chat):
    """Takes the library's transport, as a class with its own client does."""

    def get_client(self, key: Any, *, async_: bool = False) -> Any:
        """The usual client."""
        return super().get_client(key, async_=async_)


class ClientChat(Chat):
    """Takes the client where the plain transport would do; see `ask`."""


KINDS = [Chat, ClientChat, AsyncChat, SdkChat]


@pytest.fixture(autouse=True)
def fresh_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No connection and no setting of the machine's gets into a test."""
    fast.close()
    for name in (*PROXIES, *CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield
    fast.close()


@pytest.fixture(scope="module")
def authority() -> Authority:
    """An authority that nobody has heard of."""
    return Authority()


@pytest.fixture
def server(authority: Authority) -> Iterator[OpenAIServer]:
    """A loopback server, also a proxy."""
    with OpenAIServer(authority) as running:
        yield running


def ask(kind: Any, address: str, policy: CallPolicy | None = None) -> str:
    """The answer of a model at the address, asked for once."""
    model = kind("m", api_base=address, key="sk-k")
    response = model.conversation(policy=policy or CallPolicy(retries=0)).prompt("hi")
    if kind is AsyncChat:

        async def text() -> str:
            return str(await response.text())

        return asyncio.run(text())
    with pytest.MonkeyPatch.context() as patch:
        if kind is ClientChat:
            patch.setattr(plain, "target_of", lambda url: None)
        return str(response.text())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_of_the_environment_is_used(
    server: OpenAIServer, kind: Any, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request goes to the proxy, which is told the whole address."""
    monkeypatch.setenv(variable, server.proxy_url)
    server.add(text_stream("through the proxy"))
    assert ask(kind, "http://vendor.invalid/v1") == "through the proxy"
    assert server.last.path == "http://vendor.invalid/v1/chat/completions"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_proxy_is_asked_for_a_tunnel_to_a_secure_server(
    server: OpenAIServer,
    authority: Authority,
    tmp_path: Path,
    kind: Any,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It learns the name of the server and nothing else; the server proves who it is."""
    monkeypatch.setenv(variable, server.proxy_url)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "own.pem")))
    server.add(text_stream("through the tunnel"))
    assert ask(kind, "https://vendor.invalid/v1") == "through the tunnel"
    assert server.tunnels == ["vendor.invalid:443"]
    assert server.last.path == "/v1/chat/completions"
    assert server.last.headers["host"] == "vendor.invalid"


@pytest.mark.parametrize("kind", KINDS)
def test_socks_proxy_is_used(
    server: OpenAIServer, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`socks5://` works where the package for it is installed."""
    with socks_proxy(server) as (address, asked):
        monkeypatch.setenv("ALL_PROXY", address)
        server.add(text_stream("through the socks"))
        assert ask(kind, "http://vendor.invalid/v1") == "through the socks"
    assert asked == ["vendor.invalid"]
    assert server.last.path == "/v1/chat/completions"


def test_missing_package_for_a_socks_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""

    def client(**settings: Any) -> None:
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ConnectionLost, match=r"ALL_PROXY names: .* Run: llm install socksio"):
        make_client(client)


@contextlib.contextmanager
def socks_proxy(server: OpenAIServer) -> Iterator[tuple[str, list[str]]]:
    """A SOCKS 5 proxy that leads everybody to `server`; the hosts that it was asked for."""
    asked: list[str] = []
    port = int(server.proxy_url.rpartition(":")[2])

    def serve(client: socket.socket) -> None:
        client.recv(64)
        client.sendall(b"\x05\x00")
        request = client.recv(512)
        asked.append(request[5 : 5 + request[4]].decode())
        with client, socket.create_connection(("127.0.0.1", port)) as far:
            client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            back = threading.Thread(target=pump, args=(client, far))
            back.start()
            pump(far, client)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    serve(listener.accept()[0])

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"socks5://127.0.0.1:{listener.getsockname()[1]}", asked
        fast.close()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Hand on what comes."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "localhost,127.0.0.1"])
def test_proxy_is_left_out_where_the_environment_says_so(
    server: OpenAIServer, exception: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NO_PROXY` names hosts that are asked directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", exception)
    server.add(text_stream("direct"))
    assert ask(Chat, server.url) == "direct"
    assert server.last.path == "/v1/chat/completions"


@pytest.mark.parametrize("kind", KINDS)
def test_proxy_that_is_not_there_is_named(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that there is a proxy, which variable names it, and what to do."""
    monkeypatch.setenv("https_proxy", "http://user:pass-word@127.0.0.1:1")
    told = r"Cannot reach vendor.invalid through the proxy that https_proxy names .* NO_PROXY"
    with pytest.raises(ConnectionLost, match=told) as caught:
        ask(kind, "https://vendor.invalid/v1")
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_proxy_that_is_none_is_told(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One readable error for an address that makes no sense."""
    monkeypatch.setenv("HTTP_PROXY", "ftp://127.0.0.1:1")
    with pytest.raises(ConnectionLost, match=r"Cannot use the proxy that HTTP_PROXY names: .*ftp"):
        ask(kind, "http://vendor.invalid/v1")


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_certificate_is_refused(server: OpenAIServer, kind: Any) -> None:
    """A server that cannot prove who it is gets neither prompt nor key."""
    with pytest.raises(ConnectionLost, match=r"(?i)certificate"):
        ask(kind, server.speak_tls())
    assert server.requests == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variable", CERTIFICATES)
def test_certificate_authority_of_the_environment_is_trusted(
    server: OpenAIServer,
    authority: Authority,
    tmp_path: Path,
    kind: Any,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of the usual variables names a file, or a folder, with authorities of one's own."""
    if variable == "SSL_CERT_DIR":
        path = authority.write_folder(tmp_path / "authorities")
    else:
        path = authority.write(tmp_path / "own.pem")
    monkeypatch.setenv(variable, str(path))
    server.add(text_stream("trusted"))
    assert ask(kind, server.speak_tls()) == "trusted"
    assert server.last.headers["authorization"] == "Bearer sk-k"


def test_folder_of_authorities_may_be_named_by_any_variable(
    server: OpenAIServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the programs that these variables come from."""
    folder = authority.write_folder(tmp_path / "authorities")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))
    server.add(text_stream("trusted"))
    assert ask(Chat, server.speak_tls()) == "trusted"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("kind", KINDS)
def test_certificates_that_are_not_there_are_named(
    kind: Any, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error tells the variable and the path."""
    monkeypatch.setenv(variable, "/nowhere/own.pem")
    told = rf"{variable} names \(/nowhere/own.pem\): No such file or directory. Correct or unset"
    with pytest.raises(ConnectionLost, match=told):
        ask(kind, "https://127.0.0.1:1/v1")


@pytest.mark.parametrize("kind", KINDS)
def test_trust_store_of_the_operating_system_is_used(
    server: OpenAIServer,
    authority: Authority,
    tmp_path: Path,
    kind: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a variable, what the administrator of the machine trusts is trusted."""
    import ssl

    installed = str(authority.write(tmp_path / "ca-certificates.crt"))
    usual = ssl.get_default_verify_paths()
    there = usual._replace(cafile=installed, openssl_cafile=installed)
    # Releases of the client ask Python for the place, or let it load what is there.
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: there)
    monkeypatch.setattr(
        ssl.SSLContext,
        "set_default_verify_paths",
        lambda context: context.load_verify_locations(installed),
    )
    server.add(text_stream("trusted"))
    assert ask(kind, server.speak_tls()) == "trusted"


def test_fragments_go_through_the_same_network(
    server: OpenAIServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fetched beside the models goes by the same variables."""
    monkeypatch.setenv("HTTPS_PROXY", server.proxy_url)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(authority.write(tmp_path / "own.pem")))
    server.add(Reply(pieces=[b"a novel"], content_type="text/plain"))
    assert llm.net.http.fetch_text("https://books.invalid/novel.txt") == "a novel"
    assert server.tunnels == ["books.invalid:443"]


def test_command_ends_with_one_line(user_path: Path) -> None:
    """No traceback and no riddle for a variable that is wrong."""
    (user_path / "extra-openai-models.yaml").write_text(
        "- {model_id: far, api_base: https://127.0.0.1:1/v1}\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "llm", "-m", "far", "hi"],
        env={**os.environ, "SSL_CERT_FILE": "/nowhere.pem"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Cannot use the certificates that SSL_CERT_FILE names")
    assert result.stderr.count("\n") == 1


# Servers that hang up


@contextlib.contextmanager
def hanging_up(how: str) -> Iterator[str]:
    """A server that takes every connection and then gives no answer; yields its address."""
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if how == "silent":
                held.append(connection)
                continue
            if how != "at once":
                connection.recv(65536)
            if how == "reset":
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif how == "other words":
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["at once", "after the request", "reset", "other words"])
def test_server_that_hangs_up_was_reached(kind: Any, how: str) -> None:
    """It is not said that it cannot be reached: it took the connection."""
    with hanging_up(how) as address, pytest.raises(ConnectionLost) as caught:
        ask(kind, address)
    host = address.removeprefix("http://").removesuffix("/v1")
    told = str(caught.value)
    assert told.startswith(f"No answer from {host}: it closed the connection (")
    assert told.endswith(f"Is {address}/chat/completions its address?")


@pytest.mark.parametrize("kind", KINDS)
def test_server_that_says_nothing_was_reached(kind: Any) -> None:
    """Its silence is what is told, with the option that says how long it may take."""
    policy = CallPolicy(retries=0, timeout_s=0.2)
    with hanging_up("silent") as address, pytest.raises(ConnectionLost) as caught:
        ask(kind, address, policy)
    told = r"No answer from 127\.0\.0\.1:\d+ \(the server was silent for too long\)\. --timeout"
    assert re.match(told, str(caught.value))


@pytest.mark.parametrize("kind", KINDS)
def test_proxy_that_hangs_up_is_named(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks for the fault learns that there is a proxy on the way."""
    with hanging_up("after the request") as address:
        monkeypatch.setenv("http_proxy", address.removesuffix("/v1"))
        told = r"No answer from vendor.invalid through the proxy that http_proxy names: it closed"
        with pytest.raises(ConnectionLost, match=told):
            ask(kind, "http://vendor.invalid/v1")


def test_retry_says_how_the_attempt_failed() -> None:
    """The note between two attempts tells a server that hangs up from one that is not there."""
    told: list[str] = []
    policy = CallPolicy(retries=1, tell=told.append)
    with hanging_up("after the request") as address, pytest.raises(ConnectionLost):
        ask(Chat, address, policy)
    with pytest.raises(ConnectionLost):
        ask(Chat, address, policy)
    assert [line.split(" ", 1)[1].partition(", ")[0] for line in told] == [
        "closed the connection",
        "cannot be reached",
    ]
