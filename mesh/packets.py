"""Everything that nodes say to each other over ZeroMQ, for the codec. Each packet is defined by the core that takes it.

Not here: datagrams between members (membership_packets.py), bytes (wire.py).
"""

from __future__ import annotations

from typing import TypeAlias

from mesh.catch_up import CatchUpPacket
from mesh.feed_log import FeedPacket
from mesh.peer_scan import PeerScanPacket
from mesh.replica import ReplicaPacket

Packet: TypeAlias = ReplicaPacket | CatchUpPacket | PeerScanPacket | FeedPacket
