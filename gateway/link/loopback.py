"""Which hosts are this machine itself: what goes there needs no encryption, and nobody else hears it."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether this is a loopback address, or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
