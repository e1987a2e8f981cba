"""The faults, as data: in which phases each is injected, and how. What an injection returns heals it."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.chaos.house import House, Move
from intercloud.bootstrap.wiring import control_folder
from intercloud.clouds.lab.net import processes
from intercloud.clouds.run import command_line, find_process
from intercloud.control import process
from intercloud.model.server import Disk
from intercloud.units import MIB, Bytes

PHASES = ("base images", "landing", "disks", "memory", "switchover", "adopt", "verify", "release")
BY_DISKS = ("stop", "last delta", "commit", "start target", "verify", "release")
"""Phases that only a cold or warm move has, and what follows."""
CROSSING = ("disks", "memory", "switchover")
MOVING = ("landing", "disks", "memory", "switchover", "verify")
Heal = Callable[[], None]


@dataclass(frozen=True)
class Trial:
    """One move to be disturbed."""

    house: House
    move: Move
    source: str
    target: str


@dataclass(frozen=True)
class Fault:
    """One kind. inject: does it, and returns what heals it after `lasts` seconds (None: when the move has ended).

    cuts: whether the fault itself cuts connections
    (a server's process dies, or its site stands still), so that those are not counted as broken.
    delays: seconds after a phase began. strategy: of the move that is disturbed.
    """

    name: str
    inject: Callable[[Trial], Heal]
    phases: Sequence[str] = MOVING
    delays: Sequence[float] = (0.0,)
    lasts: float | None = None
    cuts: bool = False
    strategy: str = "live"


def nothing() -> None:
    """Heal what heals by itself."""


def kill_program(trial: Trial) -> Heal:
    """Kill the program and its children."""
    trial.move.kill()
    return nothing


def kill_controller(trial: Trial) -> Heal:
    """Kill the controller; whoever looks after it starts it again."""
    pid = trial.house.controller()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    folder = control_folder(trial.house.settings)
    return lambda: (process.spawn(folder, f"unix:{folder / 'openflow.sock'}"), None)[1]


def kill_switch(side: str) -> Callable[[Trial], Heal]:
    """Kill ovs-vswitchd at one site; whoever looks after it starts it again."""

    def inject(trial: Trial) -> Heal:
        place = trial.house.place(getattr(trial, side))
        pid = find_process(place.ovs / "ovs-vswitchd.pid", str(place.ovs))
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return trial.house.up

    return inject


def kill_qemu(side: str) -> Callable[[Trial], Heal]:
    """Kill one server's process at one cloud."""

    def inject(trial: Trial) -> Heal:
        pid = trial.house.qemu(getattr(trial, side), "app")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return nothing

    return inject


def end_channel(side: str, how: signal.Signals) -> Callable[[Trial], Heal]:
    """Kill or stop the process at one side through which all that the servers send goes."""

    def inject(trial: Trial) -> Heal:
        pids = trial.house.channels(getattr(trial, side))
        for pid in pids:
            os.kill(pid, how)

        def end() -> None:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        return end

    return inject


def cut_wan(trial: Trial) -> Heal:
    """Cut the WAN at the target."""
    link = ["ip", "-n", trial.house.place(trial.target).namespace, "link", "set", "uplink"]
    subprocess.run([*link, "down"], check=True, timeout=10)
    return lambda: (subprocess.run([*link, "up"], check=True, timeout=10), None)[1]


def lose_packets(trial: Trial) -> Heal:
    """Let the WAN lose 5 % of its packets."""
    trial.house.up("--wan-loss", "5%")
    return trial.house.up


def fill(folder: Path) -> Heal:
    """Leave no room in a file system."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    return lambda: ballast.unlink(missing_ok=True)


def fill_disk(trial: Trial) -> Heal:
    """Leave no room where the target's disks are."""
    return fill(trial.house.place(trial.target).path)


def take_quota(trial: Trial) -> Heal:
    """Let somebody else take what is left of the target's quota."""
    cloud = trial.house.cloud(trial.target)
    limit, used = cloud.quota()
    shop = trial.house.cloud(trial.source).cluster("shop")
    disk = Disk("root", Bytes(MIB), None)
    nic = replace(shop.servers[0].nics[0], mac="52:54:00:99:00:77", ip="10.50.0.77")
    hog = replace(shop.servers[0], name="hog", vcpus=max(1, limit.vcpus - used.vcpus), memory=Bytes(MIB), disks=(disk,))
    with contextlib.suppress(Exception):
        cloud.create_server(replace(shop, name="other"), replace(hog, nics=(nic,)))
    return lambda: cloud.delete_server("hog")


def stop_site(side: str) -> Callable[[Trial], Heal]:
    """Stop every process of a site: its hypervisors and its switch."""

    def inject(trial: Trial) -> Heal:
        pids = [p for p in processes(trial.house.place(getattr(trial, side)).namespace) if command_line(p)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

        def go_on() -> None:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        return go_on

    return inject


def second_process(trial: Trial) -> Heal:
    """Start other processes on the same database: a reader, one that resumes, one that moves the same cluster."""
    move = ("migrate", "--source", trial.source, "--target", trial.target, "--servers", "web")
    for words in (("migrations", "list"), ("resume", "--quiet"), move):
        done = trial.house.run(*words)
        if words is move and done.returncode == 0:
            raise AssertionError("a second migration of the same cluster was not refused")
    return nothing


def lock_database(trial: Trial) -> Heal:
    """Hold the runs' database locked."""
    connection = sqlite3.connect(trial.house.state / "runs.sqlite", isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    return connection.close


def fill_database(trial: Trial) -> Heal:
    """Leave no room where the runs' database is."""
    return fill(trial.house.state)


def freeze_database(trial: Trial) -> Heal:
    """Make the folder of the runs' database read-only."""
    state = str(trial.house.state)
    subprocess.run(["mount", "--bind", state, state], check=True, timeout=10)
    subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True, timeout=10)
    return lambda: (subprocess.run(["umount", "-l", state], check=True, timeout=10), None)[1]


def set_clock_back(trial: Trial) -> Heal:
    """Set the program's clock back by an hour."""
    set_clock(trial.house.folder, "-3600s")
    return lambda: set_clock(trial.house.folder, "+0")


FAULTS = (
    Fault("program killed at a step's begin", kill_program, PHASES),
    Fault(
        "program killed at a moment", kill_program, ("landing", "disks", "memory", "switchover", "verify"),
        (0.05, 0.12, 0.2, 0.28, 0.4, 1.0),
    ),
    Fault(
        "program killed in a warm move", kill_program, ("landing", "rounds", *BY_DISKS), (0.0, 0.3),
        cuts=True, strategy="warm",
    ),
    Fault(
        "program killed in a cold move", kill_program, ("landing", *BY_DISKS), (0.0, 0.3), cuts=True,
        strategy="cold",
    ),
    Fault("controller killed", kill_controller, MOVING, (0.1,), lasts=2.0),
    Fault("switch of the source killed", kill_switch("source"), MOVING, (0.1,), lasts=1.0),
    Fault("switch of the target killed", kill_switch("target"), MOVING, (0.1,), lasts=1.0),
    Fault("hypervisor of the source killed", kill_qemu("source"), MOVING, (0.1,), cuts=True),
    Fault("hypervisor of the target killed", kill_qemu("target"), ("disks", "memory", "switchover"), (0.1, 0.25)),
    Fault("hypervisor of the target killed after the commit", kill_qemu("target"), ("verify",), (0.2,), cuts=True),
    Fault("channel at the source killed", end_channel("source", signal.SIGKILL), CROSSING, (0.1, 0.25)),
    Fault("channel at the target killed", end_channel("target", signal.SIGKILL), CROSSING, (0.1, 0.25)),
    Fault("channel at the target hangs", end_channel("target", signal.SIGSTOP), CROSSING, (0.1,)),
    Fault("WAN cut for 1 s", cut_wan, MOVING, (0.1, 0.2), lasts=1.0),
    Fault("WAN cut for 30 s", cut_wan, MOVING, (0.1,), lasts=30.0, cuts=True),
    Fault("WAN cut for good", cut_wan, ("disks", "memory", "switchover"), (0.15,), lasts=100.0, cuts=True),
    Fault("WAN loses 5 %", lose_packets, ("disks", "memory"), lasts=20.0),
    Fault("disk of the target full", fill_disk, ("landing", "disks", "memory"), (0.1,)),
    Fault("quota of the target taken", take_quota, ("base images", "landing"), (0.0,)),
    Fault("source stopped for 20 s", stop_site("source"), ("disks", "memory", "switchover"), (0.1,), 20.0, cuts=True),
    Fault("target stopped for 20 s", stop_site("target"), ("disks", "memory", "switchover"), (0.1,), 20.0, cuts=True),
    Fault("other processes on the same database", second_process, PHASES),
    Fault("database locked for 10 s", lock_database, MOVING, (0.0,), lasts=10.0),
    Fault("database full", fill_database, MOVING, (0.0,)),
    Fault("database read-only", freeze_database, MOVING, (0.0,)),
    Fault("clock set back by an hour", set_clock_back, MOVING, (0.0,)),
)  # fmt: skip


class Healing:
    """Heals a fault in time, from another thread, at most once."""

    def __init__(self, heal: Heal, after: float | None) -> None:
        self._heal, self._lock, self._healed = heal, threading.Lock(), False
        self._timer = threading.Timer(after, self.now) if after is not None else None
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def now(self) -> None:
        """Heal, unless that is done."""
        with self._lock:
            if not self._healed:
                self._heal()
                self._healed = True

    def wait(self) -> None:
        """Wait until it is healed; one that lasts to the end is healed now."""
        if self._timer:
            self._timer.join()
        self.now()


def set_clock(folder: Path, offset: str) -> None:
    """Tell every program that runs with `clock_environment` how far its clock is off; at once, never half written."""
    (folder / "clock.new").write_text(f"{offset}\n")
    (folder / "clock.new").replace(folder / "clock")


def clock_environment(folder: Path) -> dict[str, str]:
    """What makes a program read its clock through libfaketime, which re-reads the file `clock` in this folder."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise SystemExit("chaos: libfaketime is not installed; run make install")
    waits = folder / "monotonic.so"
    if not waits.exists():
        source = Path(__file__).with_name("monotonic.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", waits, source], check=True, timeout=60)
    set_clock(folder, "+0")
    return {
        "LD_PRELOAD": f"{waits} {found[0]}",
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
