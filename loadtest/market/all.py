"""The shapes by name, for `python -m loadtest shapes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loadtest.bench import Bench
from loadtest.market.broadcast import broadcast
from loadtest.market.climb import climb
from loadtest.market.devices import devices
from loadtest.market.jitter import jitter
from loadtest.market.rolling import rolling
from loadtest.market.slow_readers import slow_readers
from loadtest.report import Row

SHAPES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "climb": climb,
    "broadcast": broadcast,
    "devices": devices,
    "slow_readers": slow_readers,
    "rolling": rolling,
    "jitter": jitter,
}
