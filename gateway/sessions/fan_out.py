"""Who of a worker's clients gets a live message: from a subject to sessions, for one encoding. The hot path.

Subjects and patterns are held in one table, and found by looking up the subject and, in topics where anybody has a
pattern, each pattern that matches it: the cost depends neither on how many there are nor on other topics' patterns.
Most subjects have one subscription, which then stands in the table itself.

Invariants:
- a session gets a message once, and messages in the order of the batch, also across subjects: a pattern's place in a
  log must never be ahead of a message that was not sent yet;
- `remove` says that the node can drop a subject exactly when no subscription to it is left, answered or not.

Not here: how a subscription comes about (subscribing.py), the node's table of workers (node/interest.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sessions.session import Session, Subscription
from mesh.subject import PREFIXES_TRIED_MAX, is_pattern, patterns_of, topic_of


class FanOut:
    """All subscriptions in one encoding, by subject or pattern."""

    def __init__(self) -> None:
        self._held: dict[str, Subscription | dict[int, Subscription]] = {}
        self._patterns: dict[str, dict[str, None]] = {}
        """Topic -> the patterns of it without their `*`, where there are any."""

    def __len__(self) -> int:
        """How many subjects and patterns there are."""
        return len(self._held)

    def add(self, subscription: Subscription) -> None:
        """Hold a subscription; its `sid` must not change while it is held."""
        subject = subscription.subject
        held = self._held.get(subject)
        if held is None:
            self._held[subject] = subscription
            if is_pattern(subject):
                self._patterns.setdefault(topic_of(subject), {})[subject[:-1]] = None
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
        if is_pattern(subject):
            topic = topic_of(subject)
            del self._patterns[topic][subject[:-1]]
            if not self._patterns[topic]:
                del self._patterns[topic]
        return True

    def deliver(self, subjects: Sequence[str], frames: Sequence[bytes], sends: dict[Session, list[bytes]]) -> int:
        """Add each message of a batch to what its subscribers are sent.

        Args:
            subjects: Of the messages, in order.
            frames: Beside them, their WebSocket frames.
            sends: Session -> pieces that leave in one write.

        Returns:
            How many messages that makes, once per recipient.
        """
        count = 0
        get, patterns = self._held.get, self._patterns
        hot, run = "", [b""]
        """A subject with several subscriptions, and its messages that follow one another: joined once for all."""
        for subject, frame in zip(subjects, frames, strict=True):
            if subject == hot:
                run.append(frame)
                continue
            if hot:
                count += self._deliver_to_all(hot, run, sends)
                hot = ""
            found = get(subject)
            if (patterns and topic_of(subject) in patterns) or isinstance(found, dict):
                hot, run = subject, [frame]
            elif found is not None and found.is_live:
                pieces = sends.get(found.session)
                if pieces is None:
                    sends[found.session] = [frame]
                else:
                    pieces.append(frame)
                count += 1
        return count + self._deliver_to_all(hot, run, sends) if hot else count

    def recipients(self, subject: str) -> list[Session]:
        """Who gets a live message of this subject."""
        return [
            *{
                one.session: None
                for found in self._matching(subject)
                for one in (found.values() if isinstance(found, dict) else (found,))
                if one.is_live
            }
        ]

    def _deliver_to_all(self, subject: str, frames: list[bytes], sends: dict[Session, list[bytes]]) -> int:
        """Deliver messages of one subject to everyone who matches it; returns as `deliver` does."""
        joined = b"".join(frames) if len(frames) > 1 else frames[0]
        recipients = 0
        for found in self._matching(subject):
            for subscription in found.values() if isinstance(found, dict) else (found,):
                if subscription.is_live:
                    session = subscription.session
                    if session not in sends:
                        sends[session] = [joined]
                    elif (pieces := sends[session])[-1] is not joined:
                        pieces.append(joined)
                    else:
                        continue  # another subscription of the session matches, too
                    recipients += 1
        return recipients * len(frames)

    def _matching(self, subject: str) -> list[Subscription | dict[int, Subscription]]:
        """What is held for a subject and for the patterns that match it."""
        held = self._held
        found = [held[subject]] if subject in held else []
        prefixes = self._patterns.get(topic_of(subject))
        if prefixes is not None:
            if len(prefixes) > PREFIXES_TRIED_MAX:
                found += [held[name] for name in patterns_of(subject) if name in held]
            else:
                found += [held[prefix + "*"] for prefix in prefixes if subject.startswith(prefix)]
        return found
