"""What the environment says about the network: proxies and certificate authorities.

`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` name proxies and exceptions. Servers are
trusted if an authority of the operating system vouches for them, or, where one of these variables
is set, an authority in the file or folder it names: `SSL_CERT_FILE`, `SSL_CERT_DIR`,
`REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .._lazy import for_hints
from ..errors import ConnectionLost
from ..text.secrets import remember_request

if TYPE_CHECKING:
    import ssl
else:
    for_hints(
        globals(),
        {
            "ssl": "",
        },
    )

C = TypeVar("C")

# The client looks for these by itself.
_KNOWN_TO_CLIENT = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def make_client(kind: Callable[..., C], **settings: Any) -> C:
    """A client, of a class of `httpx2` or one derived from it, that goes by the environment.

    Addresses that need no TLS need `verify=False` among the settings, its arguments.

    Raises:
        ConnectionLost: A variable names a proxy or certificates that cannot be used.
    """
    import httpx2

    try:
        with _certificates():
            return kind(**{"verify": _trust(), **settings})
    except ImportError as error:
        raise ConnectionLost(
            f"Cannot use the proxy that {_proxies()} names: SOCKS needs one more package."
            " Run: llm install socksio"
        ) from error
    except (ValueError, httpx2.InvalidURL) as error:
        raise ConnectionLost(
            f"Cannot use the proxy that {_proxies()} names: {error}. It has to begin with http://,"
            " https:// or socks5://"
        ) from error


@contextmanager
def _certificates() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Among them those of OpenSSL.
        name = next(_set(_KNOWN_TO_CLIENT + _BUNDLES), "the environment")
        where = f"{name} names ({os.environ.get(name, '')})"
        raise ConnectionLost(
            f"Cannot use the certificates that {where}: {error.strerror or error}. Correct or unset"
            f" {name}"
        ) from error


def tls_context() -> ssl.SSLContext | None:
    """As `make_client`, the TLS of a connection without a client; `None` where only that can tell
    whom to trust."""
    import ssl

    with _certificates():
        trust = _trust()
        if isinstance(trust, ssl.SSLContext):
            return trust
        if file := os.environ.get("SSL_CERT_FILE"):
            return ssl.create_default_context(cafile=file)
        if folder := os.environ.get("SSL_CERT_DIR"):
            return ssl.create_default_context(capath=folder)
    if sys.platform in ("darwin", "win32"):
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    if os.path.isfile(paths.openssl_cafile):
        return ssl.create_default_context(cafile=paths.openssl_cafile)
    if os.path.isdir(paths.openssl_capath) and os.listdir(paths.openssl_capath):
        return ssl.create_default_context(capath=paths.openssl_capath)
    return None


def has_proxy(url: str) -> bool:
    """Whether the machine may want `url` to be reached through a proxy."""
    if sys.platform in ("darwin", "win32"):
        from urllib.request import getproxies

        return bool(getproxies())
    return any(_set(_proxy_names(url.partition(":")[0])))


def _proxies() -> str:
    names = list(_set(_proxy_names("http") + _proxy_names("https")))
    for name in names:
        # What is told of it may quote the address.
        remember_request(os.environ[name], {})
    return " or ".join(names) or "the environment"


def _trust() -> ssl.SSLContext | bool:
    bundle = next(_set(_BUNDLES), None)
    if bundle is None or next(_set(_KNOWN_TO_CLIENT), None):
        return True
    import ssl

    path = os.environ[bundle]
    is_folder = os.path.isdir(path)
    return ssl.create_default_context(
        cafile=None if is_folder else path, capath=path if is_folder else None
    )


def proxy_variable(url: str) -> str | None:
    """The variable that names the proxy for `url`; `None` where it is asked for directly."""
    from urllib.parse import urlsplit
    from urllib.request import proxy_bypass

    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return next(_set(_proxy_names(parts.scheme)), None)


def needs_tls(url: str) -> bool:
    """Whether a TLS context is needed; making one costs 20 ms that `http://` can do without."""
    if not url.lower().startswith("http://"):
        return True
    return any(
        os.environ[name].lower().startswith("https://") for name in _set(_proxy_names("http"))
    )


def _proxy_names(scheme: str) -> tuple[str, ...]:
    scheme = scheme.lower()
    return (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")


def _set(names: tuple[str, ...]) -> Iterator[str]:
    """Those of the variables that say something."""
    return (name for name in dict.fromkeys(names) if os.environ.get(name))
