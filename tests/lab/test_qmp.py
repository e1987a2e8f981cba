"""Monitors of real QEMUs without guests: what was asked for, and what one tells by itself meanwhile."""

import os
import signal
import tempfile
import time
import unittest
from pathlib import Path

from intercloud.transfer.qmp import Qmp, wait_unless
from tests import needs
from tests.lab import bare

SOON = 5.0
"""Seconds; less than a command may take."""


@needs.guest
class Monitors(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.deaf, self.well = self.start("deaf"), self.start("well")

    def start(self, name: str) -> tuple[Qmp, int]:
        """Start a QEMU; returns its monitor and its process."""
        words = ["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none", "-accel", "tcg"]
        return bare.start(self, self.folder / name, words)

    def test_an_event_of_one_ends_the_wait_for_another_that_does_not_answer(self) -> None:
        (deaf, pid), (well, _) = self.deaf, self.well
        stop = well.coming("STOP", well.mark())
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        answers = [deaf.promise("query-status"), well.promise("query-status")]
        self.assertFalse(stop.done())
        well.execute("stop")
        began = time.monotonic()
        wait_unless(answers, [stop])
        self.assertLess(time.monotonic() - began, SOON)
        self.assertEqual("STOP", stop.result(SOON).name)
        self.assertEqual([False, True], [answer.kept for answer in answers])
        os.kill(pid, signal.SIGCONT)
        self.assertEqual("running", answers[0]()["status"])

    def test_without_news_all_answers_are_waited_for(self) -> None:
        (deaf, _), (well, _) = self.deaf, self.well
        answers = [deaf.promise("query-status"), well.promise("query-status")]
        wait_unless(answers, [well.coming("STOP", well.mark())])
        self.assertEqual([True, True], [answer.kept for answer in answers])

    def test_an_event_that_has_come_is_there_at_once(self) -> None:
        well, _ = self.well
        mark = well.mark()
        well.execute("stop")
        well.wait(lambda event: event.name == "STOP", SOON, mark)
        self.assertTrue(well.coming("STOP", mark).done())
        self.assertFalse(well.coming("STOP", well.mark()).done())
