"""The outbox: bounded, in order, and cut only between frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.link.messages import server_frame
from gateway.sockets.outbox import PIECE_BYTES, Outbox


def drain(outbox: Outbox, step: int) -> bytes:
    taken = b""
    while outbox.size:
        piece = bytes(outbox.first()[:step])
        taken += piece
        outbox.sent(len(piece))
    return taken


def frame(size: int) -> bytes:
    """A frame of so many bytes."""
    made = server_frame(0x82, b"x" * (size - 2 if size < 128 else size - 4))
    assert len(made) == size
    return made


def test_it_is_full_once_more_waits_than_its_limit() -> None:
    outbox = Outbox(10 + 2 * PIECE_BYTES)
    assert outbox.add(frame(8), 3)
    assert outbox.size == 5
    assert outbox.add(frame(5))
    assert outbox.add(frame(5))
    assert not outbox.add(frame(2))


def test_the_frame_that_is_on_its_way_does_not_count() -> None:
    """However long it takes: heartbeats come meanwhile."""
    outbox = Outbox(4 + 2 * PIECE_BYTES)
    y = frame(2 + PIECE_BYTES)
    assert outbox.add(frame(50), 3)
    assert outbox.add(y)
    outbox.sent(20)
    assert not outbox.add(frame(2))
    outbox.sent(27)
    assert bytes(outbox.first()) == y
    assert outbox.add(frame(2))


def test_only_one_frame_is_on_its_way_however_many_came_together() -> None:
    assert Outbox(1000).add(frame(5000), 100)
    assert Outbox(1000).add(frame(5000) + frame(1000), 100)
    assert not Outbox(1000).add(frame(5000) + frame(1001), 100)
    assert Outbox(1000).add(frame(5000) + frame(3000), 5000), "the first has gone: the next is on its way"
    assert not Outbox(1000).add(frame(50) + frame(3000), 10)


def test_many_small_pieces_count_for_what_keeping_them_takes() -> None:
    outbox = Outbox(10_000)
    assert outbox.add(frame(50_000))
    kept = 0
    while outbox.add(b"\x8a\x00"):
        kept += 1
    assert kept == 10_000 // (PIECE_BYTES + 2)
    assert outbox.size == 50_000 + 2 * (kept + 1)


def test_sent_says_whether_anything_is_left() -> None:
    outbox = Outbox(100)
    outbox.add(b"abc", 1)  # within the limit nobody looks at frames
    outbox.add(b"de")
    assert bytes(outbox.first()) == b"bc"
    assert outbox.sent(1)
    assert bytes(outbox.first()) == b"c"
    assert outbox.sent(1)
    assert bytes(outbox.first()) == b"de"
    assert not outbox.sent(2)
    assert outbox.size == 0


@given(
    st.lists(st.lists(st.sampled_from([0, 1, 125, 126, 300, 65536]), min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(0, 200_000),
    st.integers(100, 70_000),
)
def test_after_a_cut_the_stream_ends_with_the_frame_that_was_begun(
    pieces: list[list[int]], taken: int, step: int
) -> None:
    frames = [[server_frame(0x81, b"x" * size) for size in piece] for piece in pieces]
    stream = b"".join(b"".join(piece) for piece in frames)
    outbox = Outbox(10**9)
    for piece in frames:
        outbox.add(b"".join(piece))
    gone = b""
    while outbox.size and len(gone) < taken:
        part = bytes(outbox.first()[: min(step, taken - len(gone))])
        gone += part
        outbox.sent(len(part))
    outbox.cut()
    ends = [0]
    for one in (one for piece in frames for one in piece):
        ends.append(ends[-1] + len(one))
    end = min(end for end in ends if end >= len(gone))
    assert outbox.size == end - len(gone)
    assert gone + drain(outbox, step) == stream[:end]
    outbox.cut()
    assert outbox.add(frame(5))
