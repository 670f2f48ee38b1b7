"""Makes the configured auditors: those that are built in, entry points, or `module:Class`.

Run as a program it only says what is wrong with one (`whimbrel check-config` does that): standard input has a line of
JSON with the arguments of `load`.

Not here: finding the class (gateway/link/plugins.py), feeding it (audit.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.link.plugins import LoadError, make
from node.audit.kafka import KafkaAuditor
from node.audit.log import LogAuditor
from whimbrel_server import Auditor

BUILT_IN: Mapping[str, type[Auditor]] = {"kafka": KafkaAuditor, "log": LogAuditor}


def load(name: str, options: dict[str, Any], folder: str = "") -> Auditor:
    """Make the auditor of this name; arguments and errors as of `make`."""
    return make("auditor", Auditor, BUILT_IN, name, options, folder)


class _Named(msgspec.Struct):
    name: str
    options: dict[str, Any]
    folder: str


def main() -> int:
    """Say on standard error why it cannot be had, if so."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Named)
    try:
        load(asked.name, asked.options, asked.folder).close()
    except LoadError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
