"""Units as types, and how they are written for people. Time is in seconds, sizes in bytes, rates in bits a second."""

from typing import NewType

Bytes = NewType("Bytes", int)
Seconds = NewType("Seconds", float)
BitsPerSecond = NewType("BitsPerSecond", float)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def show_bytes(size: float) -> str:
    """1536 → '1.5 KiB'."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(size) >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"


def show_seconds(time: float) -> str:
    """0.00029 → '290 µs', 0.0314 → '31.4 ms', 75.0 → '75.0 s'."""
    if 0 < abs(time) < 0.001:
        return f"{time * 1e6:.0f} µs"
    return f"{time * 1000:.1f} ms" if abs(time) < 1 else f"{time:.1f} s"


def show_rate(rate: float) -> str:
    """4e8 → '400.0 Mbit/s'."""
    for unit, name in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if abs(rate) >= unit:
            return f"{rate / unit:.1f} {name}"
    return f"{rate:.0f} bit/s"
