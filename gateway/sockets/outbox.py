"""What waits for a client that reads more slowly than we send. Bounded; there is none while the socket keeps up.

Invariant: `size` is what is waiting, in bytes; besides the frame on its way it is above `limit` only by the last piece.
Of many small pieces less waits: each counts for PIECE_BYTES more than its length.

Not here: the socket (client_socket.py), what becomes of a slow consumer (`Worker.overflowed`: closed with 4001).
"""

from __future__ import annotations

from collections import deque

PIECE_BYTES = 64
"""What keeping a piece takes besides its bytes, about."""


class Outbox:
    """Pieces of whole WebSocket frames, oldest first; of the first piece, `sent` bytes are already on their way."""

    __slots__ = ("_pieces", "_sent", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._pieces: deque[bytes] = deque()
        self._sent = 0

    def add(self, piece: bytes, sent: int = 0) -> bool:
        """Keep whole frames for later, of which `sent` bytes went out (only for the first piece).

        Returns:
            False when the outbox is full: close the connection after `cut`. The frame that is on its way does not
            count, however long it is and takes: heartbeats and other messages come meanwhile, and a client that
            was closed for it would have to begin with it again.
        """
        if not self._pieces:
            self._sent = sent
        self._pieces.append(piece)
        self.size += len(piece) - sent
        kept = self.size + PIECE_BYTES * (len(self._pieces) - 1)
        return kept <= self.limit or kept - (self._frame_end(self._sent) - self._sent) <= self.limit

    def first(self) -> memoryview:
        """What to send next; then tell `sent`."""
        return memoryview(self._pieces[0])[self._sent :]

    def sent(self, size: int) -> bool:
        """So many bytes of `first` are sent.

        Returns:
            Whether anything is left.
        """
        self.size -= size
        self._sent += size
        if self._sent == len(self._pieces[0]):
            self._pieces.popleft()
            self._sent = 0
        return bool(self._pieces)

    def cut(self, held: int = 0) -> None:
        """Drop all but the rest of the frame that is partly sent, so that a close frame can follow.

        Args:
            held: How many bytes that have not been sent yet can no longer be taken back.
        """
        if not self._pieces:
            return
        piece, end = self._pieces[0], self._frame_end(self._sent + held - 1)
        self._pieces.clear()
        self.size = end - self._sent
        if self.size:
            self._pieces.append(piece[:end])
        else:
            self._sent = 0

    def _frame_end(self, at: int) -> int:
        """Where, in the first piece, the frame ends that byte `at` is in; 0 for -1."""
        piece, end = self._pieces[0], 0
        while end <= at:
            end += _frame_size(piece, end)
        return end


def _frame_size(data: bytes, start: int) -> int:
    """The length of the unmasked WebSocket frame that begins at `start` (RFC 6455 section 5.2)."""
    size = data[start + 1]
    if size == 126:
        return 4 + int.from_bytes(data[start + 2 : start + 4], "big")
    if size == 127:
        return 10 + int.from_bytes(data[start + 2 : start + 10], "big")
    return 2 + size
