"""Offer files over NBD, and read what a peer offers."""

import json
import os
import random
import re
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from intercloud.clouds.port import Progress
from intercloud.clouds.run import run
from intercloud.errors import CloudError, TransferError
from intercloud.model.digests import BLOCK
from intercloud.units import Bytes

PORTS = range(40000, 48000)
"""Of offers; a server's own ports (record.py) are below."""
STALLED = 120.0
"""Seconds without progress after which a peer counts as gone."""
CONTENT = "content"
"""The node that is offered, and its export."""


@dataclass(frozen=True)
class Stand:
    """Where a cloud's offers stand. name: of the cloud, for messages; folder: for sockets.

    address: the cloud's own on the WAN; None where only processes of this computer read its offers.
    beside: words before a command that shall run where that address is.
    """

    name: str
    folder: Path
    address: str | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Served:
    """Where one offer can be read: over the WAN, if at all, and beside this cloud."""

    address: str | None
    port: int
    socket: Path

    @property
    def uri(self) -> str:
        """What a peer reads."""
        return f"nbd://{self.address}:{self.port}/{CONTENT}" if self.address else self.local

    @property
    def local(self) -> str:
        """What a process of this computer reads."""
        return f"nbd+unix:///{CONTENT}?socket={self.socket}"


@contextmanager
def serve(stand: Stand, node: str, noted: Sequence[str] = ()) -> Iterator[Served]:
    """Offer the node CONTENT, read-only, until the context or this thread ends.

    node: what --blockdev takes; noted: its dirty bitmaps, for readers beside it, as is how deep its layers lie.
    """
    with tempfile.TemporaryDirectory(dir=stand.folder, prefix=f"offer-{os.getpid()}-") as work, ExitStack() as servers:
        served = Served(stand.address, random.choice(PORTS), Path(work, "sock"))
        if stand.address is not None:
            wan = f"addr.type=inet,addr.host={stand.address},addr.port={served.port}"
            servers.enter_context(daemon(stand, Path(work, "wan.pid"), commands(wan, node)))
        local = f"addr.type=unix,addr.path={served.socket}"
        options = ["allocation-depth=on", *(f"bitmaps.{number}={name}" for number, name in enumerate(noted))]
        servers.enter_context(daemon(stand, Path(work, "local.pid"), commands(local, node, options)))
        yield served


def sweep(stand: Stand) -> None:
    """Remove the folders of offers whose process was killed."""
    for folder in stand.folder.glob("offer-*-*"):
        if not Path("/proc", folder.name.split("-")[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def commands(address: str, node: str, options: Sequence[str] = ()) -> list[str]:
    """Build the storage daemon's command line: one address each. options: of the export."""
    words = ["qemu-storage-daemon", "--blockdev", node]
    export = f"nbd,id={CONTENT},node-name={CONTENT},name={CONTENT},writable=off"
    return [*words, "--nbd-server", address, "--export", ",".join([export, *options])]


@contextmanager
def daemon(stand: Stand, pid_file: Path, words: Sequence[str]) -> Iterator[None]:
    """Run one NBD server for the length of the context."""
    guarded = ("setpriv", "--pdeathsig", "KILL", *stand.beside, *words, "--pidfile", str(pid_file))
    with subprocess.Popen(guarded, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            # The pid file comes when the exports can be read.
            end = time.monotonic() + 10
            while not pid_file.exists():
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    raise CloudError(f"{stand.name}: cannot offer over NBD: {process.communicate()[1].strip()}")
                time.sleep(0.01)
            yield
        finally:
            process.kill()


def escape(path: Path) -> str:
    """Write a path as the value of an option of QEMU: a comma is doubled."""
    return str(path).replace(",", ",,")


def file_node(path: Path) -> str:
    """A node for the bytes of a file."""
    return f"driver=file,node-name={CONTENT},filename={escape(path)},read-only=on"


def disk_node(path: Path) -> str:
    """A node for the content of a qcow2 disk."""
    file = f"file.driver=file,file.filename={escape(path)}"
    return f"driver=qcow2,node-name={CONTENT},{file},read-only=on"


def virtual_size(path: Path) -> Bytes:
    """Bytes of the disk that a qcow2 file holds."""
    return Bytes(json.loads(run(["qemu-img", "info", "-U", "--output=json", str(path)]))["virtual-size"])


def bitmaps(path: Path) -> dict[str, bool]:
    """Dirty bitmaps in a qcow2 disk of nobody's; false for one that was in use when its QEMU was killed."""
    told = json.loads(run(["qemu-img", "info", "-U", "--output=json", str(path)]))
    stored = told["format-specific"]["data"].get("bitmaps", ())
    return {each["name"]: "in-use" not in each["flags"] for each in stored}


def add_bitmap(path: Path, name: str) -> None:
    """Let a qcow2 disk note from now on what is written to it, whoever opens it; an earlier bitmap is replaced."""
    if name in bitmaps(path):
        remove_bitmap(path, name)
    run(["qemu-img", "bitmap", "--add", "-g", str(BLOCK), str(path), name])


def remove_bitmap(path: Path, name: str) -> None:
    """Remove a bitmap from a qcow2 disk of nobody's."""
    run(["qemu-img", "bitmap", "--remove", str(path), name])


def peer_node(socket: Path, export: str) -> str:
    """A node for what another NBD server of this computer exports."""
    return f"driver=nbd,node-name={CONTENT},server.type=unix,server.path={escape(socket)},export={export},read-only=on"


def copy(uri: str, target: Path, progress: Progress, *, beside: Sequence[str] = (), layout: str = "raw") -> Bytes:
    """Read an offer into a file with qemu-img convert; returns the bytes that crossed: data, not holes.

    beside: words before a command that can reach the offer; layout: of the file, 'raw' or 'qcow2'.
    Raises TransferError when the peer goes away or says nothing for two minutes.
    """
    total = data_bytes(uri, beside)
    words = ["qemu-img", "convert", "-p", "-f", "raw", "-O", layout, uri, str(target)]
    with subprocess.Popen(
        [*beside, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
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
    for said in chunks(process):
        found = re.findall(rb"\(([\d.]+)/100%\)", said)
        if found:
            yield float(found[-1])


def chunks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield what a program prints, as it comes, to its end; kill it when it stalls."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(STALLED):
            said = os.read(process.stdout.fileno(), 4096)
            if not said:
                return
            yield said
    process.kill()


def data_bytes(uri: str, beside: Sequence[str] = ()) -> Bytes:
    """Bytes of an offer that are neither holes nor zeros. Raises TransferError when the peer does not answer."""
    words = ["qemu-img", "map", "--output=json", "-f", "raw", uri]
    try:
        extents = json.loads(run([*beside, *words], timeout=60))
    except CloudError as error:
        raise TransferError(f"the offer {uri} cannot be read: {error}") from error
    return Bytes(sum(extent["length"] for extent in extents if extent["data"]))
