"""Encryption of single datagrams between two processes, which CURVE does for ZeroMQ's connections.

    key     = BLAKE2b(X25519(secret of one, public of the other); boot of the sender, boot of the receiver)
    payload = counter (8 bytes) + ChaCha20-Poly1305 (RFC 8439) of the datagram

The CURVE keys of the nodes are X25519 keys (RFC 7748). With `node_keys` a datagram that opens proves its sender; with
the shared pair, a member of the cluster. A boot is of one process and random, so no key ever meets a counter twice.

Not here: that a datagram counts once (membership/seal.py), where keys come from (keys.py).
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from zmq.utils import z85

from mesh.transport.keys import Keys

OVERHEAD_BYTES = 24
_COUNTER_BYTES = 8
_NONCE_REST = bytes(4)
CIPHERS_MAX = 1_000


class Secrecy:
    """Of one process. Does no I/O."""

    def __init__(self, keys: Keys, boot: str) -> None:
        self._keys = keys
        self._boot = boot
        self._private = X25519PrivateKey.from_private_bytes(z85.decode(keys.secret))
        self._counter = 0
        self._ciphers: dict[tuple[str, bytes, str, str], ChaCha20Poly1305 | None] = {}

    def close(self, node: str, boot: str, datagram: bytes, public: bytes = b"") -> bytes | None:
        """A datagram so that only that process of a node can read it; None if no such node may take part.

        Args:
            public: The CURVE key that the process says it has, as 32 bytes; empty if it does not say.
        """
        cipher = self._cipher(node, public, self._boot, boot)
        if cipher is None:
            return None
        self._counter += 1
        counter = self._counter.to_bytes(_COUNTER_BYTES, "big")
        return counter + cipher.encrypt(counter + _NONCE_REST, datagram, None)

    def open(self, node: str, boot: str, payload: bytes, public: bytes = b"") -> bytes | None:
        """What that process of a node has sent to this one; None if it is nothing of the kind.

        Args:
            public: The CURVE key that the process says it has, as 32 bytes; empty if it does not say.
        """
        cipher = self._cipher(node, public, boot, self._boot)
        if cipher is None or len(payload) < OVERHEAD_BYTES:
            return None
        counter = payload[:_COUNTER_BYTES]
        try:
            return cipher.decrypt(counter + _NONCE_REST, payload[_COUNTER_BYTES:], None)
        except InvalidTag:
            return None

    def _cipher(self, node: str, public: bytes, sender_boot: str, receiver_boot: str) -> ChaCha20Poly1305 | None:
        of = (node, public, sender_boot, receiver_boot)
        if of not in self._ciphers:
            if len(self._ciphers) >= CIPHERS_MAX:
                self._ciphers.clear()
            self._ciphers[of] = self._made(*of)
        return self._ciphers[of]

    def _made(self, node: str, told: bytes, sender_boot: str, receiver_boot: str) -> ChaCha20Poly1305 | None:
        public = self._keys.server_key(node, told)
        if public is None:
            return None
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(z85.decode(public)))
        hasher = hashlib.blake2b(key=shared, digest_size=32, person=b"whimbrel dgram")
        for boot in (sender_boot, receiver_boot):
            hasher.update(len(boot).to_bytes(4, "big") + boot.encode())
        return ChaCha20Poly1305(hasher.digest())
