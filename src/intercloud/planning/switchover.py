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
"""What crosses in this time is not worth waiting to shrink: it is less than the rest of a switchover."""
QUIET = 1 / 5
"""Who writes no more than this part of the link needs no round more: what it writes in an approach, some 0.2 s, crosses
in 0.04 s. An idle guest with 128 MiB of memory is found to write 0 or 1 MiB/s, in which QEMU counts."""
LAST = Bytes(256 * 1024)
"""A round that begins with less may be the one after which QEMU finds next to nothing: then it begins one after the
other, and hears no command, or stops the guest itself (before release 8.2)."""
PATIENCE = Seconds(0.5)
"""In this time of waiting the sum that is accepted doubles, so that an approach always ends."""


@dataclass(frozen=True)
class Standing:
    """One server during the approach.

    remaining: bytes known to be unsent; round_size: bytes that its last round began with; round_age: seconds since
    that round began; round_time: seconds that such a round takes; rounds: begun since the approach began;
    awake: it has sent something since then (QEMU notes within 100 ms that it may);
    stopped: its guest is, by QEMU that found nothing left, or by whoever was cut off in a switchover; settled: no round
    more is needed; round_before: bytes that the round before the last began with, None: before the approach.
    """

    remaining: Bytes
    round_size: Bytes
    round_age: Seconds
    round_time: Seconds
    rounds: int
    awake: bool = True
    stopped: bool = False
    settled: bool = False
    round_before: Bytes | None = None

    @property
    def unsent(self) -> float:
        """Bytes to send if it were frozen now.

        Between two rounds a hot set is dirtied again, all of it by the time that the round has been sent.
        """
        share = min(1.0, self.round_age / self.round_time) if self.round_time > 0 else 1.0
        return self.remaining + self.round_size * share


def settled(remaining: Bytes, awake: bool = True, stopped: bool = False) -> Standing:
    """Say how one stands that needs no round more."""
    none, now = Bytes(0), Seconds(0)
    return Standing(remaining, none, now, now, 1, awake, stopped, settled=True, round_before=none)


def is_quiet(dirty_rate: float | None, link: BitsPerSecond) -> bool:
    """Whether a server needs no round more. dirty_rate: bytes a second; None: not known."""
    return dirty_rate is not None and dirty_rate * 8 <= link * QUIET


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
    A server that is stopped decides for all: it must not stand still alone. So does one that is about to, though
    others may not be awake yet: what comes for it before its traffic is turned is lost.
    """
    if any(each.stopped or (each.rounds and not each.settled and each.round_size < LAST) for each in standings):
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
