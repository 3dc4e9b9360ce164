"""The plain transport: one request over `http.client`, straight to the server.

It is there because a start takes a fifth less time without httpx2. What it does not serve, proxies
and unusual addresses among it, is left to httpx2, whose words for what goes wrong are used here.
"""

from __future__ import annotations

import re
import select
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
    RemoteDisconnected,
)
from typing import TYPE_CHECKING, NamedTuple

import llm

from .faults import SILENT, UNSENDABLE, TransportError

if TYPE_CHECKING:
    import ssl

PIECE_BYTES = 65536
SHOWN_CHARACTERS = 60
# Servers close what is idle, often without being noticed in between.
KEPT_S = 5.0

# Whatever else an address may hold has to be quoted, or is a mistake that httpx2 explains.
_USUAL = re.compile(
    r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
    r"(/[a-z0-9._~!$&'()*+,;=:@%/-]*)?(\?[a-z0-9._~!$&()*+,;=:@%/?-]*)?",
    re.IGNORECASE,
)
_PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """Where a request goes to."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """The host as the server is told, with the port where it is not the usual one."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"


# Connections that are idle, with the time since when; the one used last comes last.
_kept: dict[tuple[str, str, int], list[tuple[HTTPConnection, float]]] = {}
_contexts: list[ssl.SSLContext] = []


def target_of(url: str) -> Target | None:
    """Where `url` leads to; `None` where it takes httpx2 to get there."""
    found = _USUAL.fullmatch(url)
    if found is None or llm.has_proxy(url):
        return None
    scheme, host = found[1].lower(), found[2].lower()
    port = int(found[3] or _PORTS[scheme])
    if port > 65535 or (scheme == "https" and not (_contexts or _made_context())):
        return None
    return Target(scheme, host, port, (found[4] or "/") + (found[5] or ""))


def _made_context() -> bool:
    context = llm.tls_context()
    if context is not None:
        context.set_alpn_protocols(["http/1.1"])
        _contexts.append(context)
    return context is not None


def close() -> None:
    """Close the idle connections, and forget which authorities are trusted."""
    for connections in _kept.values():
        for connection, _ in connections:
            connection.close()
    _kept.clear()
    _contexts.clear()


def send(
    method: str,
    target: Target,
    headers: Mapping[str, str],
    pieces: Iterator[str],
    policy: llm.CallPolicy,
) -> Reply:
    """Send a request, with its headers in their order, and read the head of its reply.

    Raises:
        TransportError: The connection failed.
    """
    with _told(is_connected=False):
        connection = _connection(target, policy.connect_timeout_s)
    with _told():
        try:
            connection.sock.settimeout(policy.timeout_s)
            connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                # Python itself would send what is not ASCII as Latin-1.
                connection.putheader(name.encode("ascii"), value.encode("ascii"))
            # A server that refuses a long request may answer before it has read all of it.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(next(pieces, "").encode())
                for piece in pieces:
                    connection.send(piece.encode())
            llm.request_sent()
            return Reply(target, connection, connection.getresponse())
        except BaseException:
            connection.close()
            raise


def _connection(target: Target, wait_s: float) -> HTTPConnection:
    """One that was kept, or a new one."""
    scheme, host, port, _ = target
    kept = _kept.get((scheme, host, port), [])
    while kept:
        connection, since = kept.pop()
        if time.monotonic() - since < KEPT_S and not _is_readable(connection):
            break
        connection.close()
    else:
        if scheme == "https":
            connection = HTTPSConnection(host, port, timeout=wait_s, context=_contexts[0])
        else:
            connection = HTTPConnection(host, port, timeout=wait_s)
        connection.connect()
    return connection


def _is_readable(connection: HTTPConnection) -> bool:
    """Whether the server has said something while nothing was asked: that it is about to close."""
    if sys.platform == "win32":
        return bool(select.select([connection.sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


class Reply:
    """The reply of a server, whose body is read as it arrives."""

    def __init__(self, target: Target, connection: HTTPConnection, raw: HTTPResponse) -> None:
        self.status_code: int = raw.status
        self.headers: dict[str, str] = {}
        for name, value in raw.getheaders():
            known = self.headers.get(name.lower())
            self.headers[name.lower()] = value if known is None else f"{known}, {value}"
        self._target = target
        self._connection = connection
        self._raw = raw
        self._is_complete = False

    @property
    def is_success(self) -> bool:
        """Whether the request was done."""
        return 200 <= self.status_code < 300

    def iter_bytes(self) -> Iterator[bytes]:
        """The body in the pieces in which it arrives, unpacked.

        Raises:
            TransportError: The connection failed, or ended before the body was complete.
        """
        unpackers = _unpackers(self.headers.get("content-encoding", ""))
        raw, whole = self._raw, self._raw.length
        with _told():
            while piece := raw.read1(PIECE_BYTES):
                for unpack in unpackers:
                    piece = unpack(piece)
                if piece:
                    yield piece
        if raw.length:
            received = (whole or 0) - raw.length
            raise _incomplete(f"received {received} bytes, expected {whole}")
        self._is_complete = True

    def close(self) -> None:
        """Keep the connection for the next request where the server allows that; else close it."""
        will_close = self._raw.will_close
        self._raw.close()
        if self._is_complete and not will_close:
            kept = _kept.setdefault(self._target[:3], [])
            kept.append((self._connection, time.monotonic()))
        else:
            self._connection.close()


def _unpackers(encodings: str) -> list[Callable[[bytes], bytes]]:
    """What undoes the content encodings, which nobody has asked for; the last one comes first."""
    names = [name.strip().lower() for name in encodings.split(",")]
    return [
        # 32: the head says whether it is gzip or zlib.
        zlib.decompressobj(zlib.MAX_WBITS | 32).decompress
        for name in reversed(names)
        if name in ("gzip", "deflate")
    ]


@contextmanager
def _told(*, is_connected: bool = True) -> Iterator[None]:
    """Turn what goes wrong on the way into a `TransportError`, in the words of httpx2."""
    try:
        yield
    except TimeoutError as error:
        raise TransportError(SILENT, is_timeout=True, is_connected=is_connected) from error
    except IncompleteRead as error:
        raise _incomplete("incomplete chunked read") from error
    except RemoteDisconnected as error:
        text = "Server disconnected without sending a response."
        raise TransportError(text, is_connected=True) from error
    except BadStatusLine as error:
        text = f"it sent {str(error)[:SHOWN_CHARACTERS]!r}, which is not HTTP"
        raise TransportError(text, is_connected=True) from error
    except (OSError, HTTPException, zlib.error) as error:
        text = str(error) or type(error).__name__
        raise TransportError(text, is_connected=is_connected) from error
    except ValueError:
        # Its text repeats the header, which may hold the key.
        raise TransportError(UNSENDABLE, is_permanent=True) from None


def _incomplete(detail: str) -> TransportError:
    return TransportError(
        f"peer closed connection without sending complete message body ({detail})"
    )
