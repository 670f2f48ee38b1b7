"""Who of a worker's clients gets a live message: from a subject to sessions, for one encoding.

Subjects and patterns are held in one table, and found by looking up the subject and each pattern that matches it, so
the cost does not depend on how many there are. Most subjects have one subscription, which then stands in the table
itself.

Invariant: `remove` says that the node can drop a subject exactly when no subscription to it is left, answered or not.

Not here: how a subscription comes about (subscribing.py), the node's table of workers (node/interest.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sessions.session import Session, Subscription
from mesh.subject import is_pattern, patterns_of


class Subscriptions:
    """All subscriptions in one encoding, by subject or pattern."""

    def __init__(self) -> None:
        self._held: dict[str, Subscription | dict[int, Subscription]] = {}
        self._patterns = 0

    def __len__(self) -> int:
        """How many subjects and patterns there are."""
        return len(self._held)

    def add(self, subscription: Subscription) -> None:
        """Hold a subscription; its `sid` must not change while it is held."""
        subject = subscription.subject
        held = self._held.get(subject)
        if held is None:
            self._held[subject] = subscription
            self._patterns += is_pattern(subject)
        elif isinstance(held, dict):
            held[subscription.sid] = subscription
        else:
            self._held[subject] = {held.sid: held, subscription.sid: subscription}

    def remove(self, subscription: Subscription) -> bool:
        """Let go of a subscription that is held.

        Returns:
            Whether it was the last of its subject.
        """
        subject = subscription.subject
        held = self._held[subject]
        if isinstance(held, dict):
            del held[subscription.sid]
            if held:
                return False
        del self._held[subject]
        self._patterns -= is_pattern(subject)
        return True

    def share(self, subjects: Sequence[str]) -> list[tuple[Sequence[int], list[Session]]]:
        """Who gets which messages of a batch.

        Args:
            subjects: Of the messages, in order.

        Returns:
            Indices of messages, in order, and the sessions that get just these; each session comes once. The order
            is that of the batch, also across subjects: a pattern's place in a log must never be ahead of a message
            that was not sent yet.
        """
        matched: dict[str, list[int]] = {}
        held = self._held
        for index, subject in enumerate(subjects):
            for name in (subject, *patterns_of(subject)) if self._patterns else (subject,):
                if name in matched:
                    matched[name].append(index)
                elif name in held:
                    matched[name] = [index]
        names_of: dict[Session, tuple[str, ...] | list[str]] = {}
        for name in matched:
            found, alone = held[name], (name,)
            for one in found.values() if isinstance(found, dict) else (found,):
                if one.is_live:
                    names = names_of.get(one.session)
                    if names is None:
                        names_of[one.session] = alone
                    elif names[-1] != name:  # what is held for one name comes in one go
                        if len(names) < 8:
                            names_of[one.session] = (*names, name)
                        elif isinstance(names, list):
                            names.append(name)
                        else:  # copying so many for each that comes would cost their square
                            names_of[one.session] = [*names, name]
        sharing: dict[tuple[str, ...], list[Session]] = {}
        for session, names in names_of.items():
            key = names if isinstance(names, tuple) else tuple(names)
            sessions = sharing.get(key)
            if sessions is None:
                sharing[key] = [session]
            else:
                sessions.append(session)
        return [
            (matched[names[0]] if len(names) == 1 else sorted({i for name in names for i in matched[name]}), sessions)
            for names, sessions in sharing.items()
        ]
