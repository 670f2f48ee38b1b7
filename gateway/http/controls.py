"""The controls of a demo: over HTTP a node can be killed, and cut off from the others for a while.

Only known pages may use them (origins.py), and only with the header `MARK`: a browser sends it for a foreign page only
after asking the node whether it may. Who sends no Origin is no page of a browser's, and needs the header alone.

Not here: whether there are controls at all (`GatewaySettings.controls`), killing and cutting (the node).
"""

from __future__ import annotations

import re

KILL, CUT = "/v1/demo/kill", "/v1/demo/cut"
"""POST; there only in a demo. The node is asked `demo/kill`, or `demo/cut?seconds=N`."""
MARK = "X-Whimbrel-Demo"
"""A request header, with the value 1, without which a node cannot be killed or cut off."""
CUT_S_MAX = 120

_SECONDS = re.compile(r"seconds=([1-9][0-9]{0,2})")


def cut_s(query: str) -> int | None:
    """The N of `seconds=N`, for how long to cut a node off; None if that is not what the query says."""
    found = _SECONDS.fullmatch(query)
    return int(found[1]) if found is not None and int(found[1]) <= CUT_S_MAX else None
