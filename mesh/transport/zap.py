"""Who may connect: the answer to each of libzmq's questions about a key (ZAP, ZeroMQ RFC 27).

libzmq asks at every handshake with a listening socket of ours, before it believes anything. The answer's user id, the
name of the node that the key belongs to, then stays with all that comes over the connection.

Not here: the socket on which libzmq asks (transport.py), the keys (keys.py).
"""

from __future__ import annotations

ADDRESS = "inproc://zeromq.zap.01"
"""Where libzmq asks, by its own definition."""
DOMAIN = b"whimbrel"
_VERSION = b"1.0"


class Gate:
    """Lets the owners of the accepted keys in."""

    def __init__(self, accepted: dict[bytes, str]) -> None:
        self._accepted = accepted
        """Node by public key of 32 bytes."""
        self.refused = 0

    def answer(self, request: list[bytes]) -> list[bytes]:
        """The frames that answer these frames."""
        assert len(request) >= 6, request  # libzmq of this process is asking
        version, request_id, domain, _address, _routing_id, mechanism, *credentials = request
        assert version == _VERSION, version
        node = None
        if domain == DOMAIN and mechanism == b"CURVE" and len(credentials) == 1:
            node = self._accepted.get(credentials[0])
        if node is None:
            self.refused += 1
            return [_VERSION, request_id, b"400", b"not one of us", b"", b""]
        return [_VERSION, request_id, b"200", b"OK", node.encode(), b""]
