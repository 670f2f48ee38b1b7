"""Clients that the authorizer lets in and that the node has to let in, too: it counts the connections of all workers by
address and by identity. Where nothing of that is limited the node is not asked.

Not here: counting (node/admissions.py), what a worker refuses by itself before (gateway/http/server.py).
"""

from __future__ import annotations

from gateway.link import codes
from gateway.link import events as link
from gateway.link.rates import network_of, retry_text
from gateway.link.settings import GatewaySettings
from gateway.sessions.outputs import SessionOutputs
from gateway.sessions.session import GONE, Decision, Question, Session
from gateway.sessions.stats import WorkerStats


class Admission:
    """Asks the node."""

    def __init__(self, settings: GatewaySettings, outputs: SessionOutputs, stats: WorkerStats) -> None:
        self._has_addresses = bool(settings.limit_address_connections or settings.limit_address_connects)
        self._has_identities = bool(settings.limit_identity_connections or settings.limit_identity_connects)
        self._outputs = outputs
        self._stats = stats
        self._last_number = 0
        self._asked: dict[int, tuple[Question, Decision]] = {}
        self._counted: dict[Session, int] = {}
        """By the number under which the node counts it; also those not answered yet."""

    def asks(self, question: Question, decision: Decision) -> bool:
        """Ask the node whether there is room for a client that the authorizer admits, if a limit requires that.

        Returns:
            Whether the node was asked.
        """
        session, name = question.session, decision.identity.name
        address = network_of(session.address.rpartition(":")[0]) if self._has_addresses else ""
        identity = name if self._has_identities else ""
        if not (address or identity):
            return False
        self._last_number += 1
        self._asked[self._last_number] = question, decision
        self._counted[session] = self._last_number
        self._outputs.events.append(link.Admit(self._last_number, address, identity))
        return True

    def answered(self, event: link.Admitted) -> Session | None:
        """The node has answered: the question has a decision now. None: the client has gone meanwhile."""
        question, decision = self._asked.pop(event.number, (None, None))
        if question is None:
            return None
        session = question.session
        if event.wait_s:
            self._counted.pop(session, None)
            if event.is_address:
                self._stats.limited_connects += 1
            else:
                self._stats.limited_identities += 1
            what = "too many connections from this address" if event.is_address else "too many connections of yours"
            decision = Decision(codes.RATE_LIMITED, retry_text(event.wait_s, what))
        question.decision = decision
        return session if session.state != GONE else None

    def gone(self, session: Session) -> None:
        """A connection has ended."""
        number = self._counted.pop(session, None)
        if number is not None:
            self._asked.pop(number, None)
            self._outputs.events.append(link.Leave(number))

    def link_jumped(self) -> None:
        """Answers may be lost: ask again under the same numbers."""
        for number, (question, decision) in self._asked.items():
            name = decision.identity.name
            address = network_of(question.session.address.rpartition(":")[0]) if self._has_addresses else ""
            self._outputs.events.append(link.Admit(number, address, name if self._has_identities else ""))
