"""Tables of a result: their rows, their words, and that foreign text stays in its cell."""

import unittest
from collections.abc import Mapping
from dataclasses import replace

from benchmarks.cells import WIDEST
from benchmarks.figures import in_words, show, spread, words
from benchmarks.result import Cell, Measured, Sample, Setting
from benchmarks.table import Table, benchmark_tables, render, users_table

from .result_sample import BEGAN, RESULT, result, sample

IDLE: Mapping[str, Setting] = {"name": "single VM", "rate_mbit": None}


def only(*cells: Cell) -> Table:
    found = benchmark_tables(result(*cells))
    assert len(found) == 1
    return found[0]


def rows(table: Table) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table.rows}


class TestFigures(unittest.TestCase):
    def test_units_are_scaled_to_the_value(self) -> None:
        for figure, value, shown in (
            ("gap_s", 0.0414, "41.4 ms"), ("gap_s", 0.00029, "290 µs"), ("gap_s", 75, "75 s"), ("gap_s", 0, "0 s"),
            ("sent_bytes", 3.04e8, "304 MB"), ("wan_bit_s", 3.83e8, "383 Mbit/s"), ("lost", 20370, "20,370"),
            ("sent_to_unique", 0.1849, "0.185"),
        ):  # fmt: skip
            self.assertEqual(show(figure, value), shown)

    def test_a_spread_is_in_the_unit_of_its_median(self) -> None:
        self.assertEqual(spread("gap_s", [0.121, 0.111, 1.39]), "121 ms (111-1,390)")
        self.assertEqual(spread("lost", [0, 0, 3]), "0 (0-3)")
        self.assertEqual(spread("gap_s", [0, 0, 0.003]), "0 ms (0-3)")
        self.assertEqual(spread("lost", [0, 0]), "0")
        self.assertEqual(spread("lost", []), "-")

    def test_an_unknown_figure_has_its_own_name(self) -> None:
        self.assertEqual(words("blackout_s"), "longest blackout that a client saw")
        self.assertEqual(words("wonder_s"), "wonder_s")

    def test_settings_in_words(self) -> None:
        self.assertEqual(in_words({"name": "x", "servers": 1, "hot_mib": 0}), "x, 1 server, idle")
        self.assertEqual(in_words({"rate_mbit": None, "delay_ms": None}), "no rate limit")
        self.assertEqual(in_words({"rate_mbit": "unlimited", "mtu": 1400}), "no rate limit, MTU 1400")
        self.assertEqual(in_words({"rho": 2.0, "odd": 3}), "rho 2, odd 3")


