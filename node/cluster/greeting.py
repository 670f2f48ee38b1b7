"""Whether a node, or anything else of ZeroMQ's, answers by TCP at an address: the first bytes of its greeting tell.

It proves no identity, and nothing is sent but the same bytes (ZMTP, ZeroMQ RFC 23: signature and major version).

Not here: what follows from it (only_tcp.py).
"""

from __future__ import annotations

import gevent
from gevent import socket

from mesh.transport.addresses import split_address

WAIT_S = 1.5
SIGNATURE = b"\xff" + bytes(8) + b"\x7f"


def greets(address: str) -> bool:
    """Connect and read."""
    try:
        with gevent.Timeout(WAIT_S), socket.create_connection(split_address(address), WAIT_S) as made:
            made.sendall(SIGNATURE)
            got = b""
            while len(got) < len(SIGNATURE):
                data = made.recv(len(SIGNATURE) - len(got))
                if not data:
                    return False
                got += data
            return got[0] == SIGNATURE[0] and got[-1] == SIGNATURE[-1]
    except (OSError, ValueError, gevent.Timeout):
        return False
