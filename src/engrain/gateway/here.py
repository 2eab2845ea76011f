"""What is this machine's own: while a home has no keys, only what comes by such a name is let in."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether this name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_here(host: str) -> bool:
    """Whether a Host header, as it was sent (name or address, maybe a port), names this machine.

    A web page that had its name rebound to this machine still sends that name; one that is no name at all is not this machine's either.
    """
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
