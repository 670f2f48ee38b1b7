"""Makes the configured authorizer: one that is built in, an entry point, or `module:Class`.

Run as a program it only says what is wrong with one (gateway/link/trial.py).

Not here: finding the class (gateway/link/plugins.py), asking it (authority.py, asking.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from gateway.authorizers.allow_all import AllowAll
from gateway.authorizers.rules import StaticRules
from gateway.authorizers.webhook import Webhook
from gateway.link.plugins import LoadError, make
from gateway.link.trial import trial
from whimbrel_server import Authorizer

BUILT_IN: Mapping[str, type[Authorizer] | str] = {
    "allow_all": AllowAll,
    "jwt": "gateway.authorizers.jwt:Jwt",  # what it imports takes 30 ms of a worker's start, of 390
    "rules": StaticRules,
    "webhook": Webhook,
}


def load(name: str, options: dict[str, Any], folder: str = "") -> Authorizer:
    """Make the authorizer of this name; arguments and errors as of `make`."""
    return make("authorizer", Authorizer, BUILT_IN, name, options, folder)


if __name__ == "__main__":
    sys.exit(trial(load, LoadError))
