"""How a publish is marked in a record of Kafka, so that a second attempt of it can be told from a copy of its headers.

Others copy headers to records of their own: to other topics and keys (stream processors, mirrors), or back into the
same ones (what is driven again after an error). So a mark proves nothing by itself. It names the publish (publisher,
seq), and the attempt: one record that one node has produced. A check binds it all to topic and key. Then

    same publish, another attempt, same topic and key      -> a repeat: a node has tried again
    same publish, same attempt a second time               -> somebody's copy: a record like any other
    another topic or key, or anything missing or not ours  -> a record like any other

The check is no signature: whoever may write into a topic, and means to, can make marks.

Not here: which attempts a log has had (mesh/repeats.py), the publishes of this node (publishing.py).
"""

from __future__ import annotations

from hashlib import blake2b

from mesh.log import Headers
from mesh.repeats import Attempt, PublishKey

PUBLISHER_HEADER = "whimbrel-publisher"
SEQ_HEADER = "whimbrel-seq"
ATTEMPT_HEADER = "whimbrel-attempt"
"""`<name of the attempt>.<check>`."""

_SEQ_DIGITS_MAX = 16
_CHECK_BYTES = 8


def mark(publish: PublishKey, attempt_name: str) -> tuple[Headers, Attempt]:
    """The headers of one attempt, and the attempt as `marked` finds it again.

    Args:
        attempt_name: No other attempt of any node has or had it; ASCII, without a dot.
    """
    publisher, seq, subject = publish
    who, number, name = publisher.encode(), b"%d" % seq, attempt_name.encode()
    check = _check(who, number, name, subject)
    headers: Headers = [(PUBLISHER_HEADER, who), (SEQ_HEADER, number), (ATTEMPT_HEADER, name + b"." + check)]
    return headers, int(check, 16)


def marked(subject: str, headers: Headers | None) -> tuple[PublishKey, Attempt] | None:
    """Which publish a record is, and which attempt of it, if it came in through a gateway."""
    if not headers:
        return None
    publisher = seq = attempt = None
    for name, value in headers:
        if name == PUBLISHER_HEADER:
            publisher = value
        elif name == SEQ_HEADER:
            seq = value
        elif name == ATTEMPT_HEADER:
            attempt = value
    if publisher is None or seq is None or attempt is None or not seq.isdigit() or len(seq) > _SEQ_DIGITS_MAX:
        return None
    attempt_name, _, check = attempt.partition(b".")
    if check != _check(publisher, seq, attempt_name, subject):
        return None
    return (publisher.decode("latin-1"), int(seq), subject), int(check, 16)


def _check(publisher: bytes, seq: bytes, attempt_name: bytes, subject: str) -> bytes:
    text = b"\0".join((seq, attempt_name, subject.encode(), publisher))
    return blake2b(text, digest_size=_CHECK_BYTES).hexdigest().encode()