class TestBenchmarks(unittest.TestCase):
    def test_our_column_is_the_first(self) -> None:
        cells = [Cell("B1", IDLE, name, {}, (sample(0, {}),)) for name in ("qemu", "intercloud", "cold")]
        self.assertEqual(only(*cells).head, ("median (min-max)", "intercloud", "qemu", "cold"))

    def test_columns_say_in_what_they_differ_and_the_title_the_rest(self) -> None:
        cells = [Cell("B1", {**IDLE, "hot_mib": hot}, "intercloud", {}, ()) for hot in (0, 2)]
        table = only(*cells)
        self.assertEqual(table.title, "B1: single VM, no rate limit")
        self.assertEqual(table.head[1:], ("idle\nintercloud", "hot set 2 MiB\nintercloud"))

    def test_known_figures_come_first_and_gaps_are_shown(self) -> None:
        table = only(
            Cell("B1", IDLE, "intercloud", {}, (sample(0, {"odd_s": 2.0, "blackout_s": 0.2}),)),
            Cell("B1", IDLE, "cold", {}, (sample(0, {"migration_s": 40.0}),)),
        )
        self.assertEqual(
            [row[0] for row in table.rows],
            [
                "samples that succeeded", "migration time (request to source released)",
                "longest blackout that a client saw", "odd_s", "load average of the machine",
            ],
        )  # fmt: skip
        self.assertEqual(rows(table)["odd_s"], ("2 s", "-"))

    def test_failed_samples_are_counted_and_say_why(self) -> None:
        samples = (sample(0, {"lost": 0}), sample(1, {"lost": 7}, "the WAN went down"), sample(2, {"lost": 0}))
        table = only(Cell("B1", IDLE, "intercloud", {}, samples))
        self.assertEqual(rows(table)["samples that succeeded"], ("2 of 3",))
        self.assertEqual(rows(table)["packets lost"], ("0",))
        self.assertEqual(table.notes, ("intercloud, sample 2 failed: the WAN went down",))

    def test_figures_of_each_server_are_taken_together(self) -> None:
        each = Sample(BEGAN, 1.0, Measured({}, {"blackout_s": (0.1, 0.2, 0.3)}))
        table = only(Cell("B1", IDLE, "intercloud", {}, (each,)))
        self.assertEqual(rows(table)["longest blackout that a client saw, of each"], ("200 ms (100-300)",))

    def test_the_settings_of_a_contender_are_said_once(self) -> None:
        cells = [Cell("B1", {**IDLE, "hot_mib": hot}, "qemu", {"downtime_limit_ms": 300}, ()) for hot in (0, 2)]
        self.assertEqual(only(*cells).notes, ("qemu: downtime_limit_ms 300",))

    def test_no_table_is_too_wide(self) -> None:
        tables = benchmark_tables(RESULT)
        self.assertEqual(sum(len(table.head) - 1 for table in tables), len(RESULT.cells))
        self.assertLessEqual(max(len(table.head) for table in tables), WIDEST + 1)
        self.assertEqual(len({table.title for table in tables}), len(tables))


class TestUsers(unittest.TestCase):
    def test_three_metrics_for_each_scenario_and_a_column_for_each_contender(self) -> None:
        table = users_table(RESULT)
        self.assertEqual(table.head, ("median (min-max)", "intercloud", "cold", "virsh", "qemu", "ovn"))
        for name in ("single VM, no rate limit", "single VM, 400 Mbit/s", "clustered VMs"):
            for metric in ("migration time", "downtime", "network reconfiguration time"):
                self.assertIn(f"{name}: {metric}", rows(table))
        self.assertEqual(rows(table)["clustered VMs: downtime"][2], "-")

    def test_downtime_is_the_worst_gap_else_the_blackout_and_that_is_said(self) -> None:
        table = users_table(result(
            Cell("B1", IDLE, "intercloud", {}, (sample(0, {"worst_gap_s": 0.3, "blackout_s": 0.2}),)),
            Cell("B1", IDLE, "qemu", {}, (sample(0, {"blackout_s": 0.9}),)),
        ))  # fmt: skip
        self.assertEqual(rows(table), {"single VM: downtime": ("300 ms", "900 ms")})
        self.assertEqual(table.notes[1:], ("downtime of qemu: longest blackout that a client saw",))

    def test_without_such_scenarios_there_are_no_rows(self) -> None:
        self.assertEqual(users_table(result(Cell("B6", {}, "intercloud", {}, ()))).rows, ())


class TestMarkdown(unittest.TestCase):
    def test_every_row_has_as_many_cells_as_its_head(self) -> None:
        for block in render(RESULT).split("### ")[1:]:
            lines = [line for line in block.splitlines() if line.startswith("|")]
            self.assertEqual(len({line.count("|") for line in lines}), 1, block)

    def test_foreign_text_stays_in_its_cell(self) -> None:
        evil = sample(0, {"a|b": 1.0}), sample(1, {}, "two\nlines | <img> [x](y)")
        text = render(result(Cell("B1", IDLE, "in|ter", {}, evil)))
        self.assertIn("| a\\|b | 1 |", text)
        self.assertIn("- in\\|ter, sample 2 failed: two, lines \\| \\<img> \\[x](y)", text)

    def test_a_table_without_rows_is_left_out(self) -> None:
        text = render(replace(RESULT, cells=()))
        self.assertEqual([line for line in text.splitlines() if line.startswith("#")], ["### Goals"])


if __name__ == "__main__":
    unittest.main()
