import tempfile
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from intercloud.errors import CloudError, Refused
from intercloud.workflow.runs import Runs
from intercloud.workflow.step import Step


@dataclass
class Diary:
    fails_at: str = ""
    commits_at: str = ""
    findings: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    committed: bool = False

    def enter(self, name: str, number: int, count: int) -> None:
        self.entered = (name, number, count)

    def write(self, line: str) -> None:
        self.lines.append(line)
        self.committed |= line == self.commits_at
        if line == self.fails_at:
            raise CloudError(f"{line} failed")


def one(diary: Diary) -> None:
    diary.write("do one")


def two(diary: Diary) -> None:
    diary.write("do two")


def check(diary: Diary) -> tuple[str, ...]:
    diary.write("check")
    return diary.findings


def undo_one(diary: Diary) -> None:
    diary.write("undo one")


def undo_two(diary: Diary) -> None:
    diary.write("undo two")


STEPS = {"work": (Step("one", one, undo=undo_one), Step("two", two, check=check, undo=undo_two))}


class Running(unittest.TestCase):
    def run_with(self, diary: Diary) -> list[str]:
        @contextmanager
        def open_context(payload: str) -> Iterator[Diary]:
            self.assertEqual(payload, "{}")
            yield diary

        with (
            tempfile.TemporaryDirectory() as folder,
            Runs[Diary](f"sqlite:///{folder}/runs.sqlite", STEPS, open_context) as runs,
        ):
            runs.run("work", "{}", lambda: None)
        return diary.lines

    def test_all_checks_come_before_the_first_change(self) -> None:
        self.assertEqual(self.run_with(Diary()), ["check", "do one", "do two"])

    def test_a_finding_stops_everything_before_the_first_change(self) -> None:
        diary = Diary(findings=("no room",))
        with self.assertRaisesRegex(Refused, "no room"):
            self.run_with(diary)
        self.assertEqual(diary.lines, ["check"])

    def test_a_failure_is_undone_from_the_last_step_to_the_first(self) -> None:
        diary = Diary(fails_at="do two")
        with self.assertRaisesRegex(CloudError, "do two failed"):
            self.run_with(diary)
        self.assertEqual(diary.lines, ["check", "do one", "do two", "undo two", "undo one"])

    def test_an_undo_that_fails_is_told_and_the_others_are_done(self) -> None:
        class Stubborn(Diary):
            def write(self, line: str) -> None:
                super().write(line)
                if line == "undo two":
                    raise CloudError("cannot")

        diary = Stubborn(fails_at="do two")
        with self.assertRaises(CloudError) as caught:
            self.run_with(diary)
        self.assertEqual(diary.lines[-1], "undo one")
        self.assertIn("not undone: two: cannot", caught.exception.__notes__)

    def test_after_the_commit_nothing_is_undone(self) -> None:
        diary = Diary(fails_at="do two", commits_at="do one")
        with self.assertRaises(CloudError):
            self.run_with(diary)
        self.assertEqual(diary.lines, ["check", "do one", "do two"])


if __name__ == "__main__":
    unittest.main()
