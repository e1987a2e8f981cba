"""Moves that are disturbed: a short form of `make chaos`, and what a user sees of a move that was cut off."""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from benchmarks.chaos.__main__ import SHORT, main

from tests import needs
from tests.system.house import House


@needs.lab
class Faults(unittest.TestCase):
    def test_nothing_is_lost_left_or_stuck(self) -> None:
        with tempfile.TemporaryDirectory() as results:
            code = main(["--short", "--results", results])
            (file,) = Path(results).iterdir()
            samples = json.loads(file.read_text())["samples"]
        self.assertEqual(code, 0, samples)
        self.assertEqual([sample["injected"] for sample in samples], [True] * len(SHORT))


@needs.lab
class CutOff(unittest.TestCase):
    house: House

    @classmethod
    def setUpClass(cls) -> None:
        cls.house = House(probe={"enabled": False})
        cls.house.up()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.house.down()

    def setUp(self) -> None:
        self.here, self.there = self.house.sides()

    def killed(self, phase: str, delay: float, *, guard: bool) -> None:
        """Start a move and kill it, without its guard, that long after a phase has begun."""
        self.house.write(probe={"enabled": False}, migration={"state": str(self.house.path / "runs"), "guard": guard})
        self.house.kill_move(self.here, self.there, phase, delay)

    def assert_whole(self, cloud: str) -> None:
        self.assertEqual(self.house.where(), dict.fromkeys(("app", "db", "web"), cloud))

    def test_a_guard_goes_on_by_itself(self) -> None:
        self.killed("switchover", 0.15, guard=True)
        deadline = time.monotonic() + 60
        while self.house.newest()[1] != "completed" and time.monotonic() < deadline:
            time.sleep(0.5)
        self.assertEqual(self.house.newest()[1], "completed")
        self.assert_whole(self.there)

    def test_what_was_cut_off_is_shown_refused_and_taken_back(self) -> None:
        self.killed("memory", 1.0, guard=False)
        run, state = self.house.newest()
        self.assertEqual(state, "cut off")
        shown = self.house.run("migrations", "show", run).stdout
        self.assertRegex(shown, "landing +app, db, web")
        self.assertIn(f"intercloud migrations rollback {run}", shown)
        again = self.house.run("migrate", "--source", self.here, "--target", self.there)
        self.assertEqual(again.returncode, 1)
        self.assertIn(f"migration {run} of cluster shop was cut off", again.stderr)
        back = self.house.run("migrations", "rollback", run, "--quiet")
        self.assertEqual(back.returncode, 0, back.stderr)
        self.assertEqual(self.house.newest()[1], "rolled-back")
        self.assert_whole(self.here)
        self.assertEqual(list(Path(self.house.cloud(self.there).place.path, "servers").iterdir()), [])
        once_more = self.house.run("migrations", "rollback", run)
        self.assertEqual(once_more.returncode, 1)
        self.assertIn("has ended: rolled-back", once_more.stderr)

    @needs.long
    def test_another_process_takes_a_running_move_back(self) -> None:
        self.house.write(probe={"enabled": False})
        with self.house.moving(self.here, self.there, "memory") as move:
            run, state = self.house.newest()
            self.assertEqual(state, "running")
            told = self.house.run("migrations", "cancel", run)
            self.assertIn("has been told to go back", told.stdout)
            move.communicate(timeout=60)
        self.assertEqual(move.returncode, 1)
        self.assertEqual(self.house.newest()[1], "rolled-back")
        self.assert_whole(self.here)

    @needs.long
    def test_other_processes_on_the_database_leave_a_move_alone(self) -> None:
        self.house.write(probe={"enabled": False})
        words = self.house.command("migrate", "--source", self.here, "--target", self.there)
        others: list[subprocess.Popen[str]] = []
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as move:
            assert move.stderr is not None
            for line in move.stderr:
                if line.startswith("["):
                    other = self.house.command("resume", "--quiet")
                    others.append(subprocess.Popen(other, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        said = [other.communicate(timeout=60)[0] for other in others]
        self.assertGreaterEqual(len(said), 7)  # one in each phase; the images may be there already
        self.assertEqual(set(said), {"no migration was cut off\n"})
        self.assertEqual(move.returncode, 0)
        run, state = self.house.newest()
        self.assertEqual(state, "completed")
        turns = json.loads(self.house.run("migrations", "show", run, "--output", "json").stdout)["turns"]
        actions = [turn["action"] for turn in turns]
        self.assertEqual(len(actions), len(set(actions)), actions)
        self.assert_whole(self.there)

    def test_what_cannot_be_proven_is_left_to_the_operator(self) -> None:
        self.house.write(migration={"state": str(self.house.path / "runs"), "patience_s": 10})
        self.addCleanup(self.house.write)
        self.killed("memory", 1.0, guard=False)
        run = self.house.newest()[0]
        pid = self.house.cloud(self.there).guest("web").pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # it cannot be seen whether this target runs
        self.addCleanup(subprocess.run, ["kill", "-CONT", str(pid)], capture_output=True, check=False, timeout=10)
        stuck = self.house.run("migrations", "resume", run, "--quiet")
        self.assertEqual(stuck.returncode, 1)
        self.assertIn("needs the operator", stuck.stderr)
        self.assertRegex(stuck.stderr, "web: at .*unknown")
        self.assertIn(f"intercloud migrations resume {run} --stopped {self.here}", stuck.stderr)
        self.assertIn(f"intercloud migrations rollback {run} --stopped {self.there}", stuck.stderr)
        self.assertEqual(self.house.newest()[1], "waits for the operator")
        os.kill(pid, signal.SIGKILL)  # now it can: it does not
        done = self.house.run("migrations", "rollback", run, "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.house.newest()[1], "rolled-back")
        self.assert_whole(self.here)


if __name__ == "__main__":
    unittest.main()
