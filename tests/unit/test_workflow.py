"""Runs are recorded turn by turn, taken over by whoever holds the lease, and executed by nobody else."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from dbos import DBOS

from intercloud.errors import LeaseLost, Refused, RunsUnavailable
from intercloud.workflow import lease
from intercloud.workflow.runs import Runs, read_runs

LAST = 6


class Count:
    """Work that counts to LAST in a file, a line for each turn, and notes which process made it."""

    def __init__(self, file: Path, pause: float = 0.0, stop_at: int = 0) -> None:
        self.file, self.pause, self.stop_at = file, pause, stop_at
        self.number = 0
        self.waits = False
        self.told = ""

    def turn(self) -> str:
        time.sleep(self.pause)
        with self.file.open("a") as file:
            file.write(f"{os.getpid()} {self.number + 1}\n")
        return str(self.number + 1)

    def recall(self, record: str) -> str | None:
        self.number = int(record)
        self.waits = self.number == self.stop_at
        return "counted" if self.number == LAST or self.waits else None

    def unrecorded(self, why: str) -> None:
        self.told = why

    def suspended(self) -> bool:
        return self.waits


def counting(work: Count) -> "contextlib.AbstractContextManager[Count]":
    @contextmanager
    def open_work(payload: str) -> Iterator[Count]:
        assert payload == "{}", payload
        yield work

    return open_work("{}")


class Recorded(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "turns"
        self.database = self.make_database()

    def make_database(self) -> str:
        """URL of a database that has never had a run."""
        return f"sqlite:///{self.folder}/runs.sqlite"

    def spoil_database(self) -> None:
        """Make it useless while somebody uses it."""
        (self.folder / "runs.sqlite").write_bytes(b"this is no database" * 1000)

    def runs(self, work: Count) -> Runs:
        return Runs(self.database, lambda _: counting(work))

    def turns(self) -> list[str]:
        return [line.split()[1] for line in self.file.read_text().splitlines()]

    def test_a_run_ends_and_leaves_its_turns(self) -> None:
        self.assertEqual(read_runs(self.database), ())
        with self.runs(Count(self.file)) as runs:
            self.assertEqual(runs.start("one", "{}", self.fail), "counted")
        (record,) = read_runs(self.database, ["one"])
        self.assertEqual((record.ended, record.payload), ("counted", "{}"))
        self.assertEqual([text for text, _, _ in record.turns], [str(n) for n in range(1, LAST + 1)])
        self.assertEqual(read_runs(self.database, ended=False), ())

    def test_a_run_that_waits_for_the_operator_goes_on_where_it_was(self) -> None:
        with self.runs(Count(self.file, stop_at=3)) as runs:
            runs.start("one", "{}", self.fail)
        (record,) = read_runs(self.database, ended=False)
        self.assertTrue(record.suspended)
        with self.runs(Count(self.file)) as runs:
            self.assertEqual(runs.resume("one", self.fail), "counted")
        self.assertEqual(self.turns(), ["1", "2", "3", "4", "5", "6"])

    def child(self, act: str, pause: float = 0.2) -> "subprocess.Popen[str]":
        program = (
            "import sys, time; from pathlib import Path; from tests.unit.test_workflow import Count, counting;"
            "from intercloud.workflow.runs import Runs;"
            f"work = Count(Path({str(self.file)!r}), {pause});"
            f"runs = Runs({self.database!r}, lambda _: counting(work)).__enter__(); print('open', flush=True);" + act
        )
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    def killed_in(self, turn: int) -> None:
        child = self.child("runs.start('one', '{}', print)")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and (not self.file.exists() or len(self.turns()) < turn):
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()

    def test_a_killed_run_goes_on_in_another_process_and_repeats_at_most_one_turn(self) -> None:
        self.killed_in(3)
        (record,) = read_runs(self.database)
        self.assertIsNone(record.ended)
        self.assertFalse(record.suspended)
        with self.runs(Count(self.file)) as runs:
            self.assertEqual(runs.resume("one", self.fail), "counted")
        done = self.turns()
        self.assertEqual(sorted(set(done)), ["1", "2", "3", "4", "5", "6"])
        self.assertLessEqual(len(done), LAST + 1)

    def test_no_process_executes_a_run_that_another_has_or_takes_over(self) -> None:
        with contextlib.ExitStack() as idle:
            others = [idle.enter_context(self.child("time.sleep(30)")) for _ in range(2)]
            idle.callback(lambda: [other.kill() for other in others])
            for other in others:
                assert other.stdout is not None
                self.assertEqual(other.stdout.readline(), "open\n")
            self.killed_in(2)
            with self.runs(Count(self.file, 0.2)) as runs:
                runs.resume("one", self.fail)
            executed = {int(line.split()[0]) for line in self.file.read_text().splitlines()}
            self.assertTrue(executed.isdisjoint(other.pid for other in others))
            self.assertEqual(len(executed), 2)

    def test_an_order_reaches_the_process_that_executes_the_run(self) -> None:
        child = self.child("runs.start('one', '{}', lambda: print('interrupted', flush=True))", 0.5)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not self.file.exists():
            time.sleep(0.02)
        with self.runs(Count(self.file)) as runs:
            runs.order_back("one")
        self.assertIn("interrupted", child.communicate(timeout=20)[0])

    def test_a_database_that_is_lost_on_the_way_is_told_and_the_work_is_ended(self) -> None:
        class Losing(Count):
            def turn(self) -> str:
                if self.number == 2:
                    spoil()
                return super().turn()

        spoil = self.spoil_database
        work = Losing(self.file)
        with self.runs(work) as runs:
            self.assertEqual(runs.start("one", "{}", self.fail), "counted")
        self.assertIn("cannot be written", work.told)
        self.assertEqual(self.turns()[-1], "6")

    def test_a_run_that_is_never_handed_out_is_not_waited_for_for_ever(self) -> None:
        with self.runs(Count(self.file, stop_at=3)) as runs:
            runs.start("one", "{}", self.fail)
        with (
            mock.patch("intercloud.workflow.runs.BEGIN", 2.0),
            self.assertRaisesRegex(RunsUnavailable, "has not handed one out for 2 s; try again"),
            self.runs(Count(self.file)) as runs,
        ):
            time.sleep(2.0)  # until its queue is listened to
            DBOS.delete_queue(DBOS.list_queues()[-1].name)
            time.sleep(1.0)
            runs.resume("one", self.fail)
        with self.runs(Count(self.file)) as runs:
            self.assertEqual(runs.resume("one", self.fail), "counted")

    def test_without_its_lease_a_process_makes_no_more_turns_and_another_goes_on(self) -> None:
        for act, made in (("start", ["1", "2"]), ("resume", ["1", "2", "3", "4"])):
            held = iter((True, True, False))
            lost = self.assertRaisesRegex(LeaseLost, "run one: its lease is lost")
            with Runs(self.database, lambda _: counting(Count(self.file)), partial(next, held)) as runs, lost:
                runs.start("one", "{}", self.fail) if act == "start" else runs.resume("one", self.fail)
            self.assertEqual(self.turns(), made)
        (record,) = read_runs(self.database)
        self.assertEqual((record.ended, record.suspended), (None, False))
        with self.runs(Count(self.file)) as runs:
            self.assertEqual(runs.resume("one", self.fail), "counted")
        self.assertEqual(self.turns(), ["1", "2", "3", "4", "5", "6"])

    def test_a_process_whose_run_was_taken_over_leaves_it_alone(self) -> None:
        child = self.child(
            "exec('try: runs.start(\\'one\\', \\'{}\\', print)\\nexcept Exception as e: print(repr(e))')", 1.0
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not self.file.exists():
            time.sleep(0.01)
        with self.runs(Count(self.file)) as runs:
            self.assertEqual(runs.resume("one", self.fail), "counted")
        self.assertRegex(child.communicate(timeout=20)[0], "LeaseLost.*run one: another process has taken it over")
        made = [line.split()[1] for line in self.file.read_text().splitlines() if line.startswith(f"{child.pid} ")]
        self.assertLessEqual(len(made), 2)


class Files(unittest.TestCase):
    def test_a_file_that_is_not_there_has_no_runs_and_one_that_is_empty_neither(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            self.assertEqual(read_runs(f"sqlite:///{file.name}"), ())
        self.assertEqual(read_runs(f"sqlite:///{file.name}"), ())

    def test_one_that_cannot_be_written(self) -> None:
        with (
            self.assertRaisesRegex(RunsUnavailable, "cannot be written"),
            Runs("sqlite:////proc/none/runs.sqlite", lambda _: counting(Count(Path("/dev/null")))),
        ):
            self.fail("it was opened")

    def test_what_is_no_database_is_told_without_its_password(self) -> None:
        for url, words in (
            ("mysql://me:geheim@host/runs", r"mysql://me:\*\*\*@host/runs cannot be used; expected sqlite:"),
            ("postgresql://me:geheim@host", r"postgresql://me:\*\*\*@host cannot be used; expected sqlite:"),
            ("postgresql://me:geheim@host:port/runs", "not given as a URL that can be read; expected sqlite:"),
            ("geheim", "not given as a URL that can be read; expected sqlite:"),
        ):
            with self.subTest(url), self.assertRaisesRegex(RunsUnavailable, words) as caught:
                read_runs(url)
            self.assertNotIn("geheim", str(caught.exception))


class Leases(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_one_holder_at_a_time(self) -> None:
        self.assertIsNone(lease.holder(self.folder, "cluster shop"))
        with lease.hold(self.folder, "cluster shop", "run-1") as held:
            held.note("memory")
            said = lease.holder(self.folder, "cluster shop")
            self.assertIn("run run-1,", said or "")
            self.assertIn("memory", said or "")
            refused = self.assertRaisesRegex(Refused, "run-1.*wait for its end")
            with refused, lease.hold(self.folder, "cluster shop", "run-2"):
                self.fail("two hold it")
        self.assertIsNone(lease.holder(self.folder, "cluster shop"))

    def test_it_ends_with_its_process(self) -> None:
        program = (
            "import time; from pathlib import Path; from intercloud.workflow import lease;"
            f"held = lease.hold(Path({str(self.folder)!r}), 'cluster shop', 'run-1'); held.__enter__();"
            "print('held', flush=True); time.sleep(30)"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            self.assertIsNotNone(lease.holder(self.folder, "cluster shop"))
            child.kill()
        with lease.hold(self.folder, "cluster shop", "run-2"):
            self.assertIn("run-2", lease.holder(self.folder, "cluster shop") or "")


if __name__ == "__main__":
    unittest.main()
