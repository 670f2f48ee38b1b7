"""Tokens for Kafka (SASL/OAUTHBEARER) from the function that `kafka.oauth` names.

librdkafka calls it from a thread of its own, whenever a token is needed and again when most of its life is over.

Run as a program it only says what is wrong with the function (gateway/link/trial.py).

Not here: whether tokens are wanted (node/settings/librdkafka.py).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from gateway.link.imports import imported
from gateway.link.trial import trial


class TokenSourceError(ValueError):
    """The function cannot be had; the message says why."""


class TokenSource:
    """The function, as librdkafka calls it (`oauth_cb`)."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function
        self.problem = ""
        """Why there was no token the last time; empty if there was."""

    def __call__(self, config: str | None) -> tuple[Any, ...]:
        """A token, when it expires in seconds since 1970, and perhaps the principal and SASL extensions.

        Args:
            config: The property `sasl.oauthbearer.config`.

        Raises:
            Exception: What the function raises.
            ValueError: If it gives something else; librdkafka asks again after 10 s.
        """
        try:
            given = self._function(config or "")
            _check(given, time.time())
        except Exception as error:
            self.problem = f"kafka.oauth gives no token: {type(error).__name__}: {error}"
            raise
        self.problem = ""
        return tuple(given)


def load(name: str, folder: str = "") -> TokenSource:
    """The function of this name, `module:function`.

    Args:
        folder: Where its module is looked for besides Python's own path, after it.

    Raises:
        TokenSourceError: If there is none, or it cannot be called.
    """
    try:
        found = imported(name, folder)
    except Exception as error:
        raise TokenSourceError(f"{name!r} cannot be imported: {type(error).__name__}: {error}") from error
    module, _, attribute = name.partition(":")
    if found is None:
        raise TokenSourceError(f"the module {module!r} has no {attribute!r}")
    if not callable(found):
        raise TokenSourceError(f"{name!r} is no function but of type {type(found).__name__}")
    return TokenSource(found)


def _check(given: Any, now: float) -> None:
    """Say what is wrong, without the token."""
    expected = "expected (token, expiry in seconds since 1970) or (token, expiry, principal, extensions)"
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 4):
        raise ValueError(f"found a {type(given).__name__}, {expected}")
    token, expiry = given[:2]
    if not isinstance(token, str) or not isinstance(expiry, (int, float)):
        raise ValueError(f"found ({type(token).__name__}, {type(expiry).__name__}), {expected}")
    if expiry <= now:
        raise ValueError(f"the token has expired already: found {expiry}, and now it is {now:.0f}")
    if expiry > now + 100 * 365 * 86_400:
        raise ValueError(f"found an expiry of {expiry}, expected seconds since 1970: these seem to be milliseconds")


if __name__ == "__main__":
    sys.exit(trial(load, TokenSourceError))
