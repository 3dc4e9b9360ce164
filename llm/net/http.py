"""Small HTTP errands outside the providers: fetching attachments, fragments and templates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from .._lazy import for_hints
from .._version import VERSION
from ..errors import ConnectionLost, InvalidInput
from ..text.media import HEAD_BYTES, is_binary, served_type, type_of, type_of_bytes
from ..text.secrets import remember_request
from .network import make_client, proxy_variable
from .reach import is_inner, leads_inside, permit_for

if TYPE_CHECKING:
    import httpx2
else:
    for_hints(
        globals(),
        {
            "httpx2": "",
        },
    )

# The address is that of 0.36: sites that know the program by it go on knowing it.
USER_AGENT = f"llm/{VERSION} (https://llm.datasette.io/)"
MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 30.0
TOTAL_SECONDS = 600.0
MAX_BYTES = 100_000_000


class Reply(NamedTuple):
    """What a server answered: headers with lower-case names, the body, and its text encoding."""

    headers: Mapping[str, str]
    content: bytes
    charset: str | None


def request(method: str, url: str, *, first_bytes: int | None = None) -> Reply:
    """The reply to one request, redirects followed up to three times.

    Keys in the address, and in those that it leads to, are masked wherever they are told from here
    on. With `first_bytes` no more of the body than about so many is waited for.

    Where an address that somebody else named leads into the network, `reach.guard` has said who
    decides about it.

    Raises:
        ConnectionLost: The address is no good, or the server cannot be reached, answers with an
            error, sends more than `MAX_BYTES`, or lets wait half a minute, or ten in all.
    """
    import httpx2

    remember_request(url, {})
    permit = permit_for(url)
    reached: list[str] = []

    def look(request: httpx2.Request) -> None:
        address = str(request.url)
        remember_request(address, {})
        if permit is not None and is_inner(address):
            permit(address)
            reached.append(address)

    try:
        client = make_client(
            httpx2.Client,
            headers={"user-agent": USER_AGENT},
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            timeout=TIMEOUT_SECONDS,
            event_hooks={"request": [look]},
        )
        with client, client.stream(method, url) as reply:
            last = str(reply.url)
            if permit and last not in reached and not proxy_variable(last) and leads_inside(reply):
                permit(last)
            reply.raise_for_status()
            content = _read_limited(reply, url, first_bytes)
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return Reply(headers, content, reply.charset_encoding)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ConnectionLost(f"Could not fetch {url}: {error}") from error


def _read_limited(reply: httpx2.Response, url: str, first_bytes: int | None = None) -> bytes:
    """The body, given up as soon as it is too large or takes too long."""
    pieces: list[bytes] = []
    size_bytes = 0
    deadline = time.monotonic() + TOTAL_SECONDS
    for piece in reply.iter_bytes():
        size_bytes += len(piece)
        if size_bytes > MAX_BYTES:
            raise ConnectionLost(
                f"Could not fetch {url}: it is larger than {MAX_BYTES / 1e6:.0f} MB"
            )
        if time.monotonic() > deadline:
            reason = f"it was not complete after {TOTAL_SECONDS:.0f} seconds"
            raise ConnectionLost(f"Could not fetch {url}: {reason}")
        pieces.append(piece)
        if first_bytes is not None and size_bytes >= first_bytes:
            break
    return b"".join(pieces)[:first_bytes]


def type_at(url: str) -> str | None:
    """The MIME type of what is at `url`: by its first bytes, else by the server, else by its name.

    Many servers do not answer when they are asked for the type alone, or do not know it.
    """
    reply = request("GET", url, first_bytes=HEAD_BYTES)
    served = served_type(reply.headers.get("content-type", ""))
    return type_of(reply.content, name=urlsplit(url).path, served=served)


def fetch(url: str) -> bytes:
    """The bytes at `url`."""
    return request("GET", url).content


def fetch_text(url: str) -> str:
    """The text at `url`, in the encoding that the server names, else UTF-8.

    Raises:
        InvalidInput: It is a picture, sound, or a document, and no text.
    """
    reply = request("GET", url)
    from shlex import quote

    if is_binary(reply.content):
        kind = type_of_bytes(reply.content) or "something else"
        raise InvalidInput(f"'{url}' is not text but {kind}. Attach it: -a {quote(url)}")
    try:
        text = reply.content.decode(reply.charset or "utf-8", "replace")
    except LookupError:
        text = reply.content.decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def logging_client() -> httpx2.Client:
    """A client that writes every request and reply to standard error, keys left out."""
    import httpx2

    from .http_log import HTTPLog

    # With a transport of its own the client asks no proxy.
    return httpx2.Client(transport=httpx2.HTTPTransport(), event_hooks=HTTPLog().hooks())
