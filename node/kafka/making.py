"""Makes clients of Kafka. Without a token, where one is needed, that takes 10 s and fails.

Not here: what to do then (the threads).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException


def made(make: Callable[[dict[str, Any]], Any], properties: Mapping[str, object]) -> Any:
    """A new client; never in the hub.

    Raises:
        KafkaException: It cannot be made, now.
    """
    try:
        return make(dict(properties))
    except SystemError as error:
        # The library calls back (`stats_cb`) while it gives up, with its own exception set: Python complains of that.
        cause: BaseException | None = error
        while isinstance(cause, SystemError):
            cause = cause.__cause__
        if isinstance(cause, KafkaException):
            raise cause from None
        raise
