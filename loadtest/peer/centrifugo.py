"""Centrifugo as one would set it up for the same job: it reads the topics, keeps history, and clients may recover.

The program is not part of Whimbrel: it is looked for in PATH.

Not here: its clients (subscriber.py), what is measured (scenario.py).
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from loadtest.kafka.ports import free_port
from loadtest.process import Failed, end

CHANNELS_HEADER = "centrifugo-channels"
"""A record's header that says into which channels it goes."""
READY_TIMEOUT_S = 60


class Centrifugo:
    """One server that reads `topics`, on a free port. A context manager that starts it, waits until ready, stops."""

    def __init__(self, log: Path, bootstrap: str, topics: list[str]) -> None:
        """Prepare; nothing runs yet.

        Raises:
            Failed: The program is not there.
        """
        self.port = free_port()
        program = shutil.which("centrifugo")
        if program is None:
            raise Failed("no centrifugo in PATH (`go install github.com/centrifugal/centrifugo/v6@v6.9.1` makes it)")
        self._log = log
        self._config = log.with_suffix(".json")
        self._command = [program, "--config", str(self._config)]
        self._settings = {
            "http_server": {"address": "127.0.0.1", "port": self.port},
            "health": {"enabled": True},
            "log": {"level": "warn"},
            "client": {"allow_anonymous_connect_without_token": True},
            "channel": {
                "without_namespace": {
                    "history_size": 1000,
                    "history_ttl": "600s",
                    "force_recovery": True,
                    "allow_subscribe_for_client": True,
                    "allow_subscribe_for_anonymous": True,
                }
            },
            "consumers": [
                {
                    "enabled": True,
                    "name": "kafka",
                    "type": "kafka",
                    "kafka": {
                        "brokers": [bootstrap],
                        "topics": topics,
                        "consumer_group": f"centrifugo-{topics[0]}",
                        "publication_data_mode": {"enabled": True, "channels_header": CHANNELS_HEADER},
                    },
                }
            ],
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._config.write_text(json.dumps(self._settings, indent=1))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + READY_TIMEOUT_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise Failed(f"centrifugo did not start: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        end(self._process)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
