"""Offer files over NBD, and read what a peer offers."""

import json
import os
import random
import re
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from intercloud.clouds.lab.qemu import escape
from intercloud.clouds.lab.run import inside, run
from intercloud.clouds.lab.spec import Place
from intercloud.clouds.port import Progress
from intercloud.errors import CloudError, TransferError
from intercloud.model.evidence import BLOCK
from intercloud.units import Bytes

PORTS = range(40000, 48000)
"""Of offers; a server's own ports (record.py) are below."""
STALLED = 120.0
"""Seconds without progress after which a peer counts as gone."""
CONTENT, LAYER = "content", "layer"
"""Exports of an offer: the bytes offered; of a disk also the bytes of its top layer's file."""


@dataclass(frozen=True)
class Served:
    """Where the exports of one offer can be read: over the WAN, and beside this cloud."""

    address: str
    port: int
    socket: Path

    def uri(self, export: str) -> str:
        """What a peer reads."""
        return f"nbd://{self.address}:{self.port}/{export}"

    def local(self, export: str) -> str:
        """What a process of this computer reads."""
        return f"nbd+unix:///{export}?socket={self.socket}"


@contextmanager
def serve(
    place: Place, nodes: Sequence[str], exports: Mapping[str, str], bitmaps: Sequence[str] = ()
) -> Iterator[Served]:
    """Offer block nodes, read-only, until the context or this thread ends.

    nodes: what --blockdev takes; exports: export's name → node's name; bitmaps: of the content, for readers beside it.
    """
    with tempfile.TemporaryDirectory(dir=place.path, prefix="offer-") as work:
        served = Served(place.address, random.choice(PORTS), Path(work, "sock"))
        wan = f"addr.type=inet,addr.host={served.address},addr.port={served.port}"
        with daemon(place, Path(work, "wan.pid"), commands(wan, nodes, exports)):
            local = f"addr.type=unix,addr.path={served.socket}"
            with daemon(place, Path(work, "local.pid"), commands(local, nodes, exports, bitmaps)):
                yield served


def commands(address: str, nodes: Sequence[str], exports: Mapping[str, str], bitmaps: Sequence[str] = ()) -> list[str]:
    """Build the storage daemon's command line: one address each."""
    words = ["qemu-storage-daemon"]
    for node in nodes:
        words += ["--blockdev", node]
    words += ["--nbd-server", address]
    for name, node in exports.items():
        noted = (f",bitmaps.{n}={bitmap}" for n, bitmap in enumerate(bitmaps) if name == CONTENT)
        words += ["--export", f"nbd,id={name},node-name={node},name={name},writable=off" + "".join(noted)]
    return words


@contextmanager
def daemon(place: Place, pid_file: Path, words: Sequence[str]) -> Iterator[None]:
    """Run one NBD server for the length of the context."""
    guarded = ("setpriv", "--pdeathsig", "KILL", *inside(place.namespace, [*words, "--pidfile", str(pid_file)]))
    with subprocess.Popen(guarded, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            # The pid file comes when the exports can be read.
            end = time.monotonic() + 10
            while not pid_file.exists():
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    raise CloudError(f"{place.name}: cannot offer over NBD: {process.communicate()[1].strip()}")
                time.sleep(0.01)
            yield
        finally:
            process.kill()


def file_node(path: Path) -> str:
    """A node for the bytes of a file."""
    return f"driver=file,node-name=file,filename={escape(path)},read-only=on"


def bitmaps(path: Path) -> tuple[str, ...]:
    """Names of the dirty bitmaps that a qcow2 disk of nobody's holds whole: one in use was not stored at the end."""
    told = json.loads(run(["qemu-img", "info", "-U", "--output=json", str(path)]))
    stored = told["format-specific"]["data"].get("bitmaps", ())
    return tuple(each["name"] for each in stored if "in-use" not in each["flags"])


def add_bitmap(path: Path, name: str) -> None:
    """Let a qcow2 disk note from now on what is written to it, whoever opens it; an earlier bitmap is replaced."""
    if name in bitmaps(path):
        run(["qemu-img", "bitmap", "--remove", str(path), name])
    run(["qemu-img", "bitmap", "--add", "-g", str(BLOCK), str(path), name])


DISK_NODE = "driver=qcow2,node-name=disk,file=file,read-only=on"
"""A node for the content of a qcow2 disk over the node of its file."""


def copy(namespace: str, uri: str, target: Path, options: Sequence[str], progress: Progress) -> Bytes:
    """Read an offer into a file with qemu-img convert; returns the bytes that crossed: data, not holes.

    Raises TransferError when the peer goes away or says nothing for two minutes.
    """
    total = data_bytes(namespace, uri)
    words = ["qemu-img", "convert", "-p", "-f", "raw", *options, uri, str(target)]
    with subprocess.Popen(
        inside(namespace, words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            for percent in percents(process):
                progress(Bytes(int(total * percent / 100)))
            said = process.communicate(timeout=10)[1].decode(errors="replace").strip()
        finally:
            process.kill()
    if process.returncode:
        raise TransferError(f"copy of {uri}: {said.splitlines()[-1] if said else 'no progress; is the WAN up?'}")
    return total


def percents(process: subprocess.Popen[bytes]) -> Iterator[float]:
    """Yield the progress that qemu-img prints, to its end; kill it when it stalls."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(STALLED):
            said = os.read(process.stdout.fileno(), 4096)
            if not said:
                return
            found = re.findall(rb"\(([\d.]+)/100%\)", said)
            if found:
                yield float(found[-1])
    process.kill()


def data_bytes(namespace: str, uri: str) -> Bytes:
    """Bytes of an offer that are neither holes nor zeros. Raises TransferError when the peer does not answer."""
    words = ["qemu-img", "map", "--output=json", "-f", "raw", uri]
    try:
        extents = json.loads(run(inside(namespace, words), timeout=60))
    except CloudError as error:
        raise TransferError(f"the offer {uri} cannot be read: {error}") from error
    return Bytes(sum(extent["length"] for extent in extents if extent["data"]))
