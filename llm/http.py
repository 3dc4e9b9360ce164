"""Small HTTP errands outside the providers: fetching attachments, fragments and templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import VERSION
from .errors import ConnectionLost

if TYPE_CHECKING:
    import httpx2

USER_AGENT = f"llm/{VERSION}"
MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 30.0


def request(method: str, url: str) -> httpx2.Response:
    """The reply to one request, redirects followed up to three times.

    Raises:
        ConnectionLost: The address is no good, the server cannot be reached, answers with an
            error status, or takes longer than half a minute.
    """
    import httpx2

    try:
        with httpx2.Client(
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            timeout=TIMEOUT_SECONDS,
            headers={"user-agent": USER_AGENT},
        ) as client:
            reply: httpx2.Response = client.request(method, url).raise_for_status()
            return reply
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ConnectionLost(f"Could not fetch {url}: {error}") from error


def head_content_type(url: str) -> str | None:
    """The MIME type that the server gives for `url`, without parameters such as the charset."""
    header = request("HEAD", url).headers.get("content-type")
    return header.partition(";")[0].strip() or None if header else None


def fetch(url: str) -> bytes:
    """The bytes at `url`."""
    return request("GET", url).content


def logging_client() -> httpx2.Client:
    """A client that writes every request and reply to standard error, keys left out."""
    import httpx2

    from .http_log import LoggingTransport

    return httpx2.Client(transport=LoggingTransport())
