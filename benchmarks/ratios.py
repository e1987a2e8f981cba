"""Ratios of one sample's figures to limits that are computed from other figures of the same sample: pure."""

from collections.abc import Mapping

RATIOS = (
    ("blackout_to_limit", "blackout_s", "limit_s"),
    ("total_to_minimum", "transfer_s", "minimum_s"),
    ("makespan_to_bound", "transfer_s", "bound_s"),
    ("sent_to_unique", "sent_bytes", "unique_bytes"),
    ("sent_to_distinct", "sent_bytes", "distinct_bytes"),
    ("split_to_blackout", "split_s", "blackout_s"),
)
"""Ratio, numerator, denominator."""


def derive(figures: Mapping[str, float]) -> dict[str, float]:
    """Add what follows from the others.

    minimum_s: U / B + tau, the time in which everything that must cross once could have crossed (devices' states, some
    0.2 MB a server, left out); bound_s: the same for the makespan of a cluster, without tau.
    """
    found = dict(figures)
    if "unique_bytes" in found and "rate_bit_s" in found:
        found["bound_s"] = found["unique_bytes"] * 8 / found["rate_bit_s"]
        found["minimum_s"] = found["bound_s"] + found.get("rtt_s", 0.0) / 2
    for name, numerator, denominator in RATIOS:
        if numerator in found and found.get(denominator):
            found[name] = found[numerator] / found[denominator]
    return found
