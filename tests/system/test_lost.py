"""A cloud that is gone for good in the middle of a move, and an operator who says so."""

import contextlib
import os
import signal
import subprocess
import unittest

from intercloud.clouds.lab import net
from intercloud.clouds.port import ServerState
from tests import needs
from tests.system.house import House

SERVERS = ("app", "db", "web")


@needs.lab
class Lost(unittest.TestCase):
    house: House

    @classmethod
    def setUpClass(cls) -> None:
        cls.house = House(probe={"enabled": False})
        cls.house.write(probe={"enabled": False}, migration={"state": str(cls.house.path / "runs"), "guard": False})
        cls.house.up()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.house.down()

    def setUp(self) -> None:
        self.here, self.there = self.house.sides()

    def lose(self, cloud: str) -> None:
        """Let a site's computer burn down: every process, and the site itself; its files are seen again later."""
        namespace = self.house.cloud(cloud).place.namespace
        for pid in net.processes(namespace):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", namespace], check=True, timeout=10)
        self.addCleanup(self.mend, cloud)

    def mend(self, cloud: str) -> None:
        """Bring the site back, and do there what the report has told the operator to do."""
        self.house.up()
        for name in SERVERS:
            if self.house.cloud(cloud).server_state(name) is ServerState.STOPPED:
                self.house.cloud(cloud).delete_server(name)

    def states(self, cloud: str) -> set[ServerState]:
        return {self.house.cloud(cloud).server_state(name) for name in SERVERS}

    def settle(self, verb: str, lost: str, state: str) -> str:
        """Let the operator settle it; returns what the report says."""
        run, stands = self.house.newest()
        self.assertEqual(stands, "cut off")
        done = self.house.run("migrations", verb, run, "--stopped", lost, "--quiet")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.house.newest(), (run, state))
        self.assertRegex(done.stdout, f"{lost} was given up .*delete it before it is started")
        return done.stdout

    @needs.long
    def test_a_lost_target_sends_the_cluster_back(self) -> None:
        self.house.kill_move(self.here, self.there, "memory", 1.0)
        self.lose(self.there)
        run, _ = self.house.newest()
        wrong = self.house.run("migrations", "rollback", run, "--stopped", self.here)  # it would go back to there
        self.assertEqual(wrong.returncode, 1)
        self.assertIn(f"intercloud migrations resume {run} --stopped {self.here}", wrong.stderr)
        self.settle("rollback", self.there, "rolled-back")
        self.assertEqual(self.states(self.here), {ServerState.RUNNING})

    @needs.long
    def test_a_target_that_has_run_is_given_up_when_it_is_lost(self) -> None:
        self.house.kill_move(self.here, self.there, "verify", 0.2)
        self.lose(self.there)
        said = self.settle("rollback", self.there, "rolled-back")
        self.assertIn(f"may have run at {self.there}, which is lost: what it wrote there is given up", said)
        self.assertEqual(self.states(self.here), {ServerState.RUNNING})

    @needs.long
    def test_a_lost_source_ends_the_move_at_the_target(self) -> None:
        self.house.kill_move(self.here, self.there, "verify", 0.2)
        self.lose(self.here)
        said = self.settle("resume", self.here, "completed")
        self.assertIn(f"{self.here} is lost; the disks of db cannot be compared", said)
        self.assertEqual(self.states(self.there), {ServerState.RUNNING})


if __name__ == "__main__":
    unittest.main()
