"""RFC 6455 from the server's side, in the manner of the Autobahn test suite's cases."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from gateway.sockets.websocket import (
    BINARY,
    CLOSE,
    FAILED,
    FRAGMENTS_MAX,
    PING,
    PONG,
    TEXT,
    Partial,
    WebSocketEvent,
    close_payload,
    control_frame,
    receive,
)

MAX = 100_000


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(Opcode(opcode), data, fin).serialize(mask=mask)


def raw(head: int, data: bytes = b"", *, masked: bool = True) -> bytes:
    """A short frame whose first byte may be anything."""
    return bytes([head, (0x80 if masked else 0) | len(data)]) + (bytes(4) if masked else b"") + data


def everything(data: bytes, size: int = 0, size_max: int = MAX) -> list[WebSocketEvent]:
    """All events of a stream that arrives in pieces of `size` bytes."""
    partial: Partial | None = None
    found: list[WebSocketEvent] = []
    for start in range(0, len(data), size or len(data)):
        more, partial = receive(partial, data[start : start + (size or len(data))], size_max)
        found += more
        if found and found[-1].kind in (CLOSE, FAILED):
            break
    return found


def shown(events: list[WebSocketEvent]) -> list[tuple[int, object]]:
    return [(event.kind, event.data if event.kind != FAILED else event.code) for event in events]


# 1 Framing.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
@pytest.mark.parametrize("pieces", [0, 997])
def test_messages_of_every_length_form(kind: int, size: int, pieces: int) -> None:
    assert shown(everything(frame(kind, b"*" * size), pieces)) == [(kind, b"*" * size)]


def test_several_frames_in_one_piece_and_a_piece_of_the_next() -> None:
    stream = frame(TEXT, b"a") + frame(PING, b"b") + frame(BINARY, b"c")
    events, partial = receive(None, stream + frame(TEXT, b"dd")[:3], MAX)
    assert shown(events) == [(TEXT, b"a"), (PING, b"b"), (BINARY, b"c")]
    assert partial is not None


def test_nothing_is_kept_between_whole_messages() -> None:
    assert receive(None, frame(TEXT, b"a"), MAX)[1] is None
    whole = frame(TEXT, b"abc")
    partial = receive(None, whole[:4], MAX)[1]
    assert partial is not None
    assert receive(partial, whole[4:], MAX) == ([WebSocketEvent(TEXT, b"abc")], None)


# 2 Pings and pongs.


def test_pings_pongs_and_their_limit() -> None:
    assert shown(everything(frame(PING) + frame(PONG, b"x") + frame(PING, b"y" * 125))) == [
        (PING, b""),
        (PONG, b"x"),
        (PING, b"y" * 125),
    ]
    assert control_frame(PONG, b"y") == b"\x8a\x01y"
    too_long = bytes([0x89, 0x80 | 126]) + (126).to_bytes(2, "big") + bytes(4) + bytes(126)
    assert shown(everything(too_long)) == [(FAILED, 1002)]


# 3 Reserved bits, 4 opcodes, 5.1 masking.


@pytest.mark.parametrize("bits", [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70])
@pytest.mark.parametrize("kind", [TEXT, BINARY, PING, CLOSE])
def test_reserved_bits_are_refused_after_what_came_before(bits: int, kind: int) -> None:
    assert shown(everything(frame(TEXT, b"a") + raw(0x80 | bits | kind))) == [(TEXT, b"a"), (FAILED, 1002)]


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_unknown_opcodes_are_refused(opcode: int) -> None:
    assert shown(everything(raw(0x80 | opcode))) == [(FAILED, 1002)]


@pytest.mark.parametrize("kind", [TEXT, BINARY, PING, CLOSE])
def test_an_unmasked_frame_is_refused(kind: int) -> None:
    assert shown(everything(frame(kind, mask=False))) == [(FAILED, 1002)]


# 5 Fragmentation.


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_fragments_with_control_frames_between(pieces: int) -> None:
    stream = (
        frame(TEXT, "é".encode()[:1], fin=False)
        + frame(PING, b"1")
        + frame(0, b"", fin=False)
        + frame(0, "é".encode()[1:], fin=False)
        + frame(PONG)
        + frame(0, b"!")
        + frame(BINARY, b"\xff")
    )
    assert shown(everything(stream, pieces)) == [
        (PING, b"1"),
        (PONG, b""),
        (TEXT, "é!".encode()),
        (BINARY, b"\xff"),
    ]


@pytest.mark.parametrize("kind", [PING, PONG, CLOSE])
def test_control_frames_are_not_fragmented(kind: int) -> None:
    assert shown(everything(raw(kind))) == [(FAILED, 1002)]


@pytest.mark.parametrize("fin", [True, False])
def test_a_continuation_of_nothing_and_a_message_in_a_message(fin: bool) -> None:
    assert shown(everything(frame(0, b"x", fin=fin))) == [(FAILED, 1002)]
    assert shown(everything(frame(TEXT, b"x") + frame(0, b"x", fin=fin))) == [(TEXT, b"x"), (FAILED, 1002)]
    assert shown(everything(frame(TEXT, b"x", fin=False) + frame(TEXT, b"x", fin=fin))) == [(FAILED, 1002)]


# 6 UTF-8.


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"],
)
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    assert shown(everything(frame(TEXT, text))) == [(FAILED, 1007)]
    assert shown(everything(frame(TEXT, text[:1], fin=False) + frame(0, text[1:]))) == [(FAILED, 1007)]
    assert shown(everything(frame(BINARY, text))) == [(BINARY, text)]


# 7 Closing.


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_good_close_codes_end_the_stream(code: int) -> None:
    payload = Close(code, "bye é").serialize()
    assert shown(everything(frame(CLOSE, payload) + frame(TEXT, b"late"))) == [(CLOSE, payload)]
    assert shown(everything(frame(CLOSE))) == [(CLOSE, b"")]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_bad_close_codes_are_refused(code: int) -> None:
    assert shown(everything(frame(CLOSE, code.to_bytes(2, "big")))) == [(FAILED, 1002)]


def test_other_bad_close_frames_are_refused() -> None:
    assert shown(everything(frame(CLOSE, b"\x03"))) == [(FAILED, 1002)]
    assert shown(everything(frame(CLOSE, b"\x03\xe8\xff"))) == [(FAILED, 1007)]


def test_a_long_reason_is_cut_between_characters() -> None:
    payload = close_payload(4300, "é" * 100)
    assert len(payload) == 2 + 122
    assert Close.parse(payload) == Close(4300, "é" * 61)
    assert control_frame(CLOSE, payload)[:2] == b"\x88\x7c"


# 9 Limits.


def test_the_limit_holds_for_a_frame_before_its_data_comes() -> None:
    header = bytes([0x82, 0x80 | 127]) + (2**62).to_bytes(8, "big")
    assert shown(everything(header)) == [(FAILED, 4302)]
    assert shown(everything(frame(TEXT, b"x" * 100), size_max=100)) == [(TEXT, b"x" * 100)]
    assert shown(everything(frame(TEXT, b"x" * 101), size_max=100)) == [(FAILED, 4302)]


def test_the_limit_holds_for_all_fragments_together() -> None:
    parts = frame(TEXT, b"x" * 60, fin=False) + frame(PING, b"p" * 90) + frame(0, b"x" * 40, fin=False)
    assert shown(everything(parts + frame(0), size_max=100)) == [(PING, b"p" * 90), (TEXT, b"x" * 100)]
    assert shown(everything(parts + frame(0, b"x"), size_max=100)) == [(PING, b"p" * 90), (FAILED, 4302)]


def test_endless_empty_fragments_keep_nothing() -> None:
    partial = receive(None, frame(TEXT, b"x", fin=False), MAX)[1]
    for _ in range(1000):
        events, partial = receive(partial, frame(0, b"", fin=False), MAX)
        assert events == []
    assert partial is not None
    assert (partial.message, len(partial.bytes)) == (bytearray(b"x"), 0)


@pytest.mark.parametrize("piece", [b"", b"x"])
def test_the_number_of_fragments_is_bounded(piece: bytes) -> None:
    most = frame(TEXT, piece, fin=False) + frame(0, piece, fin=False) * (FRAGMENTS_MAX - 2)
    assert shown(everything((most + frame(0, piece)) * 2)) == [(TEXT, piece * FRAGMENTS_MAX)] * 2, "each for itself"
    [failed] = everything(most + frame(0, piece, fin=False) + frame(0, piece))
    assert (failed.kind, failed.code) == (FAILED, 1009)
    assert str(FRAGMENTS_MAX) in failed.reason


def test_a_big_frame_in_small_pieces_is_linear() -> None:
    def seconds(size: int) -> float:
        stream = frame(BINARY, bytes(size))
        began = time.process_time()
        assert len(everything(stream, 64, size)) == 1
        return time.process_time() - began

    seconds(100_000)
    # 16 times as much may take 16 times as long, not 256 times.
    assert seconds(1_600_000) < 64 * max(seconds(100_000), 0.001)


# Anything at all.


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_in_any_pieces_give_the_same_documented_events(data: bytes, size: int) -> None:
    whole = everything(data, 0, 1000) if data else []
    assert everything(data, size, 1000) == whole
    for event in whole:
        assert event.kind in (TEXT, BINARY, CLOSE, PING, PONG, FAILED)
        if event.kind == FAILED:
            assert event.code in (1002, 1007, 1009, 4302)


@given(st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING]), st.text(max_size=60)), max_size=8), st.integers(1, 40))
def test_what_is_sent_is_what_is_received(messages: list[tuple[int, str]], size: int) -> None:
    messages = [(kind, text if kind != PING else text[:30]) for kind, text in messages]
    stream = b"".join(frame(kind, text.encode()) for kind, text in messages)
    assert shown(everything(stream, size) if stream else []) == [(kind, text.encode()) for kind, text in messages]
