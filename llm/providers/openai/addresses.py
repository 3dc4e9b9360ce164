"""Where requests go: addresses as people write them."""

from __future__ import annotations

import os
from collections.abc import Mapping

DEFAULT_BASE = "https://api.openai.com/v1"
# What people copy with an address.
_ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/embeddings")


def base_url(api_base: str | None = None) -> tuple[str, str]:
    """Where requests go, and the query that goes with each: without an address of their own to
    what the environment says, else OpenAI. The address of one endpoint stands for its API."""
    address = (api_base or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE).strip()
    base, _, query = address.partition("#")[0].partition("?")
    base = base.rstrip("/")
    for endpoint in _ENDPOINTS:
        if base.endswith(endpoint):
            return base.removesuffix(endpoint).rstrip("/"), query
    return base, query


def address_of(path: str, api_base: str | None = None) -> str:
    """The address of an endpoint of the API that `api_base` leads to."""
    base, query = base_url(api_base)
    return f"{base}/{path}?{query}" if query else f"{base}/{path}"


def with_query(url: str, query: Mapping[str, str]) -> str:
    """An address with more parameters."""
    from urllib.parse import urlencode

    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
