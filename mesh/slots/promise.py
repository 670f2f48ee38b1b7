"""What a voter has promised of a slot, and must remember even when its process dies.

Invariants:
- A promise is on disk before anybody is told of it: a voter that forgets one lets an old coordinator commit after a
  new one was chosen (Michael et al., "Recovering Shared Objects Without Stable Storage", DISC 2017).
- The epoch of a slot's promise never goes down.

Not here: when a promise is made (election.py), the file that keeps it (promises.py).
"""

from __future__ import annotations

import msgspec


class Promise(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """No coordinator of an epoch below `epoch` gets anything of this voter any more."""

    epoch: int
