"""Everything that nodes say to each other over ZeroMQ, for the codec. Each packet is defined by the core that takes it.

Not here: datagrams between members (membership/packets.py), bytes (transport/wire.py).
"""

from __future__ import annotations

from typing import TypeAlias

from mesh.cache.peer_scan import PeerScanPacket
from mesh.cache.state_transfer import StateTransferPacket
from mesh.feed.feed_log import FeedPacket
from mesh.revocations import RevocationsPacket
from mesh.slots.slots import SlotsPacket

Packet: TypeAlias = SlotsPacket | StateTransferPacket | PeerScanPacket | FeedPacket | RevocationsPacket
