"""Messages survive the way there and back; any other bytes are a WireError that says what is wrong."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.transport.wire import MESSAGE_BYTES_MAX, VERSION, Codec, TooLarge, WireError


class Ping(msgspec.Struct, array_like=True, tag="ping", gc=False):
    number: int
    texts: list[str] = []


class Data(msgspec.Struct, array_like=True, tag="data", gc=False):
    value: bytes | None
    position: tuple[int, int]


Packet = Ping | Data
CODEC: Codec[Packet] = Codec(Packet)

texts = st.text(min_size=1, max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1)
packets = st.lists(
    st.one_of(
        st.builds(Ping, numbers, st.lists(st.text(max_size=5), max_size=3)),
        st.builds(Data, st.none() | st.binary(max_size=50), st.tuples(numbers, numbers)),
    ),
    max_size=5,
)


def pack(*values: object) -> bytes:
    return msgspec.msgpack.encode(values)


@given(texts, texts, st.integers(0, 2**64 - 1), packets)
def test_what_is_sent_is_what_comes(sender: str, boot: str, link_seq: int, sent: list[Packet]) -> None:
    data = CODEC.encode(sender, boot, link_seq, sent)
    for form in (data, memoryview(data)):
        envelope = CODEC.decode(form)
        assert (envelope.sender, envelope.boot, envelope.link_seq) == (sender, boot, link_seq)
        assert envelope.packets == sent


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        CODEC.decode(data)


@given(texts, packets, st.data())
def test_a_damaged_message_is_a_message_or_a_wire_error(sender: str, sent: list[Packet], data: st.DataObject) -> None:
    raw = bytearray(CODEC.encode(sender, "boot", 7, sent))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for form in (bytes(raw), bytes(raw[:cut])):
        with contextlib.suppress(WireError):
            CODEC.decode(form)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "truncated"),
        (b"\xc1", "no message"),
        (pack(VERSION), "length 5"),
        (pack(VERSION, "a", "boot", 1, []) + b"\0", "trailing"),
        (pack(VERSION, "", "boot", 1, []), r"length >= 1 - at `\$\[1\]`"),
        (pack(VERSION, "a" * 200, "boot", 1, []), r"at `\$\[1\]`"),
        (pack(VERSION, "a", 5, 1, []), r"Expected `str`, got `int` - at `\$\[2\]`"),
        (pack(VERSION, "a", "boot", -1, []), r">= 0 - at `\$\[3\]`"),
        (pack(VERSION, "a", "boot", 1, {}), r"Expected `array`, got `object` - at `\$\[4\]`"),
        (pack(VERSION, "a", "boot", 1, [["pong", 1]]), "Invalid value 'pong'"),
        (pack(VERSION, "a", "boot", 1, [["ping", "x"]]), r"Expected `int`, got `str` - at `\$\[4\]\[0\]\[1\]`"),
        (pack(VERSION, "a", "boot", 1, [["data", b""]]), "at least length 3"),
        (pack(VERSION + 1, "a", "boot", 1, []), f"version {VERSION + 1}, not {VERSION}"),
        (pack(VERSION + 1, {"all": "new"}), f"version {VERSION + 1}, not {VERSION}"),
        (pack(VERSION, b"\xff", "boot", 1, []), "no message"),
        (b"\x95\x01\xa1\xff\xa1b\x01\x90", "utf-8"),
        (b"\x95\x01\xa1a\xa1b\x01\x91\x94\xa4ping\x01\x90" + b"\x91" * 100_000, "recursion"),
        (b"\x95\x01\xa1a\xa1b\x01\xdd\xff\xff\xff\xff", "truncated"),
    ],
)
def test_the_error_says_what_was_wrong(data: bytes, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        CODEC.decode(data)


def test_a_field_more_and_a_field_less_is_another_release() -> None:
    envelope = CODEC.decode(pack(VERSION, "a", "boot", 1, [["ping", 1, [], "new"], ["ping", 2]], "new"))
    assert envelope.packets == [Ping(1), Ping(2)]


def test_too_large_is_neither_sent_nor_read() -> None:
    room = MESSAGE_BYTES_MAX - len(CODEC.encode("a", "boot", 1, [Data(b"x" * 70_000, (1, 1))])) + 70_000
    largest = CODEC.encode("a", "boot", 1, [Data(b"x" * room, (1, 1))])
    assert len(largest) == MESSAGE_BYTES_MAX
    CODEC.decode(largest)
    with pytest.raises(TooLarge, match=str(MESSAGE_BYTES_MAX + 1)):
        CODEC.encode("a", "boot", 1, [Data(b"x" * (room + 1), (1, 1))])
    with pytest.raises(TooLarge, match=str(MESSAGE_BYTES_MAX)):
        CODEC.decode(largest + b"\0")
