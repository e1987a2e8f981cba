"""Runs in a real Postgres server: the same as in a file, and a lease that holds among machines."""

import contextlib
import io
import json
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import psycopg

from intercloud.cli.main import main
from intercloud.errors import LeaseLost, Refused, RunsUnavailable
from intercloud.migration.request import make_plan
from intercloud.model.site import Tunnel
from intercloud.workflow import lease
from intercloud.workflow.runs import Runs, read_runs
from tests import needs
from tests.lab.postgres import PASSWORD, Postgres, wait_until
from tests.unit import test_plan, test_workflow
from tests.unit.mediation.test_findings import FINE

KEY = "cluster shop"
server: Postgres


def setUpModule() -> None:
    global server
    needs.require(needs.postgres)
    server = Postgres()
    unittest.addModuleCleanup(server.remove)


class Recorded(test_workflow.Recorded):
    def make_database(self) -> str:
        return server.make_database()

    def spoil_database(self) -> None:
        with psycopg.connect(self.database) as session:
            session.execute("DROP SCHEMA IF EXISTS dbos CASCADE")


class Case(unittest.TestCase):
    """here, there: the folders of two machines that share a database."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.here, self.there = Path(folder.name, "here"), Path(folder.name, "there")
        self.database = server.make_database()

    def holder(self) -> str | None:
        return lease.holder(self.there, KEY, self.database)


class Unavailable(Case):
    def refused(self, url: str, words: str) -> None:
        for use in (
            lambda: read_runs(url),
            lambda: Runs(url, lambda _: self.fail("it was opened")).__enter__(),
            lambda: lease.hold(self.here, KEY, "run-1", url).__enter__(),
            lambda: lease.holder(self.there, KEY, url),
        ):
            with self.assertRaisesRegex(RunsUnavailable, words) as caught:
                use()
            self.assertNotIn(PASSWORD, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))

    def test_a_server_that_is_not_there(self) -> None:
        self.refused(self.database.replace(f":{server.port}", ":1"), r"runs:\*\*\*@127.0.0.1:1/.*refused")

    def test_a_wrong_password(self) -> None:
        self.refused(self.database.replace(PASSWORD, f"no{PASSWORD}"), "password authentication failed")

    def test_a_database_that_does_not_exist_is_not_there_for_a_lease(self) -> None:
        with self.assertRaisesRegex(RunsUnavailable, 'database "none" does not exist'):
            lease.holder(self.there, KEY, server.url("none"))
        with self.assertRaisesRegex(RunsUnavailable, 'database "none" does not exist'):
            read_runs(server.url("none"))


class Leases(Case):
    def test_one_holder_at_a_time_on_all_machines(self) -> None:
        self.assertIsNone(self.holder())
        with lease.hold(self.here, KEY, "run-1", self.database) as held:
            held.note("memory")
            self.assertRegex(self.holder() or "", "^run run-1, .*: memory$")
            refused = self.assertRaisesRegex(Refused, "run run-1, .*: memory.*wait for its end")
            with refused, lease.hold(self.there, KEY, "run-2", self.database):
                self.fail("two hold it")
            with lease.hold(self.there, "cluster other", "run-3", self.database):
                self.assertTrue(held.alive())
        self.assertIsNone(self.holder())
        with lease.hold(self.there, KEY, "run-2", self.database):
            pass

    def test_databases_of_one_server_have_leases_of_their_own(self) -> None:
        with (
            lease.hold(self.here, KEY, "run-1", self.database),
            lease.hold(self.there, KEY, "run-2", server.make_database()),
        ):
            self.assertIn("run-1", lease.holder(Path("elsewhere"), KEY, self.database) or "")

    def test_it_ends_with_its_process(self) -> None:
        program = (
            "import time; from pathlib import Path; from intercloud.workflow import lease;"
            f"held = lease.hold(Path({str(self.here)!r}), {KEY!r}, 'run-1', {self.database!r}); held.__enter__();"
            "print('held', flush=True); time.sleep(30)"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            self.assertIn("run-1", self.holder() or "")
            child.send_signal(signal.SIGKILL)
        wait_until(lambda: self.holder() is None)
        with lease.hold(self.there, KEY, "run-2", self.database):
            self.assertIn("run-2", self.holder() or "")

    def test_a_lost_session_is_seen_and_stays_lost(self) -> None:
        with lease.hold(self.here, KEY, "run-1", self.database) as held:
            self.assertTrue(held.alive())
            server.stop()
            self.assertFalse(held.alive())
            server.start()
            held.note("memory")
            self.assertFalse(held.alive())
            with lease.hold(self.there, KEY, "run-2", self.database) as taken:
                self.assertTrue(taken.alive())
                self.assertFalse(held.alive())


class LostOnTheWay(Case):
    def test_a_run_stops_after_the_turn_in_which_its_session_was_lost_and_another_machine_goes_on(self) -> None:
        class Losing(test_workflow.Count):
            def turn(self) -> str:
                if self.number == 2:
                    server.stop()
                    server.start()
                return super().turn()

        self.here.mkdir()
        file = self.here / "turns"
        with lease.hold(self.here, KEY, "one", self.database) as held:
            work = test_workflow.counting(Losing(file))
            lost = self.assertRaisesRegex(LeaseLost, "run one: its lease is lost")
            with Runs(self.database, lambda _: work, held.alive) as runs, lost:
                runs.start("one", "{}", self.fail)
            with lease.hold(self.there, KEY, "one", self.database) as taken:
                work = test_workflow.counting(test_workflow.Count(file))
                with Runs(self.database, lambda _: work, taken.alive) as runs:
                    self.assertEqual(runs.resume("one", self.fail), "counted")
        self.assertEqual([line.split()[1] for line in file.read_text().splitlines()], ["1", "2", "3", "4", "5", "6"])

    def test_another_machine_says_who_executes_a_run(self) -> None:
        plan = make_plan(test_plan.REQUEST, FINE, Tunnel.VXLAN, test_plan.LIMITS)
        self.here.mkdir()
        work = test_workflow.Count(self.here / "turns", stop_at=3)
        with Runs(self.database, lambda _: contextlib.nullcontext(work)) as runs:
            runs.start(plan.run, plan.to_json(), self.fail)
        config = self.here / "config.json"
        config.write_text(json.dumps({"migration": {"state": str(self.there), "database": self.database}}))
        with lease.hold(self.here, KEY, plan.run, self.database) as held:
            held.note("memory")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual(main(["migrations", "list", "--config", str(config)]), 0)
        self.assertRegex(out.getvalue(), rf"{plan.run} .* running \(run {plan.run}, .*: memory\)\n")


if __name__ == "__main__":
    unittest.main()
