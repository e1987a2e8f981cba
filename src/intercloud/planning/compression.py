"""Whether compressing what crosses is faster than the link itself."""

from intercloud.units import BitsPerSecond

FASTEST = BitsPerSecond(2e9)
"""One core compresses some 300 MB/s (zstd, level 1, measured): a link that carries nearly as much needs none of it."""


def is_worth(rate: BitsPerSecond) -> bool:
    """Say whether a link is so slow. rate: bit/s of TCP, measured."""
    return rate < FASTEST
