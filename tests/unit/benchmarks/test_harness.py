"""What the harness does with samples that fail."""

import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO

from benchmarks.harness import Failed, Lane, Scenario, run
from benchmarks.result import Measured

from intercloud.errors import CloudError


def measured(lane: Lane, samples: int) -> list[str | None]:
    """Take samples of one lane; returns why each failed."""

    @contextmanager
    def opened() -> Iterator[Sequence[Lane]]:
        yield [lane]

    with redirect_stderr(StringIO()):
        (cell,) = run([Scenario("B1", {}, opened)], samples)
    return [sample.failed for sample in cell.samples]


class Broken:
    """An operation that works until it has been done once, and again when what it left is made anew."""

    def __init__(self) -> None:
        self.whole = True

    def measure(self) -> Measured:
        if not self.whole:
            raise Failed("it is still broken")
        self.whole = False
        raise Failed("it broke")

    def renew(self) -> None:
        self.whole = True


class FailedSamples(unittest.TestCase):
    def lane(self, renew: Callable[[], None]) -> list[str | None]:
        return measured(Lane("it", self.broken.measure, renew=renew), 3)

    def setUp(self) -> None:
        self.broken = Broken()

    def test_each_begins_from_a_fresh_state(self) -> None:
        self.assertEqual(self.lane(self.broken.renew), ["it broke"] * 3)

    def test_those_that_cannot_begin_anew_are_results_too(self) -> None:
        def renew() -> None:
            raise CloudError("no room")

        self.assertEqual(self.lane(renew), ["it broke", "it is still broken", "it is still broken"])
