"""Where things belong, worked out alike by every node without a word between them.

`rank` is rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; also
"highest random weight"): every name is given a weight by hashing it together with the key, and the heaviest is
first. When a name goes, only the keys that it was first for move, each to the name that was second for it; when one
comes, it takes its share and nothing else moves.

`slot_of` puts a subject into one of a fixed number of slots. It is CRC-32, which any other program can compute too:
the slots of a cluster outlive any version of this file.

Rules: both depend on their arguments alone: not on the order of the names, the process, or the machine.

Not here: who is alive (mesh/membership/membership.py), and what a node does with its place (mesh/feed/feed.py,
mesh/slots/election.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from zlib import crc32


def rank(key: str, names: Iterable[str]) -> list[str]:
    """The names, best first, each once."""
    return sorted(dict.fromkeys(names), key=lambda name: (_weight(key, name), name), reverse=True)


def slot_of(subject: str, count: int) -> int:
    """The slot of a subject, of `count`."""
    return crc32(subject.encode()) % count


@lru_cache(maxsize=65536)
def _weight(key: str, name: str) -> int:
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    data = key.encode()
    return int.from_bytes(blake2b(b"%d:%b%b" % (len(data), data, name.encode()), digest_size=8).digest(), "big")
