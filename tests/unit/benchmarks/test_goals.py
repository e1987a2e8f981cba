"""The goals: reached, missed, not measured, and what samples that failed do to them."""

import unittest

from benchmarks.goals import GOALS, Goal, Outcome
from benchmarks.result import Cell
from benchmarks.table import NOT_MEASURED, goals_table

from .result_sample import RESULT, Settings, result, sample

HOT: Settings = {"rate_mbit": 200, "hot_mib": 1}
CUT: Settings = {"tunnel": "vxlan", "flows": 1, "packets_per_s": 4000}


def goal(name: str) -> Goal:
    return next(goal for goal in GOALS if goal.name == name)


def cell(benchmark: str, scenario: Settings, contender: str, figure: str, *values: float | None) -> Cell:
    """A cell in which each sample has this one figure; None: it failed, and measured nothing."""
    samples = [
        sample(number, {figure: value}) if value is not None else sample(number, {}, "it failed")
        for number, value in enumerate(values)
    ]
    return Cell(benchmark, scenario, contender, {}, tuple(samples))


def judge(name: str, *cells: Cell) -> list[Outcome]:
    return goal(name).outcomes(result(*cells))


class TestGoals(unittest.TestCase):
    def test_each_has_a_name_of_its_own(self) -> None:
        self.assertEqual(len({goal.name for goal in GOALS}), len(GOALS))

    def test_a_median_and_a_p95_must_both_be_met(self) -> None:
        good = judge("G1", cell("B2", HOT, "intercloud", "blackout_to_limit", *[1.1] * 18, 1.25, 1.9))
        self.assertEqual([(each.values, each.reached) for each in good], [((1.1, 1.25), True)])
        self.assertFalse(judge("G1", cell("B2", HOT, "intercloud", "blackout_to_limit", 1.1, 1.1, 1.31))[0].reached)
        self.assertFalse(judge("G1", cell("B2", HOT, "intercloud", "blackout_to_limit", 1.16, 1.16))[0].reached)

    def test_only_what_fits_counts(self) -> None:
        for wrong in (
            cell("B1", HOT, "intercloud", "blackout_to_limit", 1.0),
            cell("B2", {**HOT, "hot_mib": 2}, "intercloud", "blackout_to_limit", 1.0),
            cell("B2", HOT, "qemu", "blackout_to_limit", 1.0),
            cell("B2", HOT, "intercloud", "limit_s", 1.0),
        ):
            self.assertEqual(judge("G1", wrong), [])

    def test_idle_may_be_said_or_left_out(self) -> None:
        idles: tuple[Settings, ...] = ({}, {"hot_mib": 0, "rate_mbit": "unlimited"})
        for idle in idles:
            cells = [cell("B1", idle, name, "worst_gap_s", gap) for name, gap in (("intercloud", 0.1), ("virsh", 1.0))]
            self.assertEqual(judge("G2", *cells)[0].values, (0.1, None))
        self.assertEqual(judge("G2", cell("B1", HOT, "intercloud", "worst_gap_s", 0.1)), [])

    def test_a_ratio_is_of_medians_in_the_same_scenario(self) -> None:
        name: Settings = {"name": "single VM"}
        ours = cell("B1", name, "intercloud", "worst_gap_s", 0.1, 0.2, 0.9)
        theirs = cell("B1", name, "cold", "worst_gap_s", 10.0, 40.0, 50.0)
        self.assertEqual(judge("G10a", ours, theirs)[0].values, (0.005,))
        self.assertTrue(judge("G10a", ours, theirs)[0].reached)
        self.assertEqual(judge("G10a", ours, cell("B1", {**name, "servers": 1}, "cold", "worst_gap_s", 40.0)), [])
        self.assertEqual(judge("G10a", ours, cell("B1", name, "cold", "worst_gap_s", None)), [])
        self.assertEqual(judge("G10b", ours, theirs), [])

    def test_what_is_asked_beside_a_ratio_must_be_measured(self) -> None:
        ours = Cell("B1", {}, "intercloud", {}, (sample(0, {"worst_gap_s": 0.1, "lost": 0}),))
        theirs = cell("B1", {}, "virsh", "worst_gap_s", 1.0)
        self.assertTrue(judge("G2", ours, theirs)[0].reached)
        self.assertFalse(judge("G2", cell("B1", {}, "intercloud", "worst_gap_s", 0.1), theirs)[0].reached)

    def test_nothing_lost_is_nothing_in_every_sample(self) -> None:
        none, one = {"lost": 0, "duplicated": 0}, {"lost": 1, "duplicated": 0}
        for samples, reached in (
            ((sample(0, none), sample(1, none)), True),
            ((sample(0, none), sample(1, one)), False),
            ((sample(0, none), sample(1, one, "failed, and counted")), False),
            ((sample(0, none), sample(1, {}, "failed, and did not count")), False),
        ):
            self.assertEqual(judge("G8", Cell("B6", CUT, "intercloud", {}, samples))[0].reached, reached)

    def test_failed_samples_are_left_out_of_a_median(self) -> None:
        self.assertEqual(judge("G9", cell("B6", CUT, "intercloud", "ratio_to_barrier", 2.0, None))[0].values, (2.0,))

    def test_a_goal_is_missed_where_nothing_succeeded(self) -> None:
        found = judge("G9", cell("B6", CUT, "intercloud", "ratio_to_barrier", None, None))
        self.assertEqual([(each.values, each.reached) for each in found], [((None,), False)])

    def test_the_worst_scenario_comes_first(self) -> None:
        cells = [
            cell("B6", {**CUT, "packets_per_s": rate}, "intercloud", "ratio_to_barrier", ratio)
            for rate, ratio in ((1000, 1.5), (2000, 3.5), (4000, 2.0))
        ]
        self.assertEqual([each.values[0] for each in judge("G9", *cells)], [3.5, 2.0, 1.5])

    def test_only_gangs_are_asked_to_be_gangs(self) -> None:
        scenario: Settings = {"servers": 4, "images": "same"}
        self.assertTrue(judge("G6", cell("B5", scenario, "intercloud", "makespan_to_bound", 1.0))[0].reached)
        after = cell("B5", {**scenario, "order": "sequential"}, "intercloud", "makespan_to_bound", 1.0)
        self.assertEqual(judge("G6", after), [])


