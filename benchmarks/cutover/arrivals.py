"""From numbered packets and where they arrived to what was lost, and whether the endpoint moved at all. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from intercloud.endpoints.downtime import Samples, measure
from intercloud.units import Seconds

Arrivals = Sequence[tuple[int, float]]
"""(number, when it came), in order of time; seconds on the monotonic clock."""


@dataclass(frozen=True)
class Seen:
    """One stream of packets, numbered from 0. sent: when each was; at: site → what came there.

    interval_s: from one packet to the next as intended; late_s: the longest time by which the sender missed that.
    """

    sent: Sequence[float]
    at: Mapping[str, Arrivals]
    interval_s: float
    late_s: float


def without(seen: Seen, site: str, since: float) -> Seen:
    """The same if nobody was at a site from that moment on: what came there later reached nobody."""
    heard = [(number, at) for number, at in seen.at[site] if at < since]
    return replace(seen, at={**seen.at, site: heard})


def figures(seen: Seen) -> dict[str, float]:
    """Count what reached nobody and what was delivered twice, and find the longest time without a first delivery."""
    came = [each for here in seen.at.values() for each in here]
    found = measure(
        Samples(seen.sent, [number for number, _ in came], [at for _, at in came], Seconds(seen.interval_s))
    )
    return {
        "lost": found.lost,
        "duplicated": found.duplicated,
        "gap_s": found.downtime,
        "late_s": seen.late_s,
    }


def stale(seen: Seen, old: str, since: float) -> int:
    """Count packets that came to the old place since a moment."""
    return sum(at >= since for _, at in seen.at[old])


def mistake(seen: Seen, old: str, new: str, began: float) -> str | None:
    """Say why this was no move of an endpoint from the old place to the new one; None when it was."""
    before = {site: sum(at < began for _, at in here) for site, here in seen.at.items()}
    if not before[old] or before[new]:
        return f"before the act {before[old]} packets came to {old} and {before[new]} to {new}: it was not at {old}"
    last = {site: max((number for number, _ in here), default=-1) for site, here in seen.at.items()}
    if last[new] <= last[old]:
        return f"after the act packets still went to {old}, the last of {len(seen.sent)} was number {last[old]}"
    return None
