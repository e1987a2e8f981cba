"""Proof that a disk arrived: both sides digested block by block, after the switchover and outside the pause.

The source's disk is frozen there. The target's has been written on since; its own dirty bitmap, laid before the guest
ran, tells which blocks. All others must be equal.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from intercloud.errors import TransferError
from intercloud.transfer.qmp import Promise, Qmp

BLOCK = 64 * 1024
"""Bytes digested together; the bitmap's granularity too."""
ZEROS = bytes(BLOCK)
NOTHING = hashlib.sha256(ZEROS).digest()
"""Of a block of zeros, computed once: a sparse disk is mostly zeros."""
BITMAP = "since-switchover"
PATIENCE = 600.0
"""Seconds for reading a whole disk."""


@dataclass(frozen=True)
class Comparison:
    """Two sides of one disk. written: blocks that the target has written since; different: of the others, how many."""

    blocks: int
    written: int
    different: int

    @property
    def equal(self) -> bool:
        """Whether every block that should be equal is."""
        return self.blocks > 0 and self.different == 0


def track(target: Qmp, nodes: Mapping[str, str]) -> list[Promise]:
    """Let the target note from now on which blocks it writes. Called when the disks are equal and nobody runs."""
    return [
        target.promise("block-dirty-bitmap-add", node=node, name=BITMAP, granularity=BLOCK) for node in nodes.values()
    ]


def read_digests(uri: str) -> list[bytes]:
    """Digest every block of what an NBD server offers. The last block may be short."""
    command = ["nice", "-n", "19", "nbdcopy", uri, "-"]  # the moved guests have work to catch up with
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # a Ctrl-C that comes after the commit must not spoil the proof
    ) as reader:
        assert reader.stdout is not None and reader.stderr is not None
        digests = []
        with open(reader.stdout.fileno(), "rb", buffering=16 * BLOCK, closefd=False) as stream:
            while block := stream.read(BLOCK):
                digests.append(NOTHING if block == ZEROS else hashlib.sha256(block).digest())
        complaint = reader.stderr.read().decode(errors="replace").strip()
        if reader.wait(PATIENCE):
            raise TransferError(f"reading {uri} for its digest failed: {complaint}")
    return digests


def written_blocks(uri: str) -> set[int]:
    """Numbers of the blocks that the exported bitmap marks."""
    image = f"driver=nbd,server.type=unix,server.path={uri},export=digest,x-dirty-bitmap=qemu:dirty-bitmap:{BITMAP}"
    done = subprocess.run(
        ["qemu-img", "map", "--output=json", "--image-opts", image],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode:
        raise TransferError(f"the target's dirty bitmap cannot be read: {done.stderr.strip()}")
    extents = cast("list[dict[str, int]]", json.loads(done.stdout))
    marked: set[int] = set()
    for extent in extents:
        if not extent["data"]:  # qemu-img shows a dirty bitmap as block status: dirty is 'data: false'
            marked.update(range(extent["start"] // BLOCK, -(-(extent["start"] + extent["length"]) // BLOCK)))
    return marked


def compare(source_uri: str, target: Qmp, node: str, socket: str) -> Comparison:
    """Compare a frozen disk at the source with the running target's.

    source_uri: where the source's disk can be read beside its cloud; socket: path at which the target's QEMU shall
    offer its disk, beside its cloud. Nothing but digests would ever cross the WAN.
    """
    before = read_digests(source_uri)
    target.execute("nbd-server-start", addr={"type": "unix", "data": {"path": socket}})
    try:
        target.execute("block-export-add", type="nbd", id="digest", name="digest", node_name=node)
        after = read_digests(f"nbd+unix:///digest?socket={socket}")
        target.execute("block-export-del", id="digest", mode="hard")
        # only now: whatever was written while we read is marked too
        target.execute("block-dirty-bitmap-disable", node=node, name=BITMAP)
        target.execute("block-export-add", type="nbd", id="digest", name="digest", node_name=node, bitmaps=[BITMAP])
        written = written_blocks(socket)
    finally:
        target.execute("nbd-server-stop")
    target.execute("block-dirty-bitmap-remove", node=node, name=BITMAP)
    if len(before) != len(after):
        return Comparison(max(len(before), len(after)), len(written), abs(len(before) - len(after)))
    different = sum(
        1 for n, pair in enumerate(zip(before, after, strict=True)) if n not in written and pair[0] != pair[1]
    )
    return Comparison(len(before), len(written), different)
