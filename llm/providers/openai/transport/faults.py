"""What went wrong at the far end, as one readable error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import llm
from llm.errors import (
    AuthError,
    ConnectionLost,
    ContextTooLong,
    ModelError,
    Overloaded,
    RateLimited,
)

from ..wire.shapes import Json
from ..wire.signs import tells_error

if TYPE_CHECKING:
    from ..wire.reasons import Told

_HOST = re.compile(r"[^/]*//(?:[^/@]*@)?([^/?#]+)")
_TEXT_LIMIT = 600
# So much of what a server tells is looked through; a context of more digits has nobody.
_SEARCHED = 10_000
_LONGEST_NUMBER = 19
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context (?:length|size|window) (?:is |was |of )?.{0,40}exceed"
    r"|exceeds? (?:the )?.{0,40}context|(?:prompt|input)(?: is)? too (?:long|large)"
    r"|tokens? .{0,20}exceeds? the .{0,20}(?:limit|number of tokens)",
    re.IGNORECASE,
)
_CONTEXT_LIMIT = re.compile(
    r"maximum context length (?:is|of) ([\d,]+)|([\d,]+) maximum"
    r"|context (?:length|size|window)\W{1,3}(?:is |of )?([\d,]+)"
    r"|limit of ([\d,]+)|tokens allowed \(([\d,]+)",
    re.IGNORECASE,
)


SILENT = "the server was silent for too long"
UNSENDABLE = "a header or the key contains characters that cannot be sent"


class TransportError(Exception):
    """A connection that failed, whichever transport it was made with; its text says why.

    Args:
        is_timeout: The server was silent for too long.
        is_permanent: It would fail the next time too.
        is_connected: The server, or a proxy, had been reached when it failed.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_timeout: bool = False,
        is_permanent: bool = False,
        is_connected: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_timeout = is_timeout
        self.is_permanent = is_permanent
        self.is_connected = is_connected

    @property
    def what_failed(self) -> str:
        """What is said of the server while the request is sent again."""
        if self.is_timeout:
            return "was silent for too long"
        return "closed the connection" if self.is_connected else "cannot be reached"


def trouble_of(error: BaseException) -> TransportError:
    """How the connection failed, in the same words for all transports."""
    if isinstance(error, TransportError):
        return error
    import httpx2

    is_connected = not isinstance(
        error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
    )
    if isinstance(error, httpx2.TimeoutException):
        return TransportError(SILENT, is_timeout=True, is_connected=is_connected)
    if isinstance(error, (httpx2.LocalProtocolError, UnicodeError)):
        # Its text repeats the header, which may hold the key.
        return TransportError(UNSENDABLE, is_permanent=True)
    is_permanent = isinstance(error, (httpx2.UnsupportedProtocol, httpx2.InvalidURL))
    return TransportError(
        str(error) or type(error).__name__,
        is_permanent=is_permanent,
        is_connected=is_connected and isinstance(error, httpx2.TransportError) and not is_permanent,
    )


