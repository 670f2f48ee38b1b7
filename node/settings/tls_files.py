"""Whether the files that `[tls]` names can be used, as a worker will.

Not here: using them (gateway/link/certificates.py).
"""

from __future__ import annotations

from gateway.link.certificates import CertificateError, context_of
from node.settings.effective import Effective
from node.settings.layers import Problem


def problems(effective: Effective) -> list[Problem]:
    """What is wrong with the files, once everything that they need is given."""
    tls = effective.settings.tls
    others = {problem.key for problem in effective.problems + effective.missing()}
    if not tls.certificate or any(key.startswith("tls.") for key in others):
        return []
    try:
        context_of(tls.certificate, tls.key, tls.client_ca, tls.client_certificates)
    except CertificateError as error:
        return [Problem(effective.source("tls.certificate"), "tls.certificate", f"cannot be used: {error}")]
    return []
