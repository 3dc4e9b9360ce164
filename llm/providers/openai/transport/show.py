"""Every HTTP exchange on stderr, when `LLM_OPENAI_SHOW_RESPONSES` asks for it; keys masked."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from ....text.secrets import MASK, masked, remember
from ....text.shaping import visible
from ..wire.shapes import DUMMY_KEY

_SECRET_HEADER = re.compile(r"authorization|key|token|secret|password|credential", re.IGNORECASE)


def is_wanted() -> bool:
    """Whether the environment asks for the exchanges."""
    return bool(os.environ.get("LLM_OPENAI_SHOW_RESPONSES"))


def remember_secrets(url: str, headers: Mapping[str, str]) -> None:
    """Let the keys in headers, and the password in an address, be masked wherever text leaves."""
    for name, value in headers.items():
        if _SECRET_HEADER.search(name):
            # The key stands alone, or behind a word such as Bearer.
            secret = value.rpartition(" ")[2]
            if secret != DUMMY_KEY:
                remember(secret)
    if "@" in url:
        from urllib.parse import unquote, urlsplit

        remember(unquote(urlsplit(url).password or ""))


def show_request(
    method: str, url: str, headers: Mapping[str, str], body: bytes, secrets: Iterable[str] = ()
) -> None:
    """Write a request as it goes out."""
    lines = [f"Request: {method} {url}", "  Headers:", *_header_lines(headers)]
    if body:
        lines += ["  Body:", _indented(body)]
    _write(masked("\n".join(lines), _known(secrets)) + "\n")


def show_response(status: int, headers: Mapping[str, str], secrets: Iterable[str] = ()) -> None:
    """Write the head of a reply; its chunks follow as they arrive."""
    lines = [f"Response: status_code={status}", "  Headers:", *_header_lines(headers), "  Body:"]
    _write(masked("\n".join(lines), _known(secrets)) + "\n")


@contextmanager
def showing(secrets: Iterable[str] = ()) -> Iterator[Callable[[bytes], None] | None]:
    """A function that writes the next piece of a reply's body; `None` where nobody asked for it."""
    if not is_wanted():
        yield None
        return
    from ....net.shown_body import ShownBody

    body = ShownBody(secrets)
    try:
        yield lambda piece: _write(body.feed(piece))
    finally:
        _write(body.end())


def _known(secrets: Iterable[str]) -> list[str]:
    return [secret for secret in secrets if secret]


def _header_lines(headers: Mapping[str, str]) -> list[str]:
    return [f"    {name}: {_header_value(name, value)}" for name, value in headers.items()]


def _header_value(name: str, value: str) -> str:
    if name.lower() in ("cookie", "set-cookie"):
        return value.partition("=")[0] + "=..."
    return MASK if _SECRET_HEADER.search(name) else value


def _indented(body: bytes) -> str:
    try:
        text = json.dumps(json.loads(body), indent=2)
    except ValueError:
        text = body.decode("utf-8", "replace")
    return "\n".join("    " + line for line in text.splitlines())


def _write(text: str) -> None:
    err = sys.stderr
    if err is not None:
        err.write(visible(text) if err.isatty() else text)
        err.flush()
