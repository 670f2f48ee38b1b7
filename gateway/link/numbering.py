"""Numbers of link packets: the node's end counts them, the worker's end notices when one is missing.

Packets to a worker are numbered from 0 in the order in which they are sent. A packet that could not be sent takes its
number all the same, so that the worker finds the jump at the next that comes.

Not here: what is lost with a packet, and how it is made good (events.py).
"""

from __future__ import annotations

NUMBER_BYTES = 8


class Numbers:
    """The sender's end, one for each worker."""

    def __init__(self) -> None:
        self._next = 0

    def header(self) -> bytes:
        """The number of the next packet, as it goes over the link. Say `use` once the packet is sent or lost."""
        return self._next.to_bytes(NUMBER_BYTES, "big")

    def use(self) -> None:
        """The packet has been sent, or has been lost."""
        self._next += 1


class Arrivals:
    """The receiver's end."""

    def __init__(self) -> None:
        self._next = 0

    def arrived(self, header: bytes) -> int:
        """A packet has come.

        Returns:
            How far its number is from the one that was expected: 0 if nothing was lost.
        """
        number = int.from_bytes(header, "big")
        jump = number - self._next
        self._next = number + 1
        return jump
