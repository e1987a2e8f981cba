"""Progress never runs back, whatever is told, and is shown in three ways."""

import io
import unittest

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress

from intercloud.cli.progress import Bars, Lines, open_progress
from intercloud.model.progress import Estimate, Note, PhaseChange, ServerProgress, estimate
from intercloud.units import MIB, Bytes


def told(done: int, total: int, at: float, phase: str = "memory", server: str = "web") -> ServerProgress:
    return ServerProgress(server, phase, Bytes(done), Bytes(total), at)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestEstimate(unittest.TestCase):
    def test_a_steady_copy_is_estimated_right(self) -> None:
        now: Estimate | None = None
        for second in range(5):
            now = estimate(now, told(second * 10 * MIB, 100 * MIB, float(second)))
        assert now
        self.assertAlmostEqual(now.fraction, 0.4)
        self.assertAlmostEqual(now.rate, 10 * MIB)
        self.assertAlmostEqual(now.left or 0, 6.0)

    def test_a_growing_total_takes_nothing_back(self) -> None:
        """Memory that the guest dirties again: more to do, but neither figure runs back."""
        before = estimate(estimate(None, told(0, 100, 0.0)), told(90, 100, 1.0))
        after = estimate(before, told(92, 200, 2.0))
        self.assertEqual((after.fraction, after.total), (before.fraction, 200))
        assert after.left is not None
        assert before.left is not None
        self.assertLessEqual(after.left, before.left)

    def test_another_phase_begins_anew(self) -> None:
        now = estimate(estimate(None, told(90, 100, 0.0, "disks")), told(1, 100, 1.0))
        self.assertEqual((now.phase, now.fraction, now.rate, now.left), ("memory", 0.01, 0.0, None))

    def test_nothing_to_do_is_no_error(self) -> None:
        self.assertEqual(estimate(estimate(None, told(0, 0, 0.0)), told(0, 0, 1.0)).fraction, 0.0)

    @given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(-1, 5)), min_size=2))
    def test_it_never_runs_back(self, steps: list[tuple[int, int, float]]) -> None:
        now: Estimate | None = None
        at = 0.0
        for done, total, pause in steps:
            at += pause
            before, now = now, estimate(now, told(done, total, at))
            self.assertTrue(0 <= now.fraction <= 1)
            if before:
                self.assertGreaterEqual(now.fraction, before.fraction)
                self.assertGreaterEqual(now.done, before.done)
                self.assertTrue(before.left is None or (now.left is not None and now.left <= before.left))


class TestLines(unittest.TestCase):
    def lines(self, *events: ServerProgress | PhaseChange | Note) -> list[str]:
        stream = io.StringIO()
        with open_progress(stream, quiet=False) as say:
            for event in events:
                say(event)
        return stream.getvalue().splitlines()

    def test_a_change_of_phase_is_a_line_and_then_one_each_few_seconds(self) -> None:
        copy = [told(tenth * MIB, 100 * MIB, tenth / 10) for tenth in range(101)]
        self.assertEqual(
            self.lines(PhaseChange("memory", 4, 8, 0.0), *copy, Note("all servers run at lab-b")),
            [
                "[4/8] memory",
                "web: memory   0%  0 B of 100.0 MiB",
                "web: memory  30%  30.0 MiB of 100.0 MiB  10.0 MiB/s  7 s left",
                "web: memory  60%  60.0 MiB of 100.0 MiB  10.0 MiB/s  4 s left",
                "web: memory  90%  90.0 MiB of 100.0 MiB  10.0 MiB/s  1 s left",
                "web: memory 100%  100.0 MiB of 100.0 MiB",
                "all servers run at lab-b",
            ],
        )

    def test_servers_are_told_apart(self) -> None:
        both = [told(0, MIB, 0.0, server=name) for name in ("web", "db")]
        self.assertEqual(self.lines(*both), ["web: memory   0%  0 B of 1.0 MiB", "db: memory   0%  0 B of 1.0 MiB"])

    def test_quiet_is_quiet(self) -> None:
        stream = io.StringIO()
        with open_progress(stream, quiet=True) as say:
            say(Note("hello"))
        self.assertEqual(stream.getvalue(), "")


class TestBars(unittest.TestCase):
    def test_a_bar_for_each_server_and_one_for_the_cluster(self) -> None:
        stream = io.StringIO()
        progress = Progress(console=Console(file=stream, force_terminal=True, width=120))
        bars = Bars(progress)
        bars(PhaseChange("disks", 3, 4, 0.0))
        bars(told(50, 100, 0.0, "disks", "web"))
        bars(told(100, 100, 0.0, "disks", "db"))
        bars(Note("[1] as it is"))
        self.assertEqual([task.description for task in progress.tasks], ["cluster", "web", "db"])
        self.assertEqual([task.completed for task in progress.tasks], [(2 + 0.75) / 4, 0.5, 1.0])
        self.assertIn("[1] as it is", stream.getvalue())

    def test_a_terminal_gets_bars(self) -> None:
        stream = Terminal()
        with open_progress(stream, quiet=False) as say:
            self.assertIsInstance(say, Bars)
            say(told(50, 100, 0.0))
        self.assertIn("web", stream.getvalue())
        with open_progress(io.StringIO(), quiet=False) as say:
            self.assertIsInstance(say, Lines)


if __name__ == "__main__":
    unittest.main()
