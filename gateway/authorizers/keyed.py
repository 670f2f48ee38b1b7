"""An authorizer whose keys the node fetches. By itself, so that only those who use tokens load what checks them.

Not here: the authorizer that is one (jwt.py), fetching (node/tokens/fetch.py).
"""

from __future__ import annotations

from whimbrel_server import Authorizer


class KeyedAuthorizer(Authorizer):
    """Is told of keys."""

    def keys_fetched(self, url: str, jwks: bytes) -> str:
        """The node has these keys now.

        Returns:
            Why they cannot be used, if they cannot: then those that were told before stay.
        """
        return ""
