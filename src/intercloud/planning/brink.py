"""From the rounds of a pre-copy so far to what is done next: go on, hold, post-copy, or give up. Never endless."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from intercloud.model.strategy import Catchup
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

BRINK = Bytes(8 * MIB)
"""A round that begins with less than this is held: the rest is a matter of the switchover."""
LONGEST_SECOND = Seconds(2.0)
"""A second round that takes no longer is left to the approach."""
TAIL = Bytes(2 * MIB)
"""What is at least left of a first round when it is held before it ends."""
SHORTEST_ROUND = Seconds(0.3)
"""A first round takes so long at least: of a small memory on a fast link nobody would see the end coming."""
WINDOW = 0.15
"""Seconds: one of QEMU's windows, in whose beginning it sends all that a limit allows in it, and some more."""
REACTION = 0.050
"""Seconds: more crosses in them than is not waited for in the approach, and than a look and a command take."""
SHRINKING = 0.8
"""A round that begins with less than this part of the one before is progress worth another round."""
STUCK = 3
"""So many rounds in a row without progress show that pre-copy does not converge, whatever was measured before it."""
MOST_ROUNDS = 30


class Next(Enum):
    """What to do with one server's pre-copy."""

    GO_ON = auto()
    HOLD = auto()
    POSTCOPY = auto()
    GIVE_UP = auto()


@dataclass(frozen=True)
class Allowed:
    """What one server may use. share: bit/s of the link; max_blackout: seconds; postcopy: permitted."""

    share: BitsPerSecond
    max_blackout: Seconds
    postcopy: bool


@dataclass(frozen=True)
class Pacing:
    """How a first round is sent.

    bandwidth: bytes a second, None: no limit; tail: it is held when no more than this is left.
    """

    bandwidth: float | None
    tail: Bytes


def pacing(memory: Bytes, link: BitsPerSecond) -> Pacing:
    """Say how to send a memory so that the end of its first round can be held: an idle guest would be stopped by it."""
    most = memory / SHORTEST_ROUND
    if link / 8 <= most:
        return Pacing(None, max(TAIL, Bytes(round(link / 8 * REACTION))))
    return Pacing(most, max(TAIL, Bytes(round(most * WINDOW))))


def is_near(left: Bytes, dirty_rate: float | None, since: Seconds, share: BitsPerSecond) -> bool:
    """Whether what is left of a first round, and what was written meanwhile, are a matter of the switchover already.

    Its approach goes on round by round, which shrink where the guest writes at most half of what it may send.
    dirty_rate: bytes a second, measured in this round; None: not known. since: seconds that it has taken.
    """
    if dirty_rate is None or dirty_rate * 8 > share / 2:
        return False
    return (left + dirty_rate * since) * 8 <= share * LONGEST_SECOND


def next_move(rounds: Sequence[Bytes], allowed: Allowed, catchup: Catchup) -> Next:
    """Decide after a round has begun. rounds: bytes that each one from the second on began with.

    A hot set that does not shrink any more is accepted when sending it takes less than max_blackout; else it follows
    by post-copy, at once where nothing slows the guest down.
    """
    begun = rounds[-1]
    if begun <= BRINK:
        return Next.HOLD
    if catchup is Catchup.POSTCOPY:
        return Next.POSTCOPY
    stuck = [later > SHRINKING * earlier for earlier, later in pairwise(rounds)]
    if stuck and stuck[-1] and begun * 8 / allowed.share <= allowed.max_blackout:
        return Next.HOLD
    if catchup is Catchup.NONE and allowed.postcopy and len(stuck) >= STUCK and all(stuck[-STUCK:]):
        return Next.POSTCOPY
    if len(rounds) < MOST_ROUNDS:
        return Next.GO_ON
    return Next.POSTCOPY if allowed.postcopy else Next.GIVE_UP