class Endpoint:
    """Whom a request goes to, as far as an error message needs it.

    Args:
        url: The address of the request.
        model: The model's name at the server.
        key_name: The name of the key in keys.json, or `None` where no key is needed.
        secrets: Texts that must never be shown.
        key_advice: What to tell the user where the server refuses the key, if it is nothing usual.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        key_name: str | None = None,
        secrets: Iterable[str] = (),
        key_advice: str | None = None,
    ) -> None:
        self.url = url
        self.model = model
        self.key_name = key_name
        self.key_advice = key_advice
        self.secrets: tuple[str, ...] = tuple(secret for secret in secrets if len(secret) >= 6)

    @property
    def host(self) -> str:
        """The host, with its port where one is given."""
        found = _HOST.match(self.url)
        return found.group(1) if found else self.url

    def masked(self, text: str) -> str:
        """`text` without any secret."""
        return llm.mask_secrets(text, self.secrets)

    def safe(self, text: str) -> str:
        """`text` on one line, cut to a readable length, without any secret."""
        text = " ".join(self.masked(text).split())
        return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def refusal(
    endpoint: Endpoint,
    status: int,
    headers: Mapping[str, str],
    body: object,
    *,
    said: str = "",
) -> ModelError:
    """The error for a reply whose status is not a success.

    The names of its headers are lower-case; its body is bytes, or a JSON value that was parsed.
    `said` stands in place of the status where the server sent another one.
    """
    from ..wire.reasons import told_by

    found = told_by(body)
    error = _refusal(endpoint, status, headers, found, said)
    error.status_code = status
    codes = found.field("code", "type")
    error.code = next((code for code in codes if isinstance(code, str) and code), None)
    error.retry_after = llm.retry_after_s(headers)
    error.request_id = headers.get("x-request-id") or headers.get("request-id")
    error.headers = llm.masked_headers(headers, endpoint.secrets)
    error.body = _shown_body(endpoint, body)
    return error


def _shown_body(endpoint: Endpoint, body: object) -> object:
    """What a server sent, as JSON where it is, without any secret."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else json.dumps(body)
    text = endpoint.masked(text)
    try:
        value: object = json.loads(text)
        return value
    except (ValueError, RecursionError):
        return text


def _refusal(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], found: Told, said: str
) -> ModelError:
    told = endpoint.safe(found.text)
    if _is_context(status, found, told):
        return _context_error(endpoint, told, found)
    whence = f"{endpoint.host} {said or f'answered {status}'}"
    message = ": ".join(filter(None, (whence, told)))
    kind, advice = _advised(endpoint, status, headers)
    return kind(_sentences(message, advice))


def _advised(
    endpoint: Endpoint, status: int, headers: Mapping[str, str]
) -> tuple[type[ModelError], str]:
    """The kind of error that a status stands for, and what can be done about it."""
    if status in (401, 403):
        return AuthError, _key_advice(endpoint)
    if status == 429:
        pause = llm.retry_after_s(headers)
        return RateLimited, f"Try again in {pause:.0f} s" if pause else ""
    if status >= 500:
        return Overloaded, "The server failed, not the request: try again"
    advice = ""
    if status == 404:
        is_listing = endpoint.url.partition("?")[0].endswith("/models")
        model = f" and the model {endpoint.model}" if endpoint.model and not is_listing else ""
        advice = f"Check the address {endpoint.url}{model}"
    elif 300 <= status < 400:
        advice = _redirect_advice(endpoint, headers.get("location", ""))
    return ModelError, advice


def redirected(url: str, location: str) -> str:
    """Where a redirect from `url` leads to."""
    from urllib.parse import urljoin

    try:
        return urljoin(url, location)
    except ValueError:
        return location


