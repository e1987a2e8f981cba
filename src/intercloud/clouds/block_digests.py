"""Digests of what can be read over NBD, block by block, and what dirty bitmaps that are offered with it mark."""

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import cast
from urllib.parse import urlsplit

from intercloud.clouds.nbd_reader import Reader
from intercloud.errors import TransferError
from intercloud.model.digests import BLOCK, ZEROS, BlockDigests, block_count, digest

AT_ONCE = 16
"""Blocks read with one request."""
PATIENCE = 600.0
"""Seconds for the map of a whole disk."""

GoOn = Callable[[], object]
"""Called between two reads; what it raises ends the reading."""


def to_the_end() -> None:
    """Let nothing but Ctrl-C end a reading."""


def digest_all(uri: str, go_on: GoOn = to_the_end) -> BlockDigests:
    """Digest every block of what an NBD server offers. Holes and zeros are not read."""
    with Reader(uri) as reader:
        blocks = BlockDigests(reader.size, ZEROS * block_count(reader.size))
        data = _blocks(_map("-f", "raw", uri), lambda extent: not extent["zero"])
        if reader.size % BLOCK:
            data.add(blocks.count - 1)  # a short block of zeros has a digest of its own
        return blocks.replaced(dict(_read(reader, data, go_on)))


def digest_blocks(uri: str, numbers: Iterable[int], go_on: GoOn = to_the_end) -> dict[int, bytes]:
    """Digest some blocks of what an NBD server offers: number → digest."""
    with Reader(uri) as reader:
        return dict(_read(reader, numbers, go_on))


def _read(reader: Reader, numbers: Iterable[int], go_on: GoOn) -> Iterator[tuple[int, bytes]]:
    for first, count in runs(sorted(numbers)):
        go_on()
        start = first * BLOCK
        content = reader.read(start, min(count * BLOCK, reader.size - start))
        for number in range(count):
            yield first + number, digest(content[number * BLOCK : (number + 1) * BLOCK])


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Gather ascending numbers into (first, count), AT_ONCE at most."""
    first, count = 0, 0
    for number in numbers:
        if count and (number != first + count or count == AT_ONCE):
            yield first, count
            count = 0
        first, count = (first, count + 1) if count else (number, 1)
    if count:
        yield first, count


def marked_blocks(uri: str, bitmap: str) -> frozenset[int]:
    """Numbers of the blocks that an exported dirty bitmap marks."""
    parts = urlsplit(uri)
    path = uri.partition("socket=")[2].replace(",", ",,")
    server = f"unix,server.path={path}"
    if parts.hostname:
        server = f"inet,server.host={parts.hostname},server.port={parts.port}"
    context = f"x-dirty-bitmap=qemu:dirty-bitmap:{bitmap}"
    image = f"driver=nbd,server.type={server},export={parts.path.removeprefix('/')},{context}"
    # qemu-img shows a dirty bitmap as block status: dirty is 'data: false'
    return frozenset(_blocks(_map("--image-opts", image), lambda extent: not extent["data"]))


def _map(*image: str) -> list[dict[str, int]]:
    done = subprocess.run(
        ["qemu-img", "map", "--output=json", *image],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
        start_new_session=True,  # a Ctrl-C that comes after the commit must not spoil the proof
    )  # fmt: skip
    if done.returncode:
        raise TransferError(f"the map of a disk cannot be read: {done.stderr.strip()}")
    return cast("list[dict[str, int]]", json.loads(done.stdout))


def _blocks(extents: Iterable[dict[str, int]], wanted: Callable[[dict[str, int]], bool]) -> set[int]:
    numbers: set[int] = set()
    for extent in filter(wanted, extents):
        numbers.update(range(extent["start"] // BLOCK, block_count(extent["start"] + extent["length"])))
    return numbers
