"""Whether the authorizer `jwt` takes a token: run as a program, for `whimbrel token`.

Not here: making the token (node/tokens/minting.py), starting this program (node/settings/plugins.py).
"""

from __future__ import annotations

import sys
from typing import Any

from gateway.authorizers.jwt import Jwt
from gateway.authorizers.later import KeysWanted
from gateway.link.trial import trial
from whimbrel_server import Connection, Refusal


class NotTakenError(ValueError):
    """The token is refused; the message says why."""


def take(options: dict[str, Any], token: str) -> None:
    """Show the token to an authorizer with these options. Where the node fetches the keys, nothing can be said.

    Raises:
        NotTakenError: If it is refused.
    """
    try:
        Jwt(**options).connect(Connection("", token=token))
    except KeysWanted:
        return
    except Refusal as refusal:
        raise NotTakenError(refusal.reason) from refusal


if __name__ == "__main__":
    sys.exit(trial(take, NotTakenError))
