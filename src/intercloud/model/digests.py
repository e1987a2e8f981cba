"""A disk as the digests of its blocks, and a root over them. Pure, and quick to import: small processes need it."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal

from blake3 import blake3

from intercloud.units import Bytes

BLOCK: Literal[65536] = 65536
"""Bytes digested together; the granularity of the dirty bitmaps too."""
LENGTH = 32
"""Bytes of a digest."""
NO_BLOCKS: frozenset[int] = frozenset()


def digest(block: bytes | memoryview) -> bytes:
    """BLAKE3 of one block."""
    return blake3(block).digest()


ZEROS = digest(bytes(BLOCK))
"""Of a block of zeros, computed once: a sparse disk is mostly zeros."""


def block_count(size: int) -> int:
    """Blocks of a disk; the last may be short."""
    return -(-size // BLOCK)


@dataclass(frozen=True)
class BlockDigests:
    """A disk of `size` bytes as the digests of its blocks, in order. Raises ValueError when their number is wrong."""

    size: Bytes
    digests: bytes

    def __post_init__(self) -> None:
        if len(self.digests) != block_count(self.size) * LENGTH:
            raise ValueError(f"{len(self.digests)} bytes of digests do not belong to a disk of {self.size} bytes")

    @property
    def count(self) -> int:
        """Number of blocks."""
        return block_count(self.size)

    def of(self, number: int) -> bytes:
        """The digest of one block; nothing beyond the end."""
        return self.digests[number * LENGTH : (number + 1) * LENGTH]

    def replaced(self, news: Mapping[int, bytes]) -> "BlockDigests":
        """The same disk with some blocks digested again."""
        digests = bytearray(self.digests)
        for number, new in news.items():
            digests[number * LENGTH : (number + 1) * LENGTH] = new
        return BlockDigests(self.size, bytes(digests))

    def root(self, without: Set[int] = NO_BLOCKS) -> str:
        """One digest for the whole disk, in hexadecimal.

        BLAKE3 over the size in bytes (8 bytes, big-endian), then each block's digest in order; a block of `without`
        counts as 32 zero bytes, so that roots of two sides agree exactly when all their other blocks do.
        """
        counted = self.replaced(dict.fromkeys(without, bytes(LENGTH))) if without else self
        return blake3(self.size.to_bytes(8, "big") + counted.digests).hexdigest()


@dataclass(frozen=True)
class Copies:
    """Both sides of a disk, digested after the target was given the source's content of this mark."""

    mark: str
    source: BlockDigests
    target: BlockDigests


def differences(one: BlockDigests, other: BlockDigests, without: Set[int] = NO_BLOCKS) -> tuple[int, ...]:
    """Numbers of the blocks that differ, or that only one side has; those of `without` are not compared."""
    if one == other:
        return ()
    numbers = range(max(one.count, other.count))
    return tuple(number for number in numbers if number not in without and one.of(number) != other.of(number))
