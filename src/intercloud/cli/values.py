"""Values as people write them on a command line."""

import argparse
import re

_TIME = {"ms": 1e-3, "s": 1.0}
_RATE = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


def _measure(text: str, units: dict[str, float], example: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)", text.strip().lower())
    if not match or match[2] not in units:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number with a unit ({', '.join(units)}), as {example}")
    return float(match[1]) * units[match[2]]


def seconds(text: str) -> float:
    """'25ms' → 0.025."""
    return _measure(text, _TIME, "25ms")


def rate(text: str) -> float:
    """'400mbit' → 4e8 bits a second."""
    return _measure(text, _RATE, "400mbit")


def share(text: str) -> float:
    """'0.5%' → 0.005."""
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = -1
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a percentage from 0% to less than 100%, as 0.5%")
    return value


def names(text: str) -> frozenset[str]:
    """'web,app' → the set of both."""
    found = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected names separated by commas, as web,app")
    return found
