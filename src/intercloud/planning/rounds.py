"""From the rounds of a warm copy so far to what is next: another round, or the stop. Never endless."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from intercloud.units import BitsPerSecond, Bytes, Seconds

MOST_ROUNDS = 10
SHRINKING = 0.8
"""A stop that is expected to take less than this part of what was expected a round ago is worth another round."""


@dataclass(frozen=True)
class Round:
    """One pass over the disks of running servers. moved: bytes; took: seconds from its beginning to its end."""

    moved: Bytes
    took: Seconds


class Next(Enum):
    """What to do after a round."""

    AGAIN = auto()
    STOP = auto()
    """Stop the servers: the last delta is expected to be short."""
    STOP_ANYWAY = auto()
    """Stop the servers: the last delta is expected to be longer than wished, and more rounds would not shorten it."""


def last_delta(rounds: Sequence[Round], rate: BitsPerSecond) -> Seconds | None:
    """Expected time of the last delta if all servers were stopped now; None after the first round: nothing is known.

    What a round moves was written while the one before lasted; so fast it has been written since.
    rate: bit/s of the link.
    """
    if len(rounds) < 2:
        return None
    before, last = rounds[-2:]
    return Seconds(last.moved / before.took * last.took * 8 / rate) if last.moved else Seconds(0)


def next_round(rounds: Sequence[Round], rate: BitsPerSecond, enough: Seconds) -> Next:
    """Decide after a round. rate: bit/s of the link; enough: seconds that the last delta may take."""
    now, before = last_delta(rounds, rate), last_delta(rounds[:-1], rate)
    if now is not None and now <= enough:
        return Next.STOP
    if len(rounds) >= MOST_ROUNDS or (now is not None and before is not None and now > SHRINKING * before):
        return Next.STOP_ANYWAY
    return Next.AGAIN
