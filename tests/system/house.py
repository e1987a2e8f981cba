"""A lab of its own for the system tests, with the command line that works on it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from intercloud.bootstrap.wiring import open_cloud
from intercloud.clouds.lab import demo
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import ServerState
from intercloud.settings import load

NAME = "systest"
LABS = "/var/lib/intercloud/labs"
TIMEOUT = 240.0


def away_from(cloud: str) -> str:
    """Name the other of the two clouds."""
    return "lab-a" if cloud == "lab-b" else "lab-b"


class House:
    """One lab, its configuration file and the command. Sites with too little room are there for the refusals."""

    def __init__(self, **changes: object) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="intercloud-")
        self.path = Path(self.folder.name)
        self.lab: dict[str, object] = {
            "name": NAME,
            "sites": {
                "lab-a": {},
                "lab-b": {},
                "small": {"vcpus": 2},
                "full": {"image_store_mib": 1},
                "office": {"kind": "office"},
            },
        }
        self.config = self.path / "config.json"
        self.write(**changes)

    def write(self, **changes: object) -> None:
        """Write the configuration, with changes to the parts named."""
        content: dict[str, object] = {
            "clouds": {name: {"type": "lab"} for name in ("lab-a", "lab-b", "small", "full")},
            "lab": self.lab,
            "migration": {"state": str(self.path / "runs")},
            **changes,
        }
        self.config.write_text(json.dumps(content))

    def command(self, *words: str) -> list[str]:
        """Spell a command on this lab."""
        return [sys.executable, "-m", "intercloud.cli.main", *words, "--config", str(self.config)]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL
        )

    def up(self, *words: str) -> None:
        """Bring the lab up, or fail with what it said."""
        done = self.run("lab", "up", *words)
        if done.returncode:
            raise AssertionError(f"lab up: {done.stderr}")

    def down(self) -> None:
        """Take the lab down."""
        self.run("lab", "down")
        self.folder.cleanup()

    def cloud(self, name: str) -> LabCloud:
        """Open one of the clouds behind the command's back."""
        found = open_cloud(load(self.config), name)
        assert isinstance(found, LabCloud)
        return found

    def heat(self, mib: int, rate: int = 0) -> None:
        """Let every server rewrite that much memory (0: stop). rate: MiB a second; 0: as fast as it can."""
        demo.heat(f"ic-{NAME}-office--client", mib, rate)

    def migrate(self, source: str, target: str, *words: str) -> dict[str, Any]:
        """Migrate, and return the report; the command must succeed."""
        done = self.run("migrate", "--source", source, "--target", target, *words, "--output", "json", "--quiet")
        if done.returncode:
            raise AssertionError(f"migrate {source} {target} {' '.join(words)}: {done.stderr}{self.consoles()}")
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def consoles(self) -> str:
        """The last words of every guest: whether one of them has crashed is else gone with the lab."""
        logs = sorted(Path(LABS, NAME).glob("*/servers/*/serial.log"))
        return "".join(f"\n{path}:\n{path.read_text(errors='replace')[-1500:]}" for path in logs)

    def sides(self) -> tuple[str, str]:
        """Say at which of the two clouds the whole shop runs, and which is the other."""
        where = self.where()
        homes = set(where.values())
        if len(homes) != 1:
            raise AssertionError(f"the cluster must be whole, at one cloud; it is at: {where}")
        here = homes.pop()
        return here, away_from(here)

    @contextlib.contextmanager
    def moving(self, here: str, there: str, phase: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
        """Start a move, and go on as soon as a phase of it has begun."""
        command = self.command("migrate", "--source", here, "--target", there, *words)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as move:
            assert move.stderr is not None
            if not any(line.rstrip().endswith(phase) for line in move.stderr):
                raise AssertionError(f"the move ended before its phase {phase}")
            yield move

    def kill_move(self, here: str, there: str, phase: str, delay: float) -> None:
        """Start a move and kill its program, that long after a phase has begun."""
        with self.moving(here, there, phase) as move:
            time.sleep(delay)
            os.kill(move.pid, signal.SIGKILL)

    def newest(self) -> tuple[str, str]:
        """Name the newest migration on record, and say how it stands."""
        newest = json.loads(self.run("migrations", "list", "--output", "json").stdout)[0]
        return newest["run"], newest["state"]

    def where(self) -> Mapping[str, str]:
        """Say at which cloud each server of the shop runs."""
        return {
            record.server.name: name
            for name, cloud in ((name, self.cloud(name)) for name in ("lab-a", "lab-b"))
            for record in cloud.records()
            if not record.incoming and cloud.server_state(record.server.name) is ServerState.RUNNING
        }
