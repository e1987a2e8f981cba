"""How a server moves: the words for it."""

from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    """How a server moves."""

    LIVE = "live"
    WARM = "warm"
    COLD = "cold"


class Catchup(StrEnum):
    """What is done about a guest that writes its memory faster than the link carries it."""

    NONE = "none"
    AUTO_CONVERGE = "auto-converge"
    POSTCOPY = "post-copy"


@dataclass(frozen=True)
class Choice:
    """One server's strategy. why: one line for people."""

    strategy: Strategy
    why: str
    catchup: Catchup = Catchup.NONE
