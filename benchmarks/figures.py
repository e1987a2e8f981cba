"""Figures and settings in words and with units: how whatever shows a result names and writes them.

A figure's unit is the end of its name, see benchmarks/result.py.
"""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.result import Setting

NONE = "-"
WORDS: Mapping[str, str] = {
    "migration_s": "migration time (request to source released)",
    "transfer_s": "first byte to last server resumed",
    "worst_gap_s": "client's worst gap over all streams",
    "blackout_s": "longest blackout that a client saw",
    "limit_s": "limit of the link, (W + S)/B + τ",
    "blackout_to_limit": "longest blackout / limit",
    "split_s": "split window (first pause to last resume)",
    "split_to_blackout": "split window / longest blackout",
    "reconfiguration_s": "network reconfiguration, all switches",
    "reconfiguration_per_switch_s": "network reconfiguration, each switch",
    "barrier_s": "bare barrier",
    "ratio_to_barrier": "reconfiguration of a switch / its bare barrier",
    "minimum_s": "least time that a move can take, T_min",
    "total_to_minimum": "total time / T_min",
    "bound_s": "bound of the makespan by bandwidth",
    "makespan_to_bound": "makespan / its bound",
    "sent_bytes": "sent over the WAN",
    "unique_bytes": "had to cross once",
    "distinct_bytes": "distinct in the whole cluster",
    "sent_to_unique": "sent / had to cross once",
    "sent_to_distinct": "sent / distinct in the whole cluster",
    "rounds": "rounds",
    "rate_bit_s": "rate of the WAN, measured",
    "rtt_s": "round trip of the WAN, measured",
    "lost": "packets lost",
    "duplicated": "packets duplicated",
    "stale": "packets that came to the old place afterwards",
    "http_failed": "HTTP requests failed",
    "tcp_broken": "TCP connections broken",
    "writes_lost": "acknowledged writes lost",
    "gap_s": "longest gap between packets",
    "late_s": "prober's own largest delay",
    "rho": "rho (what the servers dirty / what the link carries)",
    "hot_to_limit": "hot set / limit",
    "load": "load average of the machine",
}
"""What is shown of a figure, in the order of a table's rows; any other figure has its own name."""
SETTINGS: Mapping[str, str] = {
    "name": "{}",
    "servers": "{} servers",
    "images": "{} images",
    "hot_mib": "hot set {} MiB",
    "rate_mib_s": "{} MiB/s written",
    "rho": "rho {}",
    "rate_mbit": "{} Mbit/s",
    "delay_ms": "{} ms delay",
    "tunnel": "{}",
    "order": "{}",
    "flows": "{} flows",
    "packets_per_s": "{} packets/s",
    "mtu": "MTU {}",
    "memory_mib": "{} MiB of memory",
    "disk_mib": "{} MiB of disk",
}
SPECIAL: Mapping[tuple[str, Setting], str] = {
    ("servers", 1): "1 server",
    ("flows", 1): "1 flow",
    ("images", "same"): "same image",
    ("hot_mib", 0): "idle",
    ("hot_mib", None): "idle",
    ("rate_mbit", 0): "no rate limit",
    ("rate_mbit", None): "no rate limit",
    ("rate_mbit", "unlimited"): "no rate limit",
}
SCALES: Mapping[str, Sequence[tuple[float, str]]] = {
    "_bit_s": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1, "bit/s")),
    "_bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")),
    "_s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")),
}
"""Units by the end of a figure's name, the longest end and the largest unit first."""


def words(figure: str) -> str:
    """What a figure is, for people."""
    return WORDS.get(figure, figure)


def in_words(settings: Mapping[str, Setting]) -> str:
    """{"hot_mib": 1, "tunnel": "vxlan"} → 'hot set 1 MiB, vxlan'. Nothing is said of most settings that are None."""
    return ", ".join(filter(None, (_setting(name, value) for name, value in settings.items())))


def _setting(name: str, value: Setting) -> str:
    if (name, value) in SPECIAL:
        return SPECIAL[name, value]
    if value is None:
        return ""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return SETTINGS[name].format(shown) if name in SETTINGS else f"{name} {shown}"


def show(figure: str, value: float) -> str:
    """One value with its unit: ("gap_s", 0.0414) → '41.4 ms'."""
    factor, unit = scale(figure, value)
    return f"{digits(value / factor)} {unit}".rstrip()


def spread(figure: str, values: Sequence[float]) -> str:
    """Median and range in one unit: '121 ms (111-139)', or the value alone when all are equal."""
    if not values:
        return NONE
    middle, least, most = statistics.median(values), min(values), max(values)
    if least == most:
        return show(figure, middle)
    factor, unit = scale(figure, middle or most)
    shown = f"{digits(middle / factor)} {unit}".rstrip()
    return f"{shown} ({digits(least / factor)}-{digits(most / factor)})"


def scale(figure: str, value: float) -> tuple[float, str]:
    """Choose the unit in which a value is shown: what to divide it by, and the unit's name."""
    units = next((units for end, units in SCALES.items() if figure.endswith(end)), ((1, ""),))
    size = abs(value) or 1
    return next((unit for unit in units if unit[0] <= size), units[-1])


def digits(value: float) -> str:
    """Three digits, or all before the point: 0.1234 → '0.123', 20370.0 → '20,370'."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
