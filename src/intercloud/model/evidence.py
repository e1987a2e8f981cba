"""What proves that a disk is whole: a file of the digests of its blocks. Pure.

A file of evidence is one line of JSON, then the block digests as they are. The line names the run, the disk, and the
root, so that a damaged file of evidence is found too. Version 1 is read for ever.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from intercloud.model.digests import BLOCK, BlockDigests
from intercloud.units import Bytes


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
