"""What has changed of a server's disk since earlier snapshots of it, as far as peers may hold them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from intercloud.clouds.block_digests import digest_all
from intercloud.clouds.blocks import of_blocks
from intercloud.clouds.port import Extent
from intercloud.model.digests import LENGTH, BlockDigests, block_count, differences
from intercloud.units import Bytes

SIZE = 8
"""Bytes that tell a disk's size."""


@dataclass(frozen=True)
class Marks:
    """The marks of one server's disk. folder: of a file for each.

    A file holds the disk's size, the digests of the content's blocks, and a byte for each block: 1 when it differed in
    any later content. So what is told of a mark only grows, as a record of writes does: a peer that was given a part of
    one change can go on with a later one.
    """

    folder: Path

    @contextmanager
    def offered(self, uri: str, *, lasting: bool) -> Iterator[tuple[str | None, dict[str, tuple[Extent, ...]]]]:
        """Yield a content's mark, and what has changed since each that is known. uri: where the content is read.

        lasting: more contents will follow; only then it has a mark. When the context ends well, it is the only one.
        """
        known = sorted(self.folder.glob("*")) if self.folder.exists() else []
        if not known and not lasting:
            yield None, {}
            return
        now = digest_all(uri)
        changed = {path.name: of_blocks(grown, now.size) for path in known if (grown := _grow(path, now)) is not None}
        if not lasting:
            yield None, changed
            return
        mark = secrets.token_hex(8)
        yield mark, changed
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / mark, now, bytes(now.count))
        for path in known:
            path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Know of no earlier content any more. Safe to repeat."""
        for path in self.folder.glob("*"):
            path.unlink(missing_ok=True)


def _grow(path: Path, now: BlockDigests) -> set[int] | None:
    """Add to a mark what differs now; returns the blocks that have ever differed, None for a disk of another size."""
    content = path.read_bytes()
    size = Bytes(int.from_bytes(content[:SIZE], "big"))
    if size != now.size:
        return None
    end = SIZE + block_count(size) * LENGTH
    before, ever = BlockDigests(size, content[SIZE:end]), bytearray(content[end:])
    for number in differences(before, now):
        ever[number] = 1
    _write(path, before, bytes(ever))
    return {number for number, differed in enumerate(ever) if differed}


def _write(path: Path, content: BlockDigests, ever: bytes) -> None:
    new = path.parent.with_name(f"{path.parent.name}.new")
    new.write_bytes(content.size.to_bytes(SIZE, "big") + content.digests + ever)
    new.replace(path)
