"""What proves that a disk is whole: a digest of each of its blocks, and a root over them. Pure.

A file of evidence is one line of JSON, then the block digests as they are. The line names the run, the disk, and the
root, so that a damaged file of evidence is found too. Version 1 is read for ever.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, fields
from typing import Any

from blake3 import blake3

from intercloud.units import Bytes

BLOCK = 64 * 1024
"""Bytes digested together; the granularity of the dirty bitmaps too."""
LENGTH = 32
"""Bytes of a digest."""
FORMAT, VERSION = "intercloud evidence", 1
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


def differences(one: BlockDigests, other: BlockDigests, without: Set[int] = NO_BLOCKS) -> tuple[int, ...]:
    """Numbers of the blocks that differ, or that only one side has; those of `without` are not compared."""
    if one == other:
        return ()
    numbers = range(max(one.count, other.count))
    return tuple(number for number in numbers if number not in without and one.of(number) != other.of(number))


@dataclass(frozen=True)
class Subject:
    """What a file of evidence is about: one disk of one server, moved by one run.

    taken_at: seconds since 1970. bitmap: the target's dirty bitmap that notes what is written from then on.
    """

    run: str
    cluster: str
    source: str
    target: str
    server: str
    disk: str
    taken_at: float
    bitmap: str


@dataclass(frozen=True)
class Evidence:
    """The source's disk as it was when the target took over."""

    subject: Subject
    blocks: BlockDigests


def encode(evidence: Evidence) -> bytes:
    """Write a file of evidence."""
    blocks = evidence.blocks
    head = {"format": FORMAT, "version": VERSION, **asdict(evidence.subject)}
    head |= {"size": blocks.size, "block": BLOCK, "root": blocks.root()}
    return json.dumps(head).encode() + b"\n" + blocks.digests


def decode(content: bytes) -> Evidence:
    """Read what encode wrote. Raises ValueError, saying what is wrong with it."""
    line, _, digests = content.partition(b"\n")
    head = _head(line)
    blocks = BlockDigests(Bytes(head["size"]), digests)
    if blocks.root() != head["root"]:
        raise ValueError("its digests are not those that its root was made of")
    return Evidence(_subject(head), blocks)


def decode_subject(line: bytes) -> Subject:
    """Read the first line only. Raises ValueError as decode does."""
    return _subject(_head(line))


def _head(line: bytes) -> dict[str, Any]:
    try:
        head: dict[str, Any] = json.loads(line)
        known = (head["format"], head["version"], head["block"]) == (FORMAT, VERSION, BLOCK)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("its first line is not that of a file of evidence") from error
    names = {"size", "root", *(field.name for field in fields(Subject))}
    if not known or names - head.keys():
        raise ValueError(f"expected version {VERSION} of the format, with blocks of {BLOCK} bytes")
    return head


def _subject(head: dict[str, Any]) -> Subject:
    return Subject(**{field.name: head[field.name] for field in fields(Subject)})