class TestTable(unittest.TestCase):
    def rows(self, *cells: Cell) -> dict[str, tuple[str, ...]]:
        return {row[0]: row for row in goals_table(result(*cells)).rows}

    def test_a_goal_without_data_says_so(self) -> None:
        rows = self.rows()
        self.assertEqual(list(rows), [goal.name for goal in GOALS])
        self.assertEqual({row[4:7] for row in rows.values()}, {(NOT_MEASURED, "-", "-")})

    def test_a_row_in_words(self) -> None:
        self.assertEqual(
            self.rows(cell("B2", HOT, "intercloud", "blackout_to_limit", 1.1, 1.1, 1.4, None))["G1"],
            (
                "G1",
                "longest blackout / limit",
                "B2, 200 Mbit/s, hot set 1 MiB",
                "median ≤ 1.15; p95 ≤ 1.3",
                "median 1.1; p95 1.4",
                "3 of 4",
                "no",
                "Cloud Hypervisor 1.11 (memory part only); QEMU's defaults 2.8-3.9",
            ),
        )

    def test_a_comparison_names_the_other_and_its_samples(self) -> None:
        cells = [cell("B1", {"name": "single VM"}, name, "worst_gap_s", *[gap] * 3) for name, gap in
                 (("intercloud", 0.1), ("cold", 40.0))]  # fmt: skip
        row = self.rows(*cells)["G10a"]
        self.assertEqual(row[3:7], ("median ≤ 0.01 of cold's", "median 0.0025 of cold's", "3 of 3, 3 of 3", "yes"))

    def test_of_several_scenarios_the_worst_is_shown(self) -> None:
        cells = [
            cell("B6", {**CUT, "packets_per_s": rate}, "intercloud", "ratio_to_barrier", ratio)
            for rate, ratio in ((1000, 1.5), (4000, 3.5))
        ]
        row = self.rows(*cells)["G9"]
        self.assertEqual(row[4], "median 3.5 (worst of 2 scenarios: 4000 packets/s)")
        self.assertEqual(row[6], "no: in 1 of 2 scenarios")

    def test_every_goal_finds_its_cells_in_a_whole_run(self) -> None:
        self.assertNotIn(NOT_MEASURED, [row[4] for row in goals_table(RESULT).rows])


if __name__ == "__main__":
    unittest.main()
