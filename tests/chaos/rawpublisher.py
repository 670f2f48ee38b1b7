"""A publisher written from client/PROTOCOL.md section 8: it sends again what was not answered, on other connections,
and sometimes what was: then the answer must be the first one.

Not here: anything of the SDKs.
"""

from __future__ import annotations

import asyncio
import time
from random import Random

from websockets.exceptions import WebSocketException

from tests.support.asking import Asking
from tests.support.checker import Outcome

ANSWER_S = 1.5
"""After this it hangs up and sends again elsewhere: sooner than the node gives up, so that repeats reach Kafka."""
GIVE_UP_S = 15.0


class RawPublisher:
    """Publishes one message after another."""

    def __init__(self, url: str, subject: str, seed: int) -> None:
        self.outcomes: list[Outcome] = []
        self.complaints: list[str] = []
        self.stopping = False
        self._url = url
        self._subject = subject
        self._rng = Random(seed)
        self._publisher = "raw-publisher-" + "".join(self._rng.choices("abcdefghij0123456789", k=16))
        self._connection = Asking()

    async def run(self) -> None:
        seq = 0
        while not self.stopping:
            seq += 1
            text = f"raw {seq}"
            sent_at = time.time()
            answer = await self._until_answered(seq, text, sent_at + GIVE_UP_S)
            log = at = None
            if answer is not None:
                log, at = answer
            self.outcomes.append(
                Outcome(self._publisher, seq, self._subject, text.encode(), log, at, sent_at, time.time())
            )
            if answer is not None and self._rng.random() < 0.2:
                again = await self._until_answered(seq, text, time.time() + GIVE_UP_S)
                if again is not None and None not in (at, again[1]) and again != answer:
                    self.complaints.append(f"publish {seq} was acknowledged as {answer}, its retry as {again}")
            await asyncio.sleep(self._rng.uniform(0, 0.1))
        await self._connection.close()

    async def _until_answered(self, seq: int, text: str, until: float) -> tuple[str, tuple[int, int] | None] | None:
        frame = {"op": "publish", "subject": self._subject, "publisher": self._publisher, "seq": seq, "text": text}
        while time.time() < until:
            try:
                answer = await asyncio.wait_for(self._connection.ask(self._url, frame), ANSWER_S)
            except (OSError, WebSocketException, TimeoutError):
                self._connection.hang_up()
                answer = {"op": "error", "code": 4000}
            if answer["op"] == "published":
                at = answer.get("at")
                return answer["log"], None if at is None else (at[0], at[1])
            if answer["code"] >= 4300:
                self.complaints.append(f"publish {seq} was refused: {answer}")
                return None
            await asyncio.sleep(self._rng.uniform(0, 0.3))
        return None
