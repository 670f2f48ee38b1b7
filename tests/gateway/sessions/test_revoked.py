"""Revoked tokens: whose connections end, and who is not let in."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.link import events as link
from mesh.revocations import Revocation
from tests.gateway.sessions.core import Harness
from tests.gateway.sessions.test_renewal import Timed, opened, renew
from whimbrel_server import Connection, Identity


class Dated(Timed):
    """A token is `name:issued:id`."""

    def connect(self, connection: Connection) -> Identity:
        name, issued_at, token_id = str(connection.token).split(":")
        return Identity(
            name,
            issued_at=float(issued_at) if issued_at else None,
            token_id=token_id or None,
            expires_at=self.ends_at,
        )

    ends_at: float | None = None


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({"token_id": "t1", "issued_before": float("inf")}, ["alice:10:t1"]),
    ({"name": "alice", "issued_before": 15.0}, ["alice:10:t1", "alice::t3"]),
    ({"name": "alice", "issued_before": float("inf")}, ["alice:10:t1", "alice:20:t2", "alice::t3"]),
    ({"name": "alice", "token_id": "t2", "issued_before": float("inf")}, ["alice:20:t2"]),
    ({"issued_before": 20.0}, ["alice:10:t1", "alice::t3", "bob:19:", ":10:"]),
    ({"name": "nobody", "issued_before": float("inf")}, []),
    ({"name": "", "issued_before": float("inf")}, []),
]
ALL = ["alice:10:t1", "alice:20:t2", "alice::t3", "bob:19:", ":10:", "::"]


@pytest.mark.parametrize(("given", "ends"), CASES)
@pytest.mark.parametrize("others", [0, 20], ids=["alone", "among many"])
def test_whose_connections_end_and_who_is_not_let_in(given: dict[str, Any], ends: list[str], others: int) -> None:
    harness = Harness(Dated())
    sessions = {token: opened(harness, token) for token in ALL}
    more = [Revocation(1e9, 60.0, f"x{number}") for number in range(others)]
    harness.say(link.RevokedTokens([*more, Revocation(left_s=60.0, **given)]))
    assert {session for session, code, _ in harness.closed if code == 4202} == {sessions[token] for token in ends}
    assert harness.sessions.stats.revoked == len(ends)
    harness.closed.clear()
    for token in ends:
        session = harness.connect()
        harness.send(session, {"op": "hello", "id": 1, "token": token})
        assert [code for _, code, _ in harness.closed] == [4202]
        harness.closed.clear()
    for token in set(ALL) - {*ends}:
        opened(harness, token)
    harness.tick(61)
    for token in ALL:
        opened(harness, token)


def test_a_token_that_has_only_an_end_is_older_than_anything() -> None:
    authorizer = Dated()
    authorizer.ends_at = 1e9
    harness = Harness(authorizer)
    session = opened(harness, "::")
    harness.say(link.RevokedTokens([Revocation(1.0, 60.0)]))
    assert [(one, code) for one, code, _ in harness.closed] == [(session, 4202)]


def test_a_token_that_is_revoked_while_its_client_waits_for_the_node_is_not_let_in() -> None:
    authorizer = Dated()
    authorizer.ends_at = 1_800_000_500.0
    harness = Harness(authorizer, limit_identity_connections=1)
    session = harness.connect()
    harness.send(session, {"op": "hello", "id": 1, "token": "alice:10:t1"})
    (asked,) = harness.events()
    assert isinstance(asked, link.Admit)
    harness.say(link.RevokedTokens([Revocation(float("inf"), 60.0, "t1")]))
    assert harness.say(link.Admitted(asked.number, 0.0, False)) == {}
    assert [(one, code) for one, code, _ in harness.closed] == [(session, 4202)]


def test_a_revoked_token_is_not_taken_in_a_renewal() -> None:
    authorizer = Dated()
    authorizer.ends_at = 1_800_000_500.0
    harness = Harness(authorizer)
    session = opened(harness, "alice:10:t1")
    harness.say(link.RevokedTokens([Revocation(float("inf"), 60.0, "t2")]))
    assert renew(harness, session, "alice:20:t2")[0]["code"] == 4202
    assert renew(harness, session, "alice:20:t3")[0]["op"] == "renewed"
    harness.say(link.RevokedTokens([Revocation(float("inf"), 60.0, "t1")]))
    assert harness.closed == []


def test_a_worker_that_lost_something_asks_again() -> None:
    harness = Harness(Dated())
    harness.sessions.link_jumped()
    assert link.WantRevoked() in harness.sessions.outputs.events
