"""Makes the configured auditors: those that are built in, entry points, or `module:Class`.

Run as a program it only says what is wrong with one (gateway/link/trial.py).

Not here: finding the class (gateway/link/plugins.py), feeding it (audit.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from gateway.link.plugins import LoadError, make
from gateway.link.trial import trial
from node.audit.kafka import KafkaAuditor
from node.audit.log import LogAuditor
from whimbrel_server import Auditor

BUILT_IN: Mapping[str, type[Auditor] | str] = {"kafka": KafkaAuditor, "log": LogAuditor}


def load(name: str, options: dict[str, Any], folder: str = "") -> Auditor:
    """Make the auditor of this name; arguments and errors as of `make`."""
    return make("auditor", Auditor, BUILT_IN, name, options, folder)


def _try(**asked: Any) -> None:
    load(**asked).close()


if __name__ == "__main__":
    sys.exit(trial(_try, LoadError))
