"""Which strategy each server moves by, and why."""

from collections.abc import Set

from intercloud.clouds.ability import Ability
from intercloud.model.strategy import Catchup, Choice, Strategy
from intercloud.planning.brink import SHRINKING
from intercloud.units import BitsPerSecond

NEEDS = {
    Strategy.LIVE: (Ability.HYPERVISOR, Ability.HYPERVISOR),
    Strategy.WARM: (Ability.WARM, Ability.COLD),
    Strategy.COLD: (Ability.COLD, Ability.COLD),
}
"""What a strategy needs at the source and at the target: a warm move fills disks of a stopped server, as a cold one."""
BEST = {
    Strategy.LIVE: "both clouds give access to the hypervisor",
    Strategy.WARM: "the source's disks can be read while the servers run",
}
"""Strategies better than cold, the best first, each with what makes it possible."""


def choose(wanted: str, source: Set[Ability], target: Set[Ability]) -> Choice:
    """Choose a strategy. wanted: 'auto' or a strategy's name, which is then taken as an order, possible or not.

    Whether an ordered strategy is possible is a finding of the pre-flight (`impossible`), not a surprise here.
    """
    if wanted != "auto":
        return Choice(Strategy(wanted), "as ordered")
    lacking: list[str] = []
    for strategy, reason in BEST.items():
        if (lack := impossible(strategy, source, target)) is None:
            return Choice(strategy, "; ".join([*lacking, reason]))
        lacking.append(f"{strategy} impossible: {lack}")
    return Choice(Strategy.COLD, "; ".join(lacking))


def impossible(strategy: Strategy, source: Set[Ability], target: Set[Ability]) -> str | None:
    """Say why a strategy cannot be used between these clouds, or None."""
    at_source, at_target = NEEDS[strategy]
    for abilities, needed, side in ((source, at_source, "source"), (target, at_target, "target")):
        if needed not in abilities:
            return f"the {side} does not offer '{needed}'"
    return None


def catch_up(dirty_rate: float, share: BitsPerSecond, postcopy: bool) -> tuple[Catchup, str]:
    """Decide before the copy what a busy guest will need.

    dirty_rate: bytes a second, measured; share: what the link gives to this server; postcopy: both clouds can and the
    plan allows it. Pre-copy shrinks by dirty_rate/share in each round, so at half the share it halves (PERFORMANCE §4,
    formula 2) and nothing needs to be done; at so much that its rounds would not be progress, none is waited for.
    """
    rho = dirty_rate * 8 / share
    if rho < 0.5:
        return Catchup.NONE, f"writes {rho:.2f} of its share of the link: pre-copy converges"
    if rho < SHRINKING or not postcopy:
        return Catchup.AUTO_CONVERGE, f"writes {rho:.2f} of its share of the link: slowed down by auto-converge"
    return Catchup.POSTCOPY, f"writes {rho:.2f} of its share of the link: the rest follows by post-copy"
