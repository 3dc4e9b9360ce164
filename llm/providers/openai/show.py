"""Every HTTP exchange on stderr, when `LLM_OPENAI_SHOW_RESPONSES` asks for it; keys masked."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping

from ...secrets import MASK
from ...secrets import masked as without_keys
from ...text import visible

_SECRET_HEADER = re.compile(r"authorization|key|token|secret|password|credential", re.IGNORECASE)


def is_wanted() -> bool:
    """Whether the environment asks for the exchanges."""
    return bool(os.environ.get("LLM_OPENAI_SHOW_RESPONSES"))


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of the secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return without_keys(text)


def show_request(
    method: str, url: str, headers: Mapping[str, str], body: bytes, secrets: Iterable[str] = ()
) -> None:
    """Write a request as it goes out."""
    lines = [f"Request: {method} {url}", "  Headers:", *_header_lines(headers)]
    if body:
        lines += ["  Body:", _indented(body)]
    _write(masked("\n".join(lines), secrets) + "\n")


def show_response(status: int, headers: Mapping[str, str], secrets: Iterable[str] = ()) -> None:
    """Write the head of a reply; its chunks follow as they arrive."""
    lines = [f"Response: status_code={status}", "  Headers:", *_header_lines(headers), "  Body:"]
    _write(masked("\n".join(lines), secrets) + "\n")


def show_chunk(piece: bytes, secrets: Iterable[str] = ()) -> None:
    """Write a piece of a reply's body."""
    _write(masked(piece.decode("utf-8", "replace"), secrets))


def _header_lines(headers: Mapping[str, str]) -> list[str]:
    return [f"    {name}: {_header_value(name, value)}" for name, value in headers.items()]


def _header_value(name: str, value: str) -> str:
    if name.lower() in ("cookie", "set-cookie"):
        return value.partition("=")[0] + "=..."
    return "[...]" if _SECRET_HEADER.search(name) else value


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
