"""From the rounds of a pre-copy so far to what is done next: go on, hold, post-copy, or give up. Never endless."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from intercloud.model.strategy import Catchup
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

BRINK = Bytes(8 * MIB)
"""A round that begins with less than this is held: the rest is a matter of the switchover."""
SHRINKING = 0.8
"""A round that begins with less than this part of the one before is progress worth another round."""
STUCK = 3
"""So many rounds in a row without progress show that pre-copy does not converge, whatever was measured before it, and
though the guest be slowed down: QEMU goes on with that until it has nine tenths of the guest's time."""
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


def next_move(rounds: Sequence[Bytes], allowed: Allowed, catchup: Catchup) -> Next:
    """Decide after a round has begun. rounds: bytes that each one from the second on began with.

    A hot set that does not shrink any more is accepted when sending it takes less than max_blackout; else it follows
    by post-copy.
    """
    begun = rounds[-1]
    if begun <= BRINK:
        return Next.HOLD
    if catchup is Catchup.POSTCOPY:
        return Next.POSTCOPY
    stuck = [later > SHRINKING * earlier for earlier, later in pairwise(rounds)]
    if stuck and stuck[-1] and begun * 8 / allowed.share <= allowed.max_blackout:
        return Next.HOLD
    if allowed.postcopy and len(stuck) >= STUCK and all(stuck[-STUCK:]):
        return Next.POSTCOPY
    if len(rounds) < MOST_ROUNDS:
        return Next.GO_ON
    return Next.POSTCOPY if allowed.postcopy else Next.GIVE_UP
