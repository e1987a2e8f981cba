"""The page: whole, self-contained, and right for every kind of report."""

import unittest
from dataclasses import replace
from html.parser import HTMLParser

from intercloud.cli.report_figures import ticks
from intercloud.cli.report_html import render
from intercloud.model.report import Report, Status
from intercloud.units import Seconds

from .report_sample import REPORT

VOID = {"meta"}


class Page(HTMLParser):
    """Collects the words, and fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


def cold(report: Report) -> Report:
    """The same as a cold move that nobody probed."""
    servers = tuple(
        replace(
            server, strategy="cold", rounds=None, unique_bytes=None, blackout_s=None, hypervisor_downtime_s=None,
            limit_s=None, ratio_to_limit=None, disk_digest_equal=None,
        )
        for server in report.servers
    )  # fmt: skip
    return replace(
        report, strategy="cold", servers=servers, probe=None, split_window_s=None, reconfiguration_s=None,
        reconfiguration_per_switch_s={}, barrier_rtt_s={}, timeline=(),
    )  # fmt: skip


class TestPage(unittest.TestCase):
    def test_every_tag_is_closed(self) -> None:
        for report in (REPORT, cold(REPORT)):
            self.assertEqual(Page(render(report)).open, [])

    def test_it_needs_nothing_from_elsewhere(self) -> None:
        text = render(REPORT)
        for word in ("http://", "https://", "src=", "url(", "@import", "<script", "<link"):
            self.assertNotIn(word, text)

    def test_the_headline_figures_are_there_with_units(self) -> None:
        words = Page(render(REPORT)).words
        for word in ("54.1 ms", "61.3 ms", "420 µs", "9.9 s", "of 10,450 sent, 0 duplicated", "1.77", "Completed"):
            self.assertIn(word, words)

    def test_three_figures_for_a_probed_live_move_and_none_without_times(self) -> None:
        self.assertEqual(Page(render(REPORT)).tags.count("svg"), 3)
        self.assertEqual(Page(render(cold(REPORT))).tags.count("svg"), 0)

    def test_hostile_text_stays_text(self) -> None:
        evil = replace(REPORT, cluster="<script>x", message="$oops & <b>", findings=("<img>",))
        text = render(evil)
        self.assertNotIn("<script", text)
        self.assertNotIn("<img", text)
        self.assertIn("$oops &amp; &lt;b&gt;", text)

    def test_a_disk_that_differs_is_shown_with_its_roots(self) -> None:
        disk = replace(REPORT.servers[2].disks[0], root_at_target="0" * 64, equal=False)
        words = Page(render(replace(REPORT, servers=(replace(REPORT.servers[2], disks=(disk,)),)))).words
        for word in ("Root at source", "fedcba9876543210", "0000000000000000", "different"):
            self.assertIn(word, words)
        self.assertNotIn("Root at source", Page(render(replace(REPORT, servers=()))).words)

    def test_a_failure_is_said_with_its_findings(self) -> None:
        failed = replace(REPORT, status=Status.ROLLED_BACK, message="the WAN went down", findings=("db: disk full",))
        words = Page(render(failed)).words
        for word in ("Rolled back", "the WAN went down", "db: disk full"):
            self.assertIn(word, words)

    def test_a_run_that_ended_before_any_switchover(self) -> None:
        timeline = tuple(replace(each, phases=each.phases[:2], marks=()) for each in REPORT.timeline)
        page = Page(render(replace(REPORT, timeline=timeline, migration_time_s=Seconds(3.1))))
        self.assertEqual(page.tags.count("svg"), 2)


class TestTicks(unittest.TestCase):
    def test_round_numbers_between_the_ends(self) -> None:
        self.assertEqual(ticks(0, 10), [0, 2, 4, 6, 8, 10])
        self.assertEqual(ticks(-21.3, 84.0), [-20, 0, 20, 40, 60, 80])
        self.assertEqual(ticks(0.0, 0.012, 4), [0.0, 0.005, 0.01])
        self.assertEqual(ticks(1, 1), [])


if __name__ == "__main__":
    unittest.main()
