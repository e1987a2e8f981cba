"""Looking at the cluster before and after, and what counts as worse."""

import unittest
from dataclasses import replace

from intercloud.endpoints.health import ClusterHealth, ServerHealth, Vantage, differences
from intercloud.errors import CloudUnreachable
from intercloud.migration.steps.finish import AGAIN

from .application import Application

BEFORE = ClusterHealth(
    healthy=True,
    servers={"web": ServerHealth("b1", 10), "db": ServerHealth("b2", 20)},
    talks=frozenset({("web", "db"), ("db", "web")}),
)


class TestLook(unittest.TestCase):
    def test_all_that_servers_tell_is_read(self) -> None:
        with Application() as application:
            port = application.http_port
            seen = Vantage(state_port=port).look({"web": "127.0.0.1"}, f"http://127.0.0.1:{port}/health")
        self.assertEqual(seen, ClusterHealth(True, {"web": ServerHealth("b1", 7)}, frozenset({("web", "app")})))

    def test_silent_servers_are_simply_not_there(self) -> None:
        seen = Vantage(state_port=1, within=1.0).look({"web": "127.0.0.1"}, "http://127.0.0.1:1/health")
        self.assertEqual(seen, ClusterHealth(False, {}, frozenset()))

    def test_a_vantage_that_is_not_there_is_an_error(self) -> None:
        with self.assertRaisesRegex(CloudUnreachable, "namespace"):
            Vantage(("ip", "netns", "exec", "icp-nowhere")).look({"web": "127.0.0.1"}, None)

    def test_one_look_that_waits_for_an_answer_is_no_verdict(self) -> None:
        self.assertGreater(AGAIN, 3 * Vantage().within)


class TestDifferences(unittest.TestCase):
    def test_the_same_is_no_difference(self) -> None:
        self.assertEqual(differences(BEFORE, BEFORE, same_boot=True), ())

    def test_more_than_before_is_no_difference(self) -> None:
        self.assertEqual(differences(ClusterHealth(None, {}, frozenset()), BEFORE, same_boot=True), ())

    def test_everything_that_is_worse_is_said(self) -> None:
        after = ClusterHealth(False, {"web": ServerHealth("b9", 11)}, frozenset({("db", "web")}))
        self.assertEqual(
            differences(BEFORE, after, same_boot=True),
            (
                "the application's health URL no longer answers 200",
                "web: was booted again, its memory was lost",
                "db: no longer tells its state",
                "web can no longer reach db",
            ),
        )

    def test_a_counter_that_goes_back(self) -> None:
        after = replace(BEFORE, servers={**BEFORE.servers, "db": ServerHealth("b2", 19)})
        self.assertEqual(differences(BEFORE, after, same_boot=True), ("db: its memory went back, from 20 to 19",))

    def test_a_cold_move_boots_again(self) -> None:
        after = replace(BEFORE, servers={"web": ServerHealth("c1", 0), "db": ServerHealth("c2", 0)})
        self.assertEqual(differences(BEFORE, after, same_boot=False), ())


if __name__ == "__main__":
    unittest.main()
