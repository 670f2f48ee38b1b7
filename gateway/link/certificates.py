"""The certificate for clients, with its key, and whom it believes: from files that may change while it runs.

Not here: a connection's TLS (gateway/sockets/tls.py).
"""

from __future__ import annotations

import os
import ssl

CLIENTS = {"off": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class CertificateError(ValueError):
    """The files cannot be used; the message says which and why."""


def context_of(certificate: str, key: str, client_ca: str, clients: str) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with this certificate.

    Args:
        key: Empty: in the certificate's file.
        client_ca: Who signs clients' certificates; empty: nobody.
        clients: Whether they must have one: off, optional or required.

    Raises:
        CertificateError: If the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1  # one reconnect per ticket, and each connection brings a new one
    try:
        context.load_cert_chain(certificate, key or None)
    except (OSError, ValueError) as error:
        raise CertificateError(f"{certificate} with the key in {key or 'it'}: {_why(error)}") from None
    if clients != "off":
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise CertificateError(f"{client_ca}: {_why(error)}") from None
        context.verify_mode = CLIENTS[clients]
    return context


class Certificates:
    """The context for new connections."""

    def __init__(self, certificate: str, key: str, client_ca: str, clients: str) -> None:
        """Raises: CertificateError."""
        self._files = (certificate, key, client_ca, clients)
        self._seen = self._stamps()
        self.context = context_of(*self._files)

    def look(self) -> bool:
        """Read the files again if they have changed. Returns whether they had. An error in them is raised once.

        Raises:
            CertificateError: If they cannot be used: the former certificate stays.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        self.context = context_of(*self._files)
        return True

    def _stamps(self) -> list[tuple[int, int, int]]:
        stamps = []
        for name in self._files[:3]:
            try:
                found = os.stat(name)
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
            except OSError:
                stamps.append((0, 0, 0))
        return stamps


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    return (isinstance(error, OSError) and error.strerror) or str(error)
