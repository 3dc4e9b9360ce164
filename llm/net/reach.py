"""Addresses that somebody else named: whether they lead into the network of this machine.

What a template or a conversation from elsewhere names is fetched from this machine, so it reaches
what the machine alone can reach: itself, the printer, the metadata of a cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    import httpx2

#: Called with an address that leads into the network; raises unless it may be fetched.
Permit = Callable[[str], None]

# Names that only a network of one's own has, whoever resolves them.
_INNER_ENDINGS = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp")
_NAT64 = "64:ff9b::/96"

_permits: dict[str, Permit] = {}


def guard(url: str, permit: Permit) -> None:
    """Let `permit` decide, from here on, where fetching a URL leads into the network, at once or by
    a redirect: somebody else named it."""
    _permits[url] = permit


def permit_for(url: str) -> Permit | None:
    """What decides about a URL; `None` for one that the person named."""
    return _permits.get(url)


def is_inner(url: str) -> bool:
    """Whether an `http` or `https` address leads to this machine or into its network.

    Its name is looked up; where that fails, what the name looks like decides.
    """
    import httpx2

    try:
        host = httpx2.URL(url).raw_host.decode("ascii", "replace").rstrip(".").lower()
    except httpx2.InvalidURL:
        return False
    found = list(_addresses(host))
    if not found:
        return "." not in host or host.endswith(_INNER_ENDINGS)
    return any(map(_is_inner_address, found))


def leads_inside(reply: httpx2.Response) -> bool:
    """Whether a reply has come from this machine or its network: a name may be looked up twice."""
    stream = reply.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    return peer is not None and any(map(_is_inner_address, _addresses(str(peer[0]))))


def _addresses(host: str) -> Iterator[IPv4Address | IPv6Address]:
    import socket
    from ipaddress import ip_address

    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for *_, address in found:
        # A zone may follow an address of this link.
        yield ip_address(str(address[0]).partition("%")[0])


def _is_inner_address(address: IPv4Address | IPv6Address) -> bool:
    from ipaddress import IPv4Address, IPv6Network

    if not isinstance(address, IPv4Address):
        within = address.ipv4_mapped or address.sixtofour
        if within is None and address in IPv6Network(_NAT64):
            within = IPv4Address(int(address) & 0xFFFFFFFF)
        if within is not None:
            return _is_inner_address(within)
    return not address.is_global or address.is_multicast