def origin(url: str) -> tuple[str, str | None, int | None] | None:
    """Scheme, host and port of an address; `None` where it has none."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        return None


# What is added to the address of an API.
_PATHS = re.compile(r"/(chat/completions|completions|responses|embeddings|models)/?(?=$|\?)")


def _redirect_advice(endpoint: Endpoint, location: str) -> str:
    if not location:
        return "It redirects, but does not say where to: check api_base"
    target = redirected(endpoint.url, location)
    base = _PATHS.sub("", target)
    if base == target:
        return f"It redirects to {endpoint.safe(target)}, which is no API: check api_base"
    return f"It redirects to {endpoint.safe(target)}: use {endpoint.safe(base)} as api_base"


def _sentences(message: str, advice: str) -> str:
    return f"{message.rstrip('.')}. {advice}" if advice else message


def _key_advice(endpoint: Endpoint) -> str:
    if endpoint.key_advice:
        return endpoint.key_advice
    if endpoint.key_name:
        return f"Check the key: llm keys set {endpoint.key_name}"
    return (
        "No key was sent: name one with api_key_name in extra-openai-models.yaml"
        " and store it with llm keys set NAME"
    )


def _is_context(status: int, found: Told, told: str) -> bool:
    if status not in (400, 413, 422, 500):
        return False
    codes = (code for code in found.field("code", "type") if isinstance(code, str))
    return any(code in _CONTEXT_CODES for code in codes) or bool(
        _CONTEXT_WORDS.search(told[:_SEARCHED])
    )


def _context_error(endpoint: Endpoint, told: str, found: Told) -> ContextTooLong:
    limit = _context_limit(told, found)
    is_named = limit is None or str(limit) in told.replace(",", "")
    message = _sentences(
        f"The prompt does not fit into the context of {endpoint.model}"
        f"{'' if is_named else f', which is {limit} tokens'}: {told}",
        "Shorten it, or start a new conversation",
    )
    return ContextTooLong(message, limit)


def _context_limit(told: str, found: Told) -> int | None:
    for limit in found.field("n_ctx"):
        if isinstance(limit, int):
            return limit
    match = _CONTEXT_LIMIT.search(told[:_SEARCHED])
    digits = next(filter(None, match.groups()), "").replace(",", "") if match else ""
    return int(digits) if 0 < len(digits) < _LONGEST_NUMBER else None


def told_in_stream(endpoint: Endpoint, value: object) -> ModelError:
    """The error that a server reports inside an answer that began well."""
    from ..wire.reasons import told_by

    status, is_told = _status_in(told_by(value))
    said = f"reported error {status}" if is_told else "reported an error"
    return refusal(endpoint, status, {}, value, said=said)


_STATUSES = {"rate_limit_exceeded": 429, "server_error": 500}


def _status_in(found: Told) -> tuple[int, bool]:
    """The HTTP status that an error would have had, and whether the server names it."""
    for value in found.field("status", "status_code", "code", "statusCode", "type"):
        if isinstance(value, str) and value in _STATUSES:
            return _STATUSES[value], False
        number = int(value[:4]) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, int) and 400 <= number < 600:
            return number, True
    return 400, False


def checked(endpoint: Endpoint, value: Json) -> Json:
    """An object of an answer, unless it tells of an error.

    Raises:
        ModelError: It does.
    """
    if tells_error(value):
        raise told_in_stream(endpoint, value)
    return value


def lost(endpoint: Endpoint, trouble: TransportError, *, begun: bool) -> ConnectionLost:
    """The error for a connection that failed before an answer, or broke off once it had begun."""
    reason = endpoint.safe(str(trouble))
    if begun:
        text = f"The connection to {endpoint.host} broke off before the answer was complete"
        return ConnectionLost(f"{text}: {reason}" if reason else text)
    whom, advice = endpoint.host, f"Is {endpoint.url} its address?"
    if proxy := llm.proxy_variable(endpoint.url):
        whom = f"{whom} through the proxy that {proxy} names"
        advice = "NO_PROXY lists hosts that are reached without it"
    reason = reason or "no reason given"
    if not trouble.is_connected:
        advice = advice.replace("Is ", "Is the server running, and is ", 1)
        return ConnectionLost(f"Cannot reach {whom} ({reason}). {advice}")
    if trouble.is_timeout:
        advice = "--timeout says how long to wait, in seconds"
        return ConnectionLost(f"No answer from {whom} ({reason}). {advice}")
    return ConnectionLost(f"No answer from {whom}: it closed the connection ({reason}). {advice}")


def too_long(endpoint: Endpoint, what: str, limit: int) -> ModelError:
    """The error for something that a server sends and that has no end in sight."""
    megabytes = limit // 1_000_000
    return ModelError(f"{endpoint.host} sent {what} of more than {megabytes} MB: it is not read on")


def not_json(endpoint: Endpoint, data: bytes) -> ModelError:
    """The error for data that should have been JSON."""
    if not data.strip():
        return ModelError("The server's reply holds no answer: it is empty")
    shown = endpoint.safe(data[:200].decode("utf-8", "replace"))
    if shown.startswith("<"):
        return ModelError(f"{endpoint.url} answered with a web page. Is the address right?")
    return ModelError(f"{endpoint.host} sent what is not JSON: {shown}")
