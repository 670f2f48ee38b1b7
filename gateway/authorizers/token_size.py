"""How long a token may be, for those that look into tokens and those that pass them on.

Not here: what a token says (jwt.py).
"""

from __future__ import annotations

from gateway.link import codes
from whimbrel_server import Refusal

TOKEN_BYTES_MAX = 16 * 1024


def check_size(token: str) -> None:
    """Refuse a token that is too long, before it costs anything.

    Raises:
        Refusal: It is.
    """
    if len(token.encode(errors="replace")) > TOKEN_BYTES_MAX:
        raise Refusal(f"token: longer than {TOKEN_BYTES_MAX} bytes", codes.TOKEN_INVALID)
