"""Which addresses outbound events may go to: public ones, and those that LEADLINE_OUTBOUND_ALLOW names."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOKUP_SECONDS = 3
NAT64 = IPv6Network("64:ff9b::/96")
COMPATIBLE = IPv6Network("::/96")

ENTRY = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")

NEVER: tuple[Network, ...] = (
    IPv4Network("168.63.129.16/32"),  # a cloud's metadata, at an address that looks public
    IPv4Network("192.0.0.0/24"),
    IPv6Network("64:ff9b:1::/48"),
)
"""Addresses that count as public in the registries and are not."""


class NotAllowed(OSError):
    """The address is private, and nobody has allowed it."""


class Place(NamedTuple):
    """A host of which one port is allowed."""

    host: str
    port: int


class Allowed(NamedTuple):
    """Attributes: hosts: names, any port."""

    hosts: frozenset[str] = frozenset()
    places: frozenset[Place] = frozenset()
    networks: tuple[Network, ...] = ()

    def permits(self, host: str, port: int, ip: Ip) -> bool:
        """Whether an event may go to `ip`, which is what `host` is right now."""
        host = plain(host)
        return (
            is_public(ip)
            or host in self.hosts
            or Place(host, port) in self.places
            or Place(str(ip), port) in self.places
            or any(ip in network for network in self.networks)
        )


def allowed(text: str) -> Allowed:
    """Read a comma list of hosts, host:port and networks. Raises: ValueError: an entry is none of them."""
    hosts, places, networks = set(), set(), []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        with contextlib.suppress(ValueError):
            networks.append(ip_network(entry, strict=False))
            continue
        try:
            url = URL(f"http://{entry}") if ENTRY.fullmatch(entry) else URL()
        except ValueError:
            url = URL()
        if not url.raw_host:
            raise ValueError(f"{entry!r} is no host, host:port or network such as 10.0.0.0/8")
        if url.explicit_port is None:
            hosts.add(plain(url.raw_host))
        else:
            places.add(Place(plain(url.raw_host), url.explicit_port))
    return Allowed(frozenset(hosts), frozenset(places), tuple(networks))


def plain(host: str) -> str:
    """A host as it is compared: lower case, no dot at its end; an IP in its shortest form."""
    host = host.rstrip(".").lower().strip("[]")
    with contextlib.suppress(ValueError):
        return str(ip_address(host))
    return host


def is_public(ip: Ip) -> bool:
    """Whether the whole internet reaches this address; an IPv4 inside of an IPv6 counts as itself."""
    inner = _inside(ip) if isinstance(ip, IPv6Address) else None
    if inner is not None:
        return is_public(inner)
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NEVER)


def _inside(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64 or (ip in COMPATIBLE and int(ip) > 1):
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def parse(text: str) -> URL:
    """Return an address that can be posted to. Raises: ValueError, which says what is wrong with it."""
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError as error:
        raise ValueError("wants an address such as https://n8n.example.com/webhook/leads") from error
    if url.scheme not in {"http", "https"} or not host or " " in host or not port or not text.isprintable():
        raise ValueError("wants an address such as https://n8n.example.com/webhook/leads")
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("must not contain a user or a password: whoever lists the addresses would read them")
    return url.with_fragment(None)


def literal(host: str) -> Ip | None:
    """Return the IP that a host is written as, None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


class Guard(AbstractResolver):
    """Resolves names for connections, and lets only through what is allowed: a name may mean another address by now.

    Attributes: allow: what is allowed beyond public addresses.
    """

    def __init__(self, allow: Allowed, inner: AbstractResolver | None = None):
        self.allow, self._inner = allow, inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises: OSError: the name is not found. NotAllowed."""
        if self._inner is None:
            self._inner = aiohttp.DefaultResolver()
        found = await self._inner.resolve(host, port, family)
        fine = [one for one in found if self.allow.permits(host, port, _ip(one))]
        if not fine:
            raise NotAllowed(_refusal(host))
        return fine

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()

    def check_literal(self, url: URL) -> None:
        """Check an address that is written as an IP, which nobody resolves. Raises: NotAllowed."""
        host, port = url.raw_host or "", url.port or 0
        ip = literal(host)
        if ip is not None and not self.allow.permits(host, port, ip):
            raise NotAllowed(_refusal(host))

    async def check(self, url: URL) -> None:
        """Check what an address means now; a name that cannot be found now may be found later.

        Raises: NotAllowed: any of the IPs that it means is not allowed.
        """
        self.check_literal(url)
        host, port = url.raw_host or "", url.port or 0
        for ip in [] if literal(host) else await self._lookup(host, port):
            if not self.allow.permits(host, port, ip):
                raise NotAllowed(_refusal(host))

    async def _lookup(self, host: str, port: int) -> Sequence[Ip]:
        if self._inner is None:
            self._inner = aiohttp.DefaultResolver()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return [_ip(one) for one in await self._inner.resolve(host, port, socket.AF_UNSPEC)]
        except (OSError, TimeoutError, UnicodeError):
            return []


def _ip(found: ResolveResult) -> Ip:
    return ip_address(found["host"].partition("%")[0])


def _refusal(host: str) -> str:
    return f"{host} is a private address: LEADLINE_OUTBOUND_ALLOW has to name it"
