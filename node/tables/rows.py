"""A table's row as it stands in the store: the entry in msgpack behind its CRC-32, so that damage shows.

Not here: where rows are kept (store.py).
"""

from __future__ import annotations

import zlib

import msgspec

from mesh.log import Entry

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class DamagedError(Exception):
    """A row is not what was written."""


def pack(entry: Entry) -> bytes:
    """A row's bytes."""
    body = _encode(entry)
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack(row: bytes) -> Entry:
    """The entry of a row.

    Raises:
        DamagedError: If it is not what was written.
    """
    body = row[4:]
    if zlib.crc32(body).to_bytes(4, "big") != row[:4]:
        raise DamagedError("a row's checksum is wrong")
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise DamagedError(str(error)) from error
