"""Proxies and certificate authorities, named by the environment as everywhere else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm.default_plugins.openai_models import AsyncChat, Chat
from llm.errors import ConnectionLost
from llm.policy import CallPolicy
from llm.providers.openai import lane

from .helpers.openai_server import OpenAIServer, text_stream

# A certificate for 127.0.0.1, its own authority, with its key: good for nothing but this.
CERTIFICATE = Path(__file__).parent / "data" / "loopback-tls.pem"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class SdkChat(Chat):
    """Takes the lane of the library, as a class with its own client does."""

    def get_client(self, key: Any, *, async_: bool = False) -> Any:
        """The usual client."""
        return super().get_client(key, async_=async_)


@pytest.fixture(autouse=True)
def fresh_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No connection and no setting of the machine's gets into a test."""
    lane.close()
    for name in (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield
    lane.close()


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def secure(server: OpenAIServer) -> str:
    """The address of the server, which speaks TLS with a certificate nobody has heard of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    return server.url.replace("http://", "https://")


def ask(kind: Any, address: str) -> str:
    """The answer of a model at the address, asked for once."""
    model = kind("m", api_base=address, key="sk-k")
    response = model.conversation(policy=CallPolicy(retries=0)).prompt("hi")
    if kind is AsyncChat:

        async def text() -> str:
            return await response.text()

        return asyncio.run(text())
    return str(response.text())


@pytest.mark.parametrize("kind", [Chat, AsyncChat, SdkChat])
def test_proxy_of_the_environment_is_used(
    server: OpenAIServer, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request goes to the proxy, which is told the whole address."""
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    server.add(text_stream("through the proxy"))
    assert ask(kind, "http://vendor.invalid/v1") == "through the proxy"
    assert server.last.path == "http://vendor.invalid/v1/chat/completions"


def test_proxy_is_left_out_where_the_environment_says_so(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NO_PROXY` names hosts that are asked directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.add(text_stream("direct"))
    assert ask(Chat, server.url) == "direct"
    assert server.last.path == "/v1/chat/completions"


@pytest.mark.parametrize("kind", [Chat, AsyncChat, SdkChat])
def test_unknown_certificate_is_refused(secure: str, server: OpenAIServer, kind: Any) -> None:
    """A server that cannot prove who it is gets neither prompt nor key."""
    with pytest.raises(ConnectionLost, match=r"(?i)certificate"):
        ask(kind, secure)
    assert server.requests == []


@pytest.mark.parametrize("kind", [Chat, AsyncChat, SdkChat])
def test_certificate_authority_of_the_environment_is_trusted(
    secure: str, server: OpenAIServer, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_FILE` names an authority of one's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    server.add(text_stream("trusted"))
    assert ask(kind, secure) == "trusted"
    assert server.last.headers["authorization"] == "Bearer sk-k"
