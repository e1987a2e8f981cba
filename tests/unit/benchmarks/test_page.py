"""The page of a result: whole, self-contained, right for every kind of result, and safe with any text."""

import contextlib
import io
import json
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from benchmarks.page import main, render
from benchmarks.plots import PLOTS
from benchmarks.result import Cell, Measured, Result, Sample, Span, to_json

from ..test_report_html import Page
from .result_sample import BEGAN, RESULT, Settings, result, sample

EVIL = "<script>x</script> & $oops_{ \x00\n'\" | <img src=q>"


def hostile() -> Result:
    """A result whose every text is foreign; enough of it for each drawing."""
    measured = Measured(
        {EVIL: 1.0, "blackout_s": 0.1, "lost": 0.0, "sent_bytes": 2.0, "distinct_bytes": 1.0, "bound_s": 1.0,
         "makespan_to_bound": 1.0},
        {}, (Span(EVIL, EVIL, 0.0, 1.0),),
    )  # fmt: skip
    cells = [
        Cell("B6", {EVIL: EVIL, "flows": 1, "rho": rho, "delay_ms": delay}, f"{EVIL}{name}", {EVIL: EVIL},
             (Sample(BEGAN, 1.0, measured), sample(1, {}, EVIL)))
        for rho, delay in ((0.1, 5), (0.2, 5), (0.1, 25), (9, 9)) for name in "ab"
    ]  # fmt: skip
    machine = replace(RESULT.machine, processor=EVIL, versions={EVIL: EVIL})
    return replace(RESULT, revision=EVIL, machine=machine, cells=tuple(cells))


class TestPage(unittest.TestCase):
    whole: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.whole = render(RESULT)

    def test_every_tag_is_closed(self) -> None:
        self.assertEqual(Page(self.whole.replace("<br>", " ")).open, [])

    def test_it_needs_nothing_from_elsewhere(self) -> None:
        for word in ("http:", "https:", "src=", "@import", "<script", "<link", "url(http", "xmlns"):
            self.assertNotIn(word, self.whole)

    def test_every_drawing_is_there_and_ids_are_apart(self) -> None:
        self.assertEqual(self.whole.count("<svg "), len(PLOTS))
        ids = [part.partition('"')[0] for part in self.whole.split(' id="')[1:]]
        self.assertEqual(len(ids), len(set(ids)))
        for reference in self.whole.split('href="#')[1:]:
            self.assertIn(reference.partition('"')[0], ids)

    def test_drawings_have_no_colour_or_font_of_their_own(self) -> None:
        drawings = "".join(part.partition("</svg>")[0] for part in self.whole.split("<svg ")[1:])
        self.assertNotRegex(drawings, r"[:\"] ?#[0-9a-f]{6}|font-family")

    def test_tables_and_axes_are_there_with_units(self) -> None:
        words = Page(self.whole.replace("<br>", " ")).words
        for word in ("What a user sees", "Goals", "B1: clustered VMs, 3 servers", "median ≤ 1.15; p95 ≤ 1.3", "yes",
                     "longest time without an answer [ms]", "sent over the WAN [MB]", "AMD EPYC 7R13"):  # fmt: skip
            self.assertIn(word, words)

    def test_a_result_without_data_has_no_drawings(self) -> None:
        for empty in (result(), result(Cell("B1", {}, "intercloud", {}, (sample(0, {}, "no"),)))):
            self.assertNotIn("<svg", render(empty))

    def test_one_value_or_none_of_it_can_be_drawn(self) -> None:
        zeros = {"blackout_s": 0.0, "lost": 0.0, "sent_bytes": 0.0, "distinct_bytes": 0.0, "limit_s": 0.0}
        scenario: Settings = {"flows": 0, "delay_ms": 0, "rho": "much"}
        cells = [Cell("B6", scenario, name, {}, (sample(0, zeros),)) for name in ("intercloud", "qemu")]
        self.assertEqual(render(result(*cells)).count("<svg "), 2)

    def test_sweeps_are_drawn_by_their_setting_and_not_twice(self) -> None:
        cells = [
            Cell("B3", {"delay_ms": delay, "hot_mib": hot}, name, {}, (sample(0, {"blackout_s": 0.1}),))
            for delay in (5, 25, 50)
            for hot in (0, 1)
            for name in ("intercloud", "qemu")
        ]
        text = render(result(*cells))
        self.assertEqual(text.count("<svg "), 1)
        for line in ("intercloud, idle", "qemu, idle", "intercloud, hot set 1 MiB", "qemu, hot set 1 MiB"):
            self.assertIn(f">{line}</text>", text)
        self.assertNotIn(">one-way delay [ms]<", render(result(*cells[:4])))

    def test_hostile_text_stays_text(self) -> None:
        text = render(hostile())
        self.assertEqual(text.count("<svg "), len(PLOTS))
        self.assertNotIn("<script", text)
        self.assertNotIn("<img", text)
        self.assertIn("&lt;script&gt;x&lt;/script&gt; &amp; $oops_{", text)
        self.assertEqual(Page(text.replace("<br>", " ")).open, [])

    def test_a_quick_run_is_said_to_be_one(self) -> None:
        self.assertNotIn("not for publication", self.whole)
        self.assertIn("not for publication", render(replace(result(), samples=3)))


class TestCommand(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_on(self, content: str | bytes, *words: str) -> tuple[int, str]:
        """Exit code, and what was said on stderr."""
        path = self.folder / "r.json"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
            return main([str(path), *words]), said.getvalue()

    def test_the_page_is_written_beside_the_result_or_where_it_is_wanted(self) -> None:
        self.assertEqual(self.run_on(to_json(result())), (0, ""))
        self.assertIn("Benchmarks of 2026-12-01", (self.folder / "r.html").read_text())
        self.assertEqual(self.run_on(to_json(result()), "-o", str(self.folder / "x.html")), (0, ""))
        self.assertTrue((self.folder / "x.html").exists())

    def test_bad_input_is_one_line_and_2(self) -> None:
        whole = json.loads(to_json(RESULT))
        cell = whole["cells"][0]
        endless = {**cell["samples"][0], "measured": {"figures": {"lost": float("nan")}}}
        for content, why in (
            ("", "Invalid JSON"),
            (b"\xff\xfe", "Invalid JSON"),
            ("{}", "began: Field required (and"),
            (json.dumps(whole | {"samples": "many"}), "samples: "),
            (json.dumps(whole | {"version": 3}), "version 3"),
            (json.dumps(whole | {"cells": [{**cell, "samples": [endless]}]}), "not a finite number"),
        ):
            code, said = self.run_on(content)
            self.assertEqual(code, 2)
            self.assertEqual(said.count("\n"), 1)
            self.assertIn(why, said)
            self.assertTrue(said.startswith("page: "))
        self.assertFalse((self.folder / "r.html").exists())

    def test_files_that_cannot_be_read_or_written(self) -> None:
        code, said = self.run_on(to_json(result()), "-o", str(self.folder / "no" / "x.html"))
        self.assertEqual((code, said.count("\n")), (2, 1))
        with contextlib.redirect_stderr(io.StringIO()) as told:
            self.assertEqual(main([str(self.folder / "none.json")]), 2)
        self.assertIn("none.json: No such file or directory", told.getvalue())


if __name__ == "__main__":
    unittest.main()
