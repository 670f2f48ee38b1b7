"""What a slow client has of its pattern."""

from loadtest.market.slow_clients import Frame, State
from loadtest.subscriber import Value


def message(subject: str, n: int, seq: int) -> Frame:
    return Frame("msg", subject=subject, log="0.t", at=[0, seq], json=Value(0, n))


def test_a_slow_client_counts_and_keeps_its_place() -> None:
    state = State()
    state.take(Frame("subscribed", at={"0.t": [0, 3], "1.t": [0, 0]}))
    state.take(Frame("live", at={"0.t": [0, 4]}))
    for frame in (message("/t/a", 7, 5), message("/t/b", 2, 6), message("/t/a", 8, 7), message("/t/a", 8, 7)):
        state.take(frame)
    assert state.is_live
    assert (state.received, state.repeated, state.faults) == (3, 1, [])
    assert state.place == {"0.t": [0, 7], "1.t": [0, 0]}
    assert state.last == {"/t/a": 8, "/t/b": 2}
    state.take(Frame("heartbeat", at={"0.t": [0, 6], "1.t": [0, 9]}))
    assert state.place == {"0.t": [0, 7], "1.t": [0, 9]}


def test_what_is_missing_or_stated_missing_is_a_fault() -> None:
    state = State()
    for frame in (message("/t/a", 7, 5), message("/t/a", 9, 8), Frame("gap", gaps=["x"]), Frame("error", error="e")):
        state.take(frame)
    assert [fault.partition(":")[0] for fault in state.faults] == ["/t/a", "gap", "error"]
