"""Parts of disks: which of them hold or may differ, and how just these are carried."""

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from intercloud.clouds.nbd import chunks
from intercloud.clouds.port import Extent, Progress
from intercloud.clouds.run import run
from intercloud.errors import CloudError, TransferError
from intercloud.model.digests import BLOCK, block_count
from intercloud.units import MIB, Bytes

BITMAP = "qemu:dirty-bitmap:"
DEPTH = "qemu:allocation-depth"
GRANULARITY = BLOCK
"""Bytes that one bit of a bitmap stands for; qcow2's cluster too."""
PIECE = Bytes(2 * MIB)
BATCH = 16
"""Pieces that are under way at once: several times what is on the WAN at any moment."""


def kinds(uri: str, context: str, beside: Sequence[str] = ()) -> list[tuple[Extent, int]]:
    """Read what an NBD server says of a disk from its beginning to its end, in one of its meta contexts.

    Raises TransferError when it does not answer.
    """
    words = ["nbdinfo", "--json", f"--map={context}", uri]
    try:
        found = json.loads(run([*beside, *words], timeout=60))
    except CloudError as error:
        raise TransferError(f"the offer {uri} cannot be read: {error}") from error
    return [(Extent(each["offset"], each["length"]), each["type"]) for each in found]


def written(uri: str, bitmap: str) -> tuple[Extent, ...]:
    """Parts that an exported bitmap marks."""
    return tuple(extent for extent, kind in kinds(uri, BITMAP + bitmap) if kind)


def allocated(uri: str, layers: int) -> tuple[Extent, ...]:
    """Parts that the uppermost `layers` layers of a disk hold themselves, zeros among them."""
    return tuple(extent for extent, depth in kinds(uri, DEPTH) if 1 <= depth <= layers)


def held(extents: Sequence[Extent], within: Sequence[Extent]) -> Bytes:
    """Bytes of the parts that lie within others; both in order, neither overlapping itself."""
    total, others = 0, iter(within)
    other = next(others, None)
    for extent in extents:
        while other is not None and other.start < extent.end:
            total += max(0, min(extent.end, other.end) - max(extent.start, other.start))
            if other.end > extent.end:
                break  # it reaches into the next one
            other = next(others, None)
    return Bytes(total)


def pieces(extents: Sequence[Extent]) -> Iterator[Extent]:
    """Cut long parts."""
    for extent in extents:
        for start in range(extent.start, extent.end, PIECE):
            yield Extent(Bytes(start), Bytes(min(PIECE, extent.end - start)))


def pull(beside: Sequence[str], uri: str, extents: Sequence[Extent], layer: Path, progress: Progress) -> Bytes:
    """Read parts of an offer into a new qcow2 layer over it; returns the bytes that crossed: data, not zeros.

    beside: words before a command that can reach it. The layer has the offer as its backing file, which the caller
    changes to what shall lie under it.
    Raises TransferError when the peer goes away or says nothing for two minutes.
    """
    data = [extent for extent, kind in kinds(uri, "base:allocation", beside) if not kind & 2]  # 2: reads as zeros
    total, wanted = held(extents, data), sum(extent.length for extent in extents)
    run([*beside, "qemu-img", "create", "-q", "-f", "qcow2", "-b", uri, "-F", "raw", str(layer)])
    # What is read with copy-on-read stays in the layer.
    reader = ["stdbuf", "-oL", "qemu-io", "-C", "-f", "qcow2", str(layer)]  # it would keep what it says for later
    words = ["setpriv", "--pdeathsig", "KILL", *beside, *reader]
    todo = list(pieces(extents))
    with tempfile.TemporaryFile() as commands:  # it takes one line from a pipe each time that more comes
        for number in range(0, len(todo), BATCH):
            commands.writelines(
                b"aio_read %d %d\n" % (each.start, each.length) for each in todo[number : number + BATCH]
            )
            commands.write(b"aio_flush\n")
        commands.seek(0)
        with subprocess.Popen(words, stdin=commands, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                done, complaint = copied(process, lambda share: progress(Bytes(int(total * share))), wanted)
            finally:
                process.kill()
    if process.returncode or done < wanted:
        raise TransferError(f"copy of {uri}: {complaint or 'no progress'}; is the WAN up?")
    return total


def copied(process: subprocess.Popen[bytes], tell: Callable[[float], None], wanted: int) -> tuple[int, str]:
    """Follow what qemu-io prints to its orderly end; returns the bytes that it has read, and its last complaint."""
    done, complaint, rest = 0, "", b""
    for chunk in chunks(process):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if found := re.search(rb"read (\d+)/\1 bytes at", line):
                done += int(found[1])
                tell(done / wanted)
            elif b"fail" in line.lower():
                complaint = line.decode(errors="replace").removeprefix("qemu-io> ")
    process.wait(10)
    return done, complaint


def lay(layer: Path, onto: Path | None = None, layout: str = "qcow2") -> None:
    """Lay a pulled layer over another disk or image, or over nothing; its own parts stay as they are."""
    under = ["-b", str(onto), "-F", layout] if onto else ["-b", ""]
    run(["qemu-img", "rebase", "-u", "-f", "qcow2", *under, str(layer)])


def merge(layer: Path) -> None:
    """Write a layer into the disk under it, and remove it. Killed in the middle, it can be done again."""
    # With its caller, so that one that is killed does not keep the disk from whoever comes next.
    run(["setpriv", "--pdeathsig", "KILL", "qemu-img", "commit", "-q", str(layer)], timeout=600)
    layer.unlink()


def blocks(parts: Iterable[Extent]) -> frozenset[int]:
    """Numbers of the blocks that lie in parts of a disk, if only with one byte."""
    return frozenset(n for part in parts for n in range(part.start // BLOCK, block_count(part.end)))


def of_blocks(numbers: Iterable[int], size: int) -> tuple[Extent, ...]:
    """Parts of a disk of this size that are made of these blocks, in order."""
    found: list[Extent] = []
    for number in sorted(numbers):
        start = number * BLOCK
        end = min(start + BLOCK, size)
        if found and found[-1].end == start:
            found[-1] = Extent(found[-1].start, Bytes(end - found[-1].start))
        else:
            found.append(Extent(Bytes(start), Bytes(end - start)))
    return tuple(found)
