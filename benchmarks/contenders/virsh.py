"""`virsh migrate --live --copy-storage-all` between two libvirt daemons, one at each site, on the learning network.

Each daemon has a mount namespace of its own over the places that libvirt would share, and is reached by its socket.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.contenders.guests import Guests, other
from benchmarks.result import Measured
from benchmarks.stage import SOURCE, TARGET
from benchmarks.watch import watch
from intercloud.bootstrap.lab import wait_for_application
from intercloud.clouds.lab import emulator, net
from intercloud.clouds.lab.accel import accelerator
from intercloud.clouds.lab.qemu import CPU, MACHINE, PROGRAM, Accelerator, Files, identity
from intercloud.clouds.run import inside, kill, run, wait_until
from intercloud.migration.world import together
from intercloud.model.server import Server

COMMAND = "virsh migrate --live --copy-storage-all --migrateuri tcp://TARGET --listen-address TARGET NAME URI"
SETTINGS = {"command": COMMAND, "libvirt": "defaults; cgroup_controllers = []"}
LONGEST = 180.0
OWN = ("run/libvirt", "var/lib/libvirt", "var/log/libvirt", "var/cache/libvirt", "etc/libvirt")
"""Of these folders each daemon has its own."""
SOCKET = "run/libvirt/libvirt-sock"
IMAGES = "var/lib/libvirt/images"
QEMU_CONF = """user = "root"
group = "root"
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
remember_owner = 0
stdio_handler = "file"
"""
DAEMON_CONF = 'auth_unix_rw = "none"\nunix_sock_group = "root"\nunix_sock_dir = "{run}"\nhost_uuid = "{uuid}"\n'
RESUMED = re.compile(r"^(\S+ \S+): event 'lifecycle' for domain '?(\S+?)'?: Resumed", re.MULTILINE)


class Libvirt(Guests):
    """A fleet of domains."""

    def folder(self, site: str) -> Path:
        """Where a site's daemon has its own files."""
        return Path(self.stage.place(site).path, "libvirt")

    def files(self, server: Server, site: str) -> Files:
        """Where a server's files at a site are: for its daemon, in the same place at both."""
        return Files(self.folder(site) / IMAGES / server.name)

    def uri(self, site: str) -> str:
        """How a site's daemon is reached."""
        return f"qemu:///system?socket={self.folder(site)}/{SOCKET}"

    def virsh(self, site: str, *words: str) -> str:
        """Give a daemon an order. Raises CloudError."""
        return run(["virsh", "-q", "-c", self.uri(site), *words], timeout=LONGEST)

    def up(self) -> None:
        """Start the daemons, and boot all at the source."""
        self.home = SOURCE
        for site in (SOURCE, TARGET):
            self._daemon(site)
        for server in self.fleet.servers:
            files = self.prepare(server, SOURCE)
            domain = files.directory / "domain.xml"
            domain.write_text(self._domain(server))
            self.virsh(SOURCE, "create", str(domain))

    def down(self) -> None:
        """End domains and daemons."""
        for site in (SOURCE, TARGET):
            folder = str(self.folder(site))
            kill([pid for pid in net.processes(self.stage.place(site).namespace) if _belongs(pid, folder)])
            (self.folder(site) / SOCKET).unlink(missing_ok=True)
            for server in self.fleet.servers:
                self.remove(server, site)

    def tell(self, order: str) -> None:
        """Let all run, or pause."""
        for server in self.fleet.servers:
            self.virsh(self.home, {"cont": "resume", "stop": "suspend"}[order], server.name)

    def _daemon(self, site: str) -> None:
        folder = self.folder(site)
        for place in OWN:
            (folder / place).mkdir(parents=True, exist_ok=True)
            Path("/", place).mkdir(parents=True, exist_ok=True)
        (folder / "etc/libvirt/qemu.conf").write_text(QEMU_CONF)
        uuid = identity(f"host {site}")
        conf = folder / "etc/libvirt/libvirtd.conf"
        conf.write_text(DAEMON_CONF.format(run=folder / "run/libvirt", uuid=uuid))
        binds = {Path("/", place): folder / place for place in OWN} | emulator.places(self.stage.spec.cache)
        mounts = " && ".join(f"mount --bind {instead} {seen}" for seen, instead in binds.items())
        start = f"mount --make-rprivate / && {mounts} && exec libvirtd -f {conf} -p {folder}/libvirtd.pid"
        with (folder / "libvirtd.out").open("ab") as output:
            subprocess.Popen(
                inside(self.stage.place(site).namespace, ["unshare", "--mount", "sh", "-c", start]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until((folder / SOCKET).exists, f"libvirtd at {site}", 30)
        self.virsh(site, "version")

    def _domain(self, server: Server) -> str:
        files, tap = Files(Path("/", IMAGES, server.name)), self.tap(server)
        kind = "qemu" if accelerator(self.stage.spec.cache) is Accelerator.TCG else "kvm"
        disks = [(files.disk(disk.name), "qcow2", "") for disk in server.disks] + [(files.config, "raw", "<readonly/>")]
        devices = "".join(
            f"<disk type='file' device='disk'><driver name='qemu' type='{layout}'/><source file='{escape(str(path))}'/>"
            f"<target dev='vd{letter}' bus='virtio'/>{more}</disk>"
            for letter, (path, layout, more) in zip("abcdefgh", disks, strict=False)
        )
        return (
            f"<domain type='{kind}'><name>{server.name}</name><uuid>{identity(server.name)}</uuid>"
            f"<memory unit='b'>{server.memory}</memory><vcpu>{server.vcpus}</vcpu>"
            f"<os><type arch='x86_64' machine='{MACHINE}'>hvm</type></os><features><acpi/></features>"
            f"<cpu mode='custom' match='exact'><model>{CPU}</model></cpu>"
            f"<devices><emulator>/usr/bin/{PROGRAM}</emulator>{devices}"
            f"<interface type='ethernet'><mac address='{server.nics[0].mac}'/><target dev='{tap}' managed='no'/>"
            "<model type='virtio'/></interface>"
            f"<serial type='file'><source path='{escape(str(files.serial))}'/></serial>"
            "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><memballoon model='none'/>"
            "</devices></domain>"
        )


def _belongs(pid: int, folder: str) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace") if Path(f"/proc/{pid}").exists() else ""
    return folder in words


def mover(guests: Libvirt) -> Callable[[], Measured]:
    """Give the operation: all servers, at the same time, to the other site."""
    return partial(_move, guests)


def _move(guests: Libvirt) -> Measured:
    source, target = guests.home, other(guests.home)
    with guests.awake():
        wait_for_application(guests.prefix, guests.fleet)
        for server in guests.fleet.servers:
            guests.prepare(server, target)
        took: list[float] = []

        def act() -> None:
            began = time.monotonic()
            together(lambda server: _migrate(guests, server, source), guests.fleet.servers)
            took.append(time.monotonic() - began)
            guests.home = target

        before = guests.stage.sent(source)
        with _resumes(guests, target) as told:
            seen = watch(guests.prefix, guests.fleet, act)
        sent = guests.stage.sent(source) - before
        for server in guests.fleet.servers:
            guests.remove(server, source)
    others = {"migration_s": took[0], "sent_bytes": float(sent)}
    figures = {**seen.figures, **others, **seen.until_answered(told())}
    return Measured(figures, {"blackout_s": seen.blackouts})


def _migrate(guests: Libvirt, server: Server, source: str) -> None:
    address = guests.stage.place(other(source)).address
    words = ["migrate", "--live", "--copy-storage-all", "--migrateuri", f"tcp://{address}", "--listen-address", address]
    guests.virsh(source, *words, server.name, guests.uri(other(source)))


@contextmanager
def _resumes(guests: Libvirt, site: str) -> Iterator[Callable[[], dict[str, float]]]:
    """Note when a daemon says that each domain runs; afterwards, what is given tells: name → time.monotonic()."""
    words = ["virsh", "-c", guests.uri(site), "event", "--event", "lifecycle", "--loop", "--timestamp"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        said: list[str] = []
        try:
            yield lambda: _times(said[0])
        finally:
            process.terminate()
            said.append(process.communicate(timeout=10)[0])


def _times(said: str) -> dict[str, float]:
    since = time.monotonic() - time.time()
    return {name: datetime.fromisoformat(at).timestamp() + since for at, name in RESUMED.findall(said)}
