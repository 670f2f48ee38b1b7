"""The settings of membership, and how they must relate.

The defaults find a killed member among three to five in about 2.6 to 3.5 s and leave room for a pause of 2 s.

Not here: where they come from (node/settings).
"""

from __future__ import annotations

import msgspec


class MembershipConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds. Names as in memberlist where there is the same setting."""

    probe_interval_s: float = 0.5
    """One member is probed per interval; a probe has failed when its interval is over."""
    probe_timeout_s: float = 0.2
    """After this time without an ack other members are asked to ping."""
    indirect_probes: int = 3
    suspicion_mult: int = 4
    """The shortest suspicion, in probe intervals, times log10 of the number of members."""
    suspicion_max_mult: int = 6
    """The longest suspicion, one that nobody confirms, as a multiple of the shortest."""
    confirmations: int = 2
    """The number of further accusers after which a suspicion has its shortest time."""
    gossip_interval_s: float = 0.2
    gossip_fanout: int = 3
    retransmit_mult: int = 4
    """A claim is told `retransmit_mult * ceil(log10(n + 1))` times by each who hears it."""
    push_pull_interval_s: float = 3.0
    """Stretched with the number of members beyond 16."""
    retry_interval_s: float = 1.0
    """Between attempts to reach the dead, the left and the join addresses."""
    retried_max: int = 3
    """Dead or left members tried in one interval."""
    health_max: int = 7
    """Local health multiplies probe interval and timeout by 1 to `health_max + 1`."""
    forget_after_s: float = 86_400.0
    """Members that are dead or have left are forgotten after this time."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            least = 0 if name in ("confirmations", "health_max") else None
            if value < 0 or (value == 0 and least is None):
                raise ValueError(f"{name} is {value}: must be more than 0")
        if self.probe_timeout_s * 2 > self.probe_interval_s:
            raise ValueError("probe_timeout_s must be at most half of probe_interval_s: others need as long to answer")
        if self.gossip_interval_s > self.probe_interval_s:
            raise ValueError("gossip_interval_s must be at most probe_interval_s: an accusation must get around")
        if self.forget_after_s < 10 * self.retry_interval_s:
            raise ValueError("forget_after_s must be at least ten times retry_interval_s")
