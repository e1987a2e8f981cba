"""The words that QEMU is started with: pure. Source and target of a live move must be given equal machines."""

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from intercloud.clouds.address import Address
from intercloud.clouds.nbd import escape
from intercloud.clouds.port import Doors
from intercloud.errors import CloudError
from intercloud.model.server import Server
from intercloud.units import MIB

PROGRAM = "qemu-system-x86_64"
MACHINE = "pc"
CPU = "qemu64"
"""One that KVM and TCG both provide, on processors of every maker."""
TCG_CACHE_MIB = 64
"""QEMU's own choice for translated code is up to 1 GiB for each guest."""
TCG_EXTRA_KIB = 8
"""Makes RAM no multiple of 256 KiB. Of such a multiple, QEMU before 9.0 reads the dirty bitmap by whole words and then
forgets to tell TCG's TLB: later writes are not seen as dirty, and a migrated guest's memory is corrupt. KVM is well."""
NAME = re.compile(r"\w[\w-]{0,23}", re.ASCII)
NAMES = uuid.UUID("5f0e2f0c-62f5-4f0e-9d1b-6a1f5b0c2a11")


def check_name(name: str) -> None:
    """Raise CloudError for a name of a server or disk that cannot be one of a file, a socket and a block node."""
    if not NAME.fullmatch(name):
        raise CloudError(f"the name {name!r}: the lab takes 1 to 24 letters, digits, hyphens and underscores")


def version(said: str) -> str:
    """Find QEMU's version in what it says to --version."""
    found = re.search(r"version (\d[\w.]*)", said)
    return found[1] if found else "of unknown version"


def versioned(machine: str, said: str) -> str:
    """Find what a machine type stands for in what QEMU says to -machine help: 'pc' is another one in each version."""
    found = re.search(rf"^{re.escape(machine)}\s.*\(alias of ([\w.-]+)\)", said, re.MULTILINE)
    return found[1] if found else machine


class Accelerator(StrEnum):
    """What runs the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True)
class Emulator:
    """What runs guests. words: that begin its command line; forgets: it needs TCG_EXTRA_KIB."""

    accelerator: Accelerator
    words: tuple[str, ...] = (PROGRAM,)
    forgets: bool = False


@dataclass(frozen=True)
class Files:
    """Where the files of one server are."""

    directory: Path

    def __post_init__(self) -> None:
        check_name(self.directory.name)

    @property
    def record(self) -> Path:
        """What the server shall be."""
        return self.directory / "server.json"

    @property
    def pid(self) -> Path:
        """The process."""
        return self.directory / "qemu.pid"

    @property
    def monitor(self) -> Path:
        """The QMP socket for whoever moves the server."""
        return self.directory / "qmp.sock"

    @property
    def own_monitor(self) -> Path:
        """The QMP socket for this adapter alone: a socket serves one client at a time."""
        return self.directory / "own.sock"

    @property
    def nbd(self) -> Path:
        """The socket at which the guest's QEMU serves a disk as of one moment."""
        return self.directory / "nbd.sock"

    @property
    def doors(self) -> Doors:
        """Where this hypervisor meets a process beside it."""
        memory, disks = (Address(path=str(self.monitor.with_suffix(suffix))) for suffix in (".mem", ".nbd"))
        return Doors(memory, disks, str(self.directory / "channel"))

    @property
    def aside(self) -> Path:
        """What the guest has overwritten since that moment."""
        return self.directory / "aside.qcow2"

    @property
    def lock(self) -> Path:
        """Held by whoever reads a disk as of one moment."""
        return self.directory / "lock"

    @property
    def serial(self) -> Path:
        """What the guest printed."""
        return self.directory / "serial.log"

    @property
    def log(self) -> Path:
        """What QEMU said; without it, a daemon's last words are lost."""
        return self.directory / "qemu.log"

    @property
    def config(self) -> Path:
        """The config drive."""
        return self.directory / "config.img"

    def disk(self, name: str) -> Path:
        """A disk's top layer."""
        check_name(name)
        return self.directory / f"disk-{name}.qcow2"

    def mark(self, disk: str) -> Path:
        """The mark of the content that a disk was filled with, while the server has not run since."""
        return self.disk(disk).with_suffix(".mark")


def node(disk: str) -> str:
    """The block node of a disk's content, under the guest's device."""
    return f"disk-{disk}"


def identity(server: str) -> str:
    """Give the UUID of a server: the same at every site."""
    return str(uuid.uuid5(NAMES, server))


def command(server: Server, files: Files, taps: tuple[str, ...], emulator: Emulator, *, incoming: bool) -> list[str]:
    """Build the command line. taps: one for each card, in order; incoming: wait for memory and then for `cont`."""
    kib = -(-server.memory // MIB) * 1024 + (TCG_EXTRA_KIB if emulator.forgets else 0)
    words = [*emulator.words, "-name", f"guest={server.name}", "-uuid", identity(server.name)]
    words += ["-no-user-config", "-nodefaults", "-display", "none", "-vga", "none", "-daemonize"]
    words += ["-machine", MACHINE, "-cpu", CPU, "-smp", str(server.vcpus), "-m", f"{kib}K"]
    tcg = f"tcg,thread=multi,tb-size={TCG_CACHE_MIB}"
    words += ["-accel", tcg if emulator.accelerator is Accelerator.TCG else "kvm"]
    words += ["-pidfile", str(files.pid), "-serial", f"file:{files.serial}", "-D", str(files.log)]
    for name, path in (("mon", files.monitor), ("own", files.own_monitor)):
        words += ["-chardev", f"socket,id={name},path={path},server=on,wait=off"]
        words += ["-mon", f"chardev={name},mode=control"]
    for disk in server.disks:
        words += drive(node(disk.name), "qcow2", files.disk(disk.name), read_only=False)
    words += drive("config", "raw", files.config, read_only=True)
    for number, (nic, tap) in enumerate(zip(server.nics, taps, strict=True)):
        # The userspace datapath does not complete partial checksums: no virtio-net header, no offloads.
        words += ["-netdev", f"tap,id=net{number},ifname={tap},script=no,downscript=no,vnet_hdr=off"]
        words += ["-device", f"virtio-net-pci,netdev=net{number},mac={nic.mac},romfile="]
    words += ["-device", "virtio-rng-pci"]
    return [*words, "-incoming", "defer", "-S"] if incoming else words


def drive(name: str, layout: str, path: Path, *, read_only: bool) -> list[str]:
    """Build a virtio disk from a file: the node `<name>-file` under the node `<name>`."""
    mode = "on" if read_only else "off"
    return [
        "-blockdev",
        f"driver=file,node-name={name}-file,filename={escape(path)},read-only={mode}",
        "-blockdev",
        f"driver={layout},node-name={name},file={name}-file,read-only={mode}" + ("" if read_only else ",discard=unmap"),
        "-device",
        f"virtio-blk-pci,drive={name},id=dev-{name}",
    ]
