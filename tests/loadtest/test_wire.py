"""The fleet's frames against those of the `websockets` package."""

import json

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from loadtest.bare import text_frame, unmask
from loadtest.wire import PING, PONG, TEXT, frame_at, hello_and_subscribe, masked, walk


def parsed(data: bytes) -> list[Frame]:
    """What a server sees of a client's bytes."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frames = []
    while reader.buffer:
        parse = Frame.parse(reader.read_exact, mask=True)
        try:
            while True:
                next(parse)
        except StopIteration as done:
            frames.append(done.value)
    return frames


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535])
def test_a_server_reads_what_the_fleet_sends(length: int) -> None:
    payload = b"x" * length
    (frame,) = parsed(masked(PONG if length < 126 else TEXT, payload))
    assert frame.fin
    assert frame.data == payload
    assert unmask(masked(TEXT, payload)) == [payload]


@pytest.mark.parametrize(
    ("place", "start"),
    [(None, {"from": "latest"}), ({"0.x": [1, 5]}, {"resume": {"0.x": [1, 5]}})],
)
def test_hello_and_subscribe(place: dict[str, list[int]] | None, start: dict[str, object]) -> None:
    hello, subscribe = (json.loads(bytes(frame.data)) for frame in parsed(hello_and_subscribe("/t/k", place)))
    assert hello["op"] == "hello"
    assert subscribe == {"op": "subscribe", "id": 2, "subject": "/t/k"} | start


def test_walk_steps_over_whole_long_text_frames_only() -> None:
    first, second = text_frame(b"a" * 126), text_frame(b"b" * 700)
    data = bytearray(first + second + text_frame(b"short"))
    assert walk(data, len(data)) == (len(first + second), len(first), 2)
    for cut in range(len(first), len(first + second)):
        assert walk(data, cut) == (len(first), 0, 1)
    for cut in range(len(first)):
        assert walk(data, cut)[2] == 0


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 70_000])
def test_any_frame_of_a_server_is_found_once_it_is_whole(length: int) -> None:
    opcode = PING if length < 126 else TEXT
    data = bytearray(b"??" + Frame(opcode, b"p" * length).serialize(mask=False))  # type: ignore[arg-type]
    assert frame_at(data, 2, len(data)) == (opcode, len(data) - length, len(data))
    for cut in range(2, min(len(data), 40)):
        assert frame_at(data, 2, cut) is None or length == 0
    assert frame_at(data, 2, len(data) - 1) is None
