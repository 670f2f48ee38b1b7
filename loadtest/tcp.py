"""How much a server has sent, from the kernel: the bytes that its TCP connections have had acknowledged.

Asks sock_diag(7) over netlink; needs no rights and no program, and costs the server nothing.

Not here: whose connections they are.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from loadtest.process import Failed

_SOCK_DIAG, _BY_FAMILY, _DUMP, _DONE, _ERROR = 4, 20, 0x301, 3, 2
_INFO = 2
"""INET_DIAG_INFO: the attribute with struct tcp_info, and as a bit (from 0) what to ask for."""
_ESTABLISHED = 1 << 1
_HEAD = struct.Struct("=IHHII")
_ASK = struct.Struct("=BBBxI48x")
_ATTRIBUTE = struct.Struct("=HH")
_MESSAGE_BYTES = 72
_ACKED_AT = 120
"""Where `tcpi_bytes_acked` stands in struct tcp_info."""


def sent_bytes(port: int) -> dict[tuple[bytes, int], int]:
    """Bytes sent over each open connection of the server at this port; by address and port of the other end.

    Raises:
        Failed: The kernel does not say.
    """
    found = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for here, other, sent in _connections(family):
            if here == port:
                found[other] = sent
    return found


def _connections(family: int) -> Iterator[tuple[int, tuple[bytes, int], int]]:
    ask = _ASK.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), _ESTABLISHED)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as link:
            link.send(_HEAD.pack(_HEAD.size + len(ask), _BY_FAMILY, _DUMP, 1, 0) + ask)
            while True:
                data = link.recv(1 << 16)
                while data:
                    length, kind, *_ = _HEAD.unpack_from(data)
                    if kind == _DONE:
                        return
                    if kind == _ERROR:
                        code = -struct.unpack_from("=i", data, _HEAD.size)[0]
                        raise OSError(code, os.strerror(code))
                    yield _connection(data[_HEAD.size : length])
                    data = data[(length + 3) & ~3 :]
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        raise Failed(f"the kernel does not tell what was sent over TCP: {name} {error}") from error


def _connection(message: bytes) -> tuple[int, tuple[bytes, int], int]:
    here, there = struct.unpack_from(">HH", message, 4)
    other = message[24:40]
    at = _MESSAGE_BYTES
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _INFO:
            return here, (other, there), struct.unpack_from("=Q", message, at + _ATTRIBUTE.size + _ACKED_AT)[0]
        at += (length + 3) & ~3
    return here, (other, there), 0
