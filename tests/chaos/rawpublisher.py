"""A publisher written from client/PROTOCOL.md section 8: it sends again what was not answered, on other connections,
and sometimes what was: then the answer must be the first one.

Not here: anything of the SDKs.
"""

from __future__ import annotations

import asyncio
import json
import time
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

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
        self._socket: ClientConnection | None = None
        self._id = 1

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
        if self._socket is not None:
            await self._socket.close()

    async def _until_answered(self, seq: int, text: str, until: float) -> tuple[str, tuple[int, int] | None] | None:
        while time.time() < until:
            try:
                answer = await asyncio.wait_for(self._once(seq, text), ANSWER_S)
            except (OSError, WebSocketException, TimeoutError):
                await self._hang_up()
                answer = {"op": "error", "code": 4000}
            if answer["op"] == "published":
                at = answer.get("at")
                return answer["log"], None if at is None else (at[0], at[1])
            if answer["code"] >= 4300:
                self.complaints.append(f"publish {seq} was refused: {answer}")
                return None
            await asyncio.sleep(self._rng.uniform(0, 0.3))
        return None

    async def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None

    async def _once(self, seq: int, text: str) -> dict[str, Any]:
        if self._socket is None:
            self._socket = await connect(
                f"{self._url}/v1/ws",
                subprotocols=[Subprotocol("whimbrel.v1.json")],
                compression=None,
                ping_interval=None,
                close_timeout=0.2,
            )
            await self._socket.send(json.dumps({"op": "hello", "id": 1}))
        self._id += 1
        request = self._id
        frame = {"op": "publish", "id": request, "subject": self._subject, "publisher": self._publisher, "seq": seq}
        await self._socket.send(json.dumps({**frame, "text": text}))
        while True:
            answer: dict[str, Any] = json.loads(await self._socket.recv())
            if answer.get("id") == request:
                return answer
