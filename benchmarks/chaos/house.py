"""A lab of its own for the faults, and the questions asked of it from outside, behind the program's back."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

from intercloud.bootstrap.wiring import control_folder, lab_spec, open_cloud, service, vantage_prefix
from intercloud.clouds.lab import demo, qmp
from intercloud.clouds.lab.net import processes
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.lab.spec import Place
from intercloud.clouds.port import ServerState
from intercloud.clouds.run import command_line, find_process
from intercloud.control import process
from intercloud.control.client import ControlClient
from intercloud.endpoints.observer import Probe
from intercloud.endpoints.result import ProbeConfig
from intercloud.errors import IntercloudError
from intercloud.migration.migrate import Standing
from intercloud.settings import Settings, load
from intercloud.transfer.digest import COPIED
from intercloud.transfer.mirror import ready
from intercloud.transfer.qmp import Qmp

CLOUDS = ("lab-a", "lab-b")
MULTIPLEXER = "intercloud.transfer.multiplexer"
LONGEST = 300.0
"""Seconds for one command."""


class House:
    """The lab, its configuration, and the command line.

    state: the folder of the runs' record, a file system apart. guard: whether each migration has a guard; without one
    what was cut off is resumed by hand.
    """

    def __init__(self, folder: Path, name: str, *, guard: bool = False) -> None:
        self.folder, self.name, self.guard = folder, name, guard
        self.state = folder / "state"
        self.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", name, self.state], check=True, timeout=10)
        self.config = folder / "config.json"
        content = {
            "lab": {"name": name},
            "migration": {"state": str(self.state), "guard": guard},
            "probe": {"enabled": False},
        }
        self.config.write_text(json.dumps(content))
        self.settings: Settings = load(self.config)
        self.spec = lab_spec(self.settings)
        self._mount_clouds()

    def _mount_clouds(self) -> None:
        """Give each cloud a file system of its own, so that one can be full."""
        for cloud in CLOUDS:
            path = self.place(cloud).path
            path.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", self.name, path], check=True, timeout=10)

    def _unmount(self, *paths: Path) -> None:
        for path in paths:
            subprocess.run(["umount", "-l", path], check=False, timeout=10, capture_output=True)

    def remake(self) -> None:
        """Take the lab down to the last file, and bring it up anew."""
        self.run("lab", "down")
        self._unmount(*(self.place(cloud).path for cloud in CLOUDS))
        self.run("lab", "down")
        self._mount_clouds()
        self.up()

    def close(self) -> None:
        """Take all of it down."""
        self.run("lab", "down")
        self._unmount(self.state, *(self.place(cloud).path for cloud in CLOUDS))
        self.run("lab", "down")

    def command(self, *words: str) -> list[str]:
        """Spell a command on this lab."""
        return [sys.executable, "-m", "intercloud.cli.main", *words, "--config", str(self.config)]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end. Raises AssertionError when there is none within LONGEST."""
        command = self.command(*words)
        try:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=LONGEST, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{' '.join(words)} did not end within {LONGEST:.0f} s") from None

    def up(self, *words: str) -> None:
        """Bring the lab up, or repair it."""
        done = self.run("lab", "up", *words)
        if done.returncode:
            raise SystemExit(f"chaos: {done.stderr}")

    def place(self, cloud: str) -> Place:
        """Where a site is."""
        return self.spec.place(cloud)

    def cloud(self, name: str) -> LabCloud:
        """Open a cloud."""
        found = open_cloud(self.settings, name)
        assert isinstance(found, LabCloud)
        return found

    def qemu(self, cloud: str, server: str) -> int | None:
        """Find a server's process."""
        pid_file = self.place(cloud).path / "servers" / server / "qemu.pid"
        return find_process(pid_file, str(pid_file))

    def controller(self) -> int | None:
        """Find the controller's process."""
        return process.running(control_folder(self.settings))

    def states(self, cloud: str) -> Mapping[str, ServerState]:
        """How each server is at one cloud."""
        return {name: self.cloud(cloud).server_state(name) for name in demo.TIERS}

    def home(self) -> str | None:
        """Name the cloud at which every server runs and all traffic goes; None when there is none."""
        with self.control() as control:
            sites = {e.site for e in control.registry().endpoints.values() if e.name in demo.TIERS}
        for cloud in CLOUDS:
            if sites == {cloud} and set(self.states(cloud).values()) == {ServerState.RUNNING}:
                return cloud
        return None

    def control(self) -> ControlClient:
        """Ask the controller."""
        return ControlClient(control_folder(self.settings) / process.SOCKET_FILE)

    def running_copies(self) -> Mapping[str, int]:
        """How many copies of each server run, over both clouds."""
        states = [self.states(cloud) for cloud in CLOUDS]
        return {name: sum(each[name] is ServerState.RUNNING for each in states) for name in demo.TIERS}

    def leftovers(self) -> list[str]:
        """Everything that a move leaves behind and should not: one line each."""
        home = self.home()
        if home is None:
            return ["the cluster is not whole at one cloud"]
        away = next(cloud for cloud in CLOUDS if cloud != home)
        found = [f"{away}: server {r.server.name}" for r in self.cloud(away).records()]
        found += [f"{away}: {path.name}" for path in (self.place(away).path / "servers").glob("*")]
        with self.control() as control:
            endpoints = control.registry().endpoints.values()
        found += [f"{away}: port of {e.name}" for e in endpoints if away in e.ports]
        for server in demo.TIERS:
            found += [f"{server}: {each}" for each in self.in_hypervisor(home, server)]
        found += [f"{cloud}: {MULTIPLEXER} {pid}" for cloud in CLOUDS for pid in self.channels(cloud)]
        found += [
            str(path) for pattern in ("aside*", "*.seed-*", "channel") for path in self.place(home).path.rglob(pattern)
        ]
        found += [str(path) for cloud in CLOUDS for path in self.place(cloud).path.glob("offer-*")]
        found += [f"migration {run.run}: {run.how}" for run in self.runs() if run.how not in ENDED]
        return found

    def channels(self, cloud: str) -> list[int]:
        """Processes of channels at a cloud."""
        return [pid for pid in processes(self.place(cloud).namespace) if MULTIPLEXER in command_line(pid)]

    def runs(self) -> Sequence[Standing]:
        """Every migration on record, the newest first."""
        return service(self.settings).runs()

    def witness(self) -> list[str]:
        """What can still be seen of a fault that was not survived: turns, hypervisors, consoles, switches."""
        seen = [self.run("migrations", "show", run.run).stdout for run in self.runs()[:1]]
        for cloud, server in product(CLOUDS, demo.TIERS):
            with contextlib.suppress(IntercloudError, OSError):
                paths = self.cloud(cloud).guest(server).files
                seen.append(f"{cloud} {server}: {paths.serial.read_text(errors='replace')[-2000:]}")
                questions = ("query-status", "query-migrate", "query-block-jobs")
                seen += [f"{cloud} {server} {each}: {qmp.ask(paths.own_monitor, each)}" for each in questions]
        with contextlib.suppress(IntercloudError, OSError), self.control() as control:
            seen += [str(control.registry().endpoints), str(control.status())]
        return seen

    def in_hypervisor(self, cloud: str, server: str) -> list[str]:
        """What a move has left in a running server's hypervisor; the bitmap that verifies the move later is no such."""
        with Qmp(self.cloud(cloud).monitor(server).path, server) as qemu:
            mirrors = ["a mirror" for _ in ready(qemu)]
            nodes = cast("list[dict[str, Any]]", qemu.execute("query-named-block-nodes", flat=True))
        bitmaps = {bitmap.get("name", "of a job") for node in nodes for bitmap in node.get("dirty-bitmaps", ())}
        stray = [f"node {node['node-name']}" for node in nodes if str(node["node-name"]).startswith("mirror-")]
        return mirrors + stray + [f"bitmap {name}" for name in bitmaps if name.startswith("mark-") or name == COPIED]

    def probe(self) -> Probe:
        """Watch the application from where its clients are, whatever happens to the program."""
        prefix = vantage_prefix(self.settings)
        assert prefix is not None
        web = demo.HEALTH.split("/")[2]
        run = f"chaos{time.monotonic_ns() % 10**9}"
        return Probe.start(prefix, ProbeConfig(run=run, targets=demo.TIERS, stream="web", web=web))


ENDED = ("completed", "rolled-back")


class Move:
    """One `intercloud migrate` in a process of its own, whose phases can be waited for."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip())
                self._news.notify_all()
        with self._news:
            self.lines.append("")
            self._news.notify_all()

    def wait_phase(self, phase: str, timeout: float = 90.0) -> bool:
        """Wait until a phase begins; False when the move ends without it."""

        def begun() -> bool:
            return any(line.startswith("[") and line.endswith(phase) for line in self.lines)

        with self._news:
            self._news.wait_for(lambda: begun() or "" in self.lines, timeout)
            return begun()

    def kill(self) -> None:
        """Kill the program and what it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> Mapping[str, object] | None:
        """Wait for its end; returns its report, None when it left none."""
        assert self.process.stdout is not None
        text = self.process.stdout.read()
        self.process.wait(LONGEST)
        self._reader.join(5)
        return json.loads(text) if text.startswith("{") else None
