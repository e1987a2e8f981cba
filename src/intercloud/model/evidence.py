"""What proves that a disk is whole: a digest of each of its blocks, and a root over them. Pure.

A file of evidence is one line of JSON, then the block digests as they are. The line names the run, the disk, and the
root, so that a damaged file of evidence is found too. Version 1 is read for ever.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Literal

from blake3 import blake3
from pydantic import Field, TypeAdapter, ValidationError

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
class DiskEvidence:
    """The source's disk as it was when the target took over."""

    subject: Subject
    blocks: BlockDigests


@dataclass(frozen=True)
class Head:
    """The first line of a file of evidence."""

    subject: Subject
    size: Annotated[int, Field(ge=0)]
    root: str
    format: Literal["intercloud evidence"] = "intercloud evidence"
    version: Literal[1] = 1
    block: Literal[65536] = BLOCK


_HEAD = TypeAdapter(Head)


def encode(evidence: DiskEvidence) -> bytes:
    """Write a file of evidence."""
    blocks = evidence.blocks
    return _HEAD.dump_json(Head(evidence.subject, blocks.size, blocks.root())) + b"\n" + blocks.digests


def decode(content: bytes) -> DiskEvidence:
    """Read what encode wrote. Raises ValueError, saying what is wrong with it."""
    line, _, digests = content.partition(b"\n")
    head = _head(line)
    blocks = BlockDigests(Bytes(head.size), digests)
    if blocks.root() != head.root:
        raise ValueError("its digests are not those that its root was made of")
    return DiskEvidence(head.subject, blocks)


def decode_subject(line: bytes) -> Subject:
    """Read the first line only. Raises ValueError as decode does."""
    return _head(line).subject


def _head(line: bytes) -> Head:
    try:
        return _HEAD.validate_json(line)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise ValueError(f"its first line is not one of evidence, version 1 ({place or 'not JSON'})") from None
