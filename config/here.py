"""Whether something is on this very machine."""

import ipaddress
import re
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this very machine. Args: host: without a port."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_here(host: str, public_url: str | None) -> bool:
    """Whether only this machine reaches a server. Args: host: where it listens."""
    return is_loopback(host) and (public_url is None or is_loopback(urlsplit(public_url).hostname or ""))


def asks_here(host: str) -> bool:
    """Whether a request's Host header means this machine: a page of somebody's own may not read the demo by giving
    its own name our address, and a proxy that passes its name on is not this machine."""
    return is_loopback(re.sub(r":\d+$", "", host))
