"""Memories of real QEMUs whose machines have next to nothing to do: firmware that finds nothing to boot."""

import tempfile
import time
import unittest
from pathlib import Path

from intercloud.clouds.address import Address
from intercloud.clouds.lab.emulator import emulator, prepare
from intercloud.transfer.channel import Way
from intercloud.transfer.memory import SWITCHOVER, Memory
from intercloud.transfer.qmp import Qmp
from intercloud.units import Seconds
from tests import needs
from tests.lab import bare
from tests.lab.labs import CACHE

PATIENCE = Seconds(bare.PATIENCE)
A_WHILE = 0.5
"""Seconds; one of QEMU's windows has 0.1."""


@needs.lab
class Idle(unittest.TestCase):
    def setUp(self) -> None:
        prepare(CACHE, print)
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.source, self.target = self.start("source"), self.start("target", "-incoming", "defer")
        self.memory = Memory(self.source, self.target)
        if SWITCHOVER not in self.source.execute("query-migrate-parameters"):
            needs.absent(self, "needs QEMU 8.2")
        address = Address(path=str(self.folder / "memory"))
        self.memory.start(Way(address, address), throttle=False, postcopy=False)

    def start(self, name: str, *more: str) -> Qmp:
        words = [*emulator(CACHE).words, "-M", "pc", "-m", "64", "-nodefaults", "-display", "none", "-accel", "tcg"]
        return bare.start(self, self.folder / name, [*words, *more])[0]

    def wait_sent(self) -> int:
        """Wait until nothing is left to send; returns how many rounds have begun."""
        deadline = time.monotonic() + PATIENCE
        while (sample := self.memory.sample()).remaining or not sample.total:
            self.assertLess(time.monotonic(), deadline, "it is not sent")
            time.sleep(0.02)
        return sample.passes

    def assert_runs(self) -> None:
        time.sleep(A_WHILE)
        self.assertEqual("running", self.source.execute("query-status")["status"])

    def test_it_is_not_stopped_by_qemu_whatever_is_left_and_goes_when_we_stop_it(self) -> None:
        self.assertEqual(self.wait_sent(), 1)
        self.assert_runs()
        self.assertEqual(self.memory.sample().passes, 1)  # nobody has told it to look
        self.memory.hold()
        self.assertTrue(self.memory.wait_round(2, PATIENCE))
        self.assert_runs()
        self.assertLess(self.memory.sample().passes, 2 + 3 * A_WHILE / 0.1)
        self.memory.releasing(rounds=False)()
        self.assert_runs()
        rounds = self.wait_sent()
        self.assert_runs()
        self.assertEqual(self.memory.sample().passes, rounds)
        marks = self.source.mark(), self.target.mark()
        self.source.execute("stop")
        self.memory.wait_flushed(PATIENCE, marks[0])
        self.memory.load(PATIENCE, marks[1])
        self.memory.wait_complete(PATIENCE)
        self.target.execute("cont")
        self.assertEqual("running", self.target.execute("query-status")["status"])

    def test_whoever_moves_it_after_us_finds_it_as_it_was(self) -> None:
        self.assertFalse(self.memory.may_stop())
        self.memory.cancel()
        self.memory.wait_ended(PATIENCE)
        self.memory.leave()
        self.assertTrue(self.memory.may_stop())
        self.memory.leave()


if __name__ == "__main__":
    unittest.main()
