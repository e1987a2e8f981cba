"""When a gang is frozen: the moment at which the least is left to send while nobody runs.

All servers of the gang approach together, sending at full speed while they run. Once frozen, what crosses the link is
what each one has not sent yet plus what it has dirtied since QEMU last looked. That sum rises and falls with the
rounds; this module says when it is as small as it will be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from intercloud.planning.brink import SHRINKING
from intercloud.units import BitsPerSecond, Bytes, Seconds

SMALL = Seconds(0.020)
"""What crosses in this time is not worth waiting to shrink: it is less than the rest of a switchover. On a fast link an
idle guest would run dry meanwhile, and be stopped by QEMU before its traffic is turned."""
LAST = Bytes(256 * 1024)
"""A round that begins with less may be the one after which QEMU finds next to nothing and stops the guest itself."""
PATIENCE = Seconds(0.5)
"""In this time of waiting the sum that is accepted doubles, so that an approach always ends."""


@dataclass(frozen=True)
class Standing:
    """One server during the approach.

    remaining: bytes known to be unsent; round_size: bytes that its last round began with; round_age: seconds since
    that round began; round_time: seconds that such a round takes; rounds: begun since the approach began;
    awake: it has sent something since then (QEMU notes within 100 ms that it may);
    stopped: QEMU found nothing left to send and stopped the guest by itself; round_before: bytes that the round before
    the last began with, None if that began before the approach.
    """

    remaining: Bytes
    round_size: Bytes
    round_age: Seconds
    round_time: Seconds
    rounds: int
    awake: bool = True
    stopped: bool = False
    round_before: Bytes | None = None

    @property
    def unsent(self) -> float:
        """Bytes to send if it were frozen now.

        Between two rounds a hot set is dirtied again, all of it by the time that the round has been sent.
        """
        share = min(1.0, self.round_age / self.round_time) if self.round_time > 0 else 1.0
        return self.remaining + self.round_size * share


def blackout(standings: Sequence[Standing], bandwidth: BitsPerSecond, overhead: Seconds) -> Seconds:
    """Expected blackout of the gang if it were frozen now.

    overhead: flows, devices' state, loading, resuming. Source: PERFORMANCE §4, formula (4) with Q = 0.
    """
    return Seconds(sum(each.unsent for each in standings) * 8 / bandwidth + overhead)


def shrinks(standings: Sequence[Standing]) -> bool:
    """Whether a round more will find less to send, as far as the last two tell; where they do not yet, it may."""
    before = [each.round_before for each in standings]
    known = sum(each or 0 for each in before)
    return None in before or sum(each.round_size for each in standings) < SHRINKING * known


def freeze_now(standings: Sequence[Standing], waited: Seconds | None, link: BitsPerSecond) -> bool:
    """Decide whether this is the moment.

    waited: seconds since the rounds have shown what one costs at best; None: they shrink. link: bit/s, for all of them.
    A server that stopped by itself decides for all: it must not stand still alone. So does one that is about to, though
    others may not be awake yet: what comes for it before its traffic is turned is lost.
    """
    if any(each.stopped or (each.rounds and each.round_size < LAST) for each in standings):
        return True
    if not all(each.awake for each in standings):
        return False
    unsent, small = sum(each.unsent for each in standings), link / 8 * SMALL
    if unsent <= small:
        return True
    if waited is None or not all(each.rounds for each in standings):
        return False
    least = sum(each.round_size for each in standings)  # what a hot set costs at best
    accepted = max(small, 1.1 * least) * (1 + max(0.0, waited - PATIENCE) / PATIENCE)
    return unsent <= accepted
