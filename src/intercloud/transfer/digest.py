"""Digests of a running QEMU's disks, and what its dirty bitmaps say about them.

Whatever is written while a disk is read is noted by a bitmap that was laid before, and is read again, or not compared.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from intercloud.clouds.block_digests import GoOn, digest_all, digest_blocks, marked_blocks, to_the_end
from intercloud.clouds.port import Monitor
from intercloud.errors import MonitorError
from intercloud.model.digests import BLOCK, BlockDigests
from intercloud.transfer.qmp import Promise, Qmp

COPIED = "since-copied"
"""The source's bitmap: written since its digesting began."""
HELD = "held-"
"""Before the name of a bitmap that is not lasting for a while."""
SEEN = "since-seen"
"""A bitmap as it was at one moment, to be read while the true one goes on."""
EXPORT = "digest"
GENTLE = 10
"""Niceness: the guests have work to do meanwhile, before the switchover and after it."""


def gentle_thread() -> ThreadPoolExecutor:
    """One thread, of low priority, for reading and digesting."""

    def give_way() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GENTLE)

    return ThreadPoolExecutor(1, "digest", give_way)


def since(run: str) -> str:
    """Name the target's bitmap: written since that run's switchover. It is the mark of what the source held then."""
    return f"since-{run}"


def lasting(qemu: Qmp, monitor: Monitor) -> dict[str, bool]:
    """Nodes of a machine's disks → whether a bitmap of theirs can outlive its stops: only qcow2 stores any."""
    told = {str(node["node-name"]): node for node in _nodes(qemu)}

    def stores(node: dict[str, Any]) -> bool:
        return bool(node["drv"] == "qcow2" and node["image"]["format-specific"]["data"]["compat"] != "0.10")

    return {name: stores(told[name]) for name in monitor.nodes.values()}


def note_writes(qemu: Qmp, nodes: Mapping[str, bool], bitmap: str) -> list[Promise]:
    """Note from now on which blocks of its disks a machine writes. nodes: as `lasting` tells."""
    return [
        qemu.promise("block-dirty-bitmap-add", node=node, name=bitmap, granularity=BLOCK, persistent=lasts)
        for node, lasts in nodes.items()
    ]


def _nodes(qemu: Qmp) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", qemu.execute("query-named-block-nodes", flat=True))


@dataclass(frozen=True)
class LiveDisk:
    """A disk of a QEMU that runs or is paused. place: where that QEMU shall offer it: a path, or a host and a port."""

    qemu: Qmp
    node: str
    place: str | tuple[str, int]

    @staticmethod
    def at(monitor: Monitor, qemu: Qmp, disk: str) -> "LiveDisk":
        """A disk by its name."""
        socket = str(Path(monitor.path).with_suffix(".digest"))
        return LiveDisk(qemu, monitor.nodes[disk], monitor.reading or socket)

    @property
    def address(self) -> dict[str, object]:
        """The place as QMP spells it."""
        if isinstance(self.place, str):
            return {"type": "unix", "data": {"path": self.place}}
        return {"type": "inet", "data": {"host": self.place[0], "port": str(self.place[1])}}

    @property
    def uri(self) -> str:
        """The offer there."""
        if isinstance(self.place, str):
            return f"nbd+unix:///{EXPORT}?socket={self.place}"
        return f"nbd://{self.place[0]}:{self.place[1]}/{EXPORT}"

    def note_writes(self, bitmap: str) -> None:
        """Note from now on which blocks are written. What an earlier bitmap of that name noted is forgotten."""
        self.forget(bitmap)
        self.qemu.execute("block-dirty-bitmap-add", node=self.node, name=bitmap, granularity=BLOCK)

    def forget(self, bitmap: str) -> None:
        """Note no longer. Safe to repeat."""
        if any(each["name"] == bitmap for each in self._bitmaps()):
            self.qemu.execute("block-dirty-bitmap-remove", node=self.node, name=bitmap)

    def notes(self, bitmap: object) -> bool:
        """Whether a bitmap is there and has missed nothing."""
        return any(each["name"] == bitmap and not each.get("inconsistent") for each in self._bitmaps())

    def hold(self) -> None:
        """Let the lasting bitmaps of earlier moves note in memory only, until release. Safe to repeat.

        QEMU stores lasting ones when it hands its disks over, and that is when the servers stand still.
        """
        for name in [str(each["name"]) for each in self._bitmaps() if each["persistent"] and self.notes(each["name"])]:
            self._rename(name, HELD + name, lasting=False)

    def release(self) -> None:
        """Make lasting what was held. Safe to repeat."""
        for name in [str(each["name"]) for each in self._bitmaps() if str(each["name"]).startswith(HELD)]:
            self._rename(name, name.removeprefix(HELD), lasting=True)

    def _rename(self, old: str, new: str, *, lasting: bool) -> None:
        self._together(
            ("add", {"name": new, "granularity": BLOCK, "persistent": lasting}),
            ("merge", {"target": new, "bitmaps": [old]}),
            ("remove", {"name": old}),
        )

    def _together(self, *acts: tuple[str, dict[str, object]]) -> None:
        """Do several things with bitmaps at one moment."""
        actions = [{"type": f"block-dirty-bitmap-{act}", "data": {"node": self.node, **data}} for act, data in acts]
        self.qemu.execute("transaction", actions=actions)

    def _bitmaps(self) -> list[dict[str, object]]:
        node = next((each for each in _nodes(self.qemu) if each["node-name"] == self.node), {})
        return cast("list[dict[str, object]]", node.get("dirty-bitmaps", []))

    @contextmanager
    def offered(self, *bitmaps: str) -> Iterator[str]:
        """Let QEMU offer the disk, read-only, with bitmaps that note no more; yields the URI.

        An offer that a killed program left behind is replaced.
        """
        self.withdraw()
        self.qemu.execute("nbd-server-start", addr=self.address)
        try:
            self.qemu.execute(
                "block-export-add", type="nbd", id=EXPORT, name=EXPORT, node_name=self.node, bitmaps=bitmaps
            )
            yield self.uri
        finally:
            self.qemu.execute("nbd-server-stop")

    def withdraw(self) -> None:
        """End an offer. Safe to repeat."""
        with suppress(MonitorError):  # refused when there is none; a QEMU that is gone is noticed by what follows
            self.qemu.execute("nbd-server-stop")

    def digest(self, go_on: GoOn = to_the_end) -> BlockDigests:
        """Digest it all."""
        with self.offered() as uri:
            return digest_all(uri, go_on)

    def digest_blocks(self, numbers: Iterable[int], go_on: GoOn = to_the_end) -> dict[int, bytes]:
        """Digest some blocks."""
        with self.offered() as uri:
            return digest_blocks(uri, numbers, go_on)

    def written(self, bitmap: str) -> frozenset[int]:
        """Numbers of the blocks that a bitmap has noted by now; it goes on noting."""
        self.forget(SEEN)
        self._together(
            ("add", {"name": SEEN, "granularity": BLOCK, "disabled": True}),
            ("merge", {"target": SEEN, "bitmaps": [bitmap]}),
        )
        try:
            with self.offered(SEEN) as uri:
                return marked_blocks(uri, SEEN)
        finally:
            self.forget(SEEN)
