"""What extensions of a Whimbrel server derive from: import it as `whimbrel_server`, a name that stays.

An extension is a class of yours, named in the configuration by entry point or `module:Class`. The guides are
gateway/authorizers/README.md and node/audit/README.md. The server imports these very classes; nothing else of the
server is meant for others.

Not here: the SDK for clients, which is `whimbrel`; loading and asking extensions (gateway/sessions/authority.py).
"""

from whimbrel_server.auditor import AuditEvent, Auditor
from whimbrel_server.authorizer import Authorizer, Refusal
from whimbrel_server.connection import Connection, Identity

__all__ = ["AuditEvent", "Auditor", "Authorizer", "Connection", "Identity", "Refusal"]
