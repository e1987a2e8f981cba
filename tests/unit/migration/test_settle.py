"""Every cell of the table: it has an action, and no action that could hurt."""

import itertools
import unittest
from collections.abc import Iterator
from dataclasses import replace

from intercloud.migration.settle import (
    ACTIVE,
    NORMAL,
    RUNNING,
    TABLES,
    URGENCY,
    Action,
    Commit,
    Disks,
    Evidence,
    Flows,
    Memory,
    Row,
    Run,
    Source,
    Target,
    next_row,
    settle,
)
from intercloud.model.strategy import Strategy

ALIVE = (Source.RUNS, Source.HALTED)
STOPPED = (Source.HALTED, Source.OFF, Source.GONE, Source.LOST)
LIVE = Run(Strategy.LIVE)


def cells(strategy: Strategy) -> Iterator[tuple[Evidence, Run]]:
    """Every combination; a source that is not alive tells of no transfer."""
    flags = (False, True)
    for source, target in itertools.product(Source, Target):
        live = strategy is Strategy.LIVE
        memories = Memory if live and source in ALIVE else (Memory.IDLE,)
        for memory, disks, flows, ran in itertools.product(memories, Disks, Flows, flags):
            it = Evidence(source, target, memory, disks, flows, ran)
            for back, commit, verified in itertools.product(flags, Commit, flags):
                yield it, Run(strategy, back, commit, verified)


class Cells(unittest.TestCase):
    used: dict[Strategy, set[Row]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.table = {
            strategy: [(it, run, settle({"one": it}, run).action) for it, run in cells(strategy)] for strategy in TABLES
        }

    def found(self, *actions: Action) -> Iterator[tuple[Evidence, Run]]:
        hits = 0
        for table in self.table.values():
            for it, run, action in table:
                if action in actions:
                    hits += 1
                    yield it, run
        self.assertGreater(hits, 0)

    def test_every_cell_is_filled(self) -> None:
        self.assertGreater(sum(map(len, self.table.values())), 10000)
        for table in self.table.values():
            self.assertTrue(all(action in URGENCY for _, _, action in table))

    def test_every_line_is_needed(self) -> None:
        for strategy, rows in TABLES.items():
            used = {id(next_row(it, run)) for it, run in cells(strategy)}
            self.assertEqual([row for row in rows if id(row) not in used], [])

    def test_every_action_has_its_urgency(self) -> None:
        self.assertEqual(sorted(URGENCY), sorted(Action))
        for actions in NORMAL.values():
            self.assertLessEqual(set(actions), set(URGENCY))

    def test_a_target_runs_only_when_its_source_is_proven_stopped(self) -> None:
        for it, run in self.found(Action.LET_RUN, Action.START_TARGET):
            self.assertIn(it.source, STOPPED, (it, run))

    def test_a_target_is_let_run_only_when_it_is_complete(self) -> None:
        for it, run in self.found(Action.LET_RUN):
            self.assertIs(it.target, Target.LOADED, (it, run))

    def test_a_source_goes_on_only_when_its_target_has_never_run(self) -> None:
        never = (Target.NONE, Target.OFF, Target.WAITS, Target.FILLING, Target.LOADED, Target.OWN_OFF)
        for it, run in self.found(Action.THAW, Action.START_SOURCE):
            self.assertIn(it.target, (*never, Target.LOST), (it, run))
            if it.target is Target.LOST:  # the operator gives up what only the target has
                self.assertTrue(run.back)
            if it.target is Target.OWN_OFF:  # made from its disks, not booted
                self.assertIsNot(run.commit, Commit.YES)
                self.assertIsNot(run.strategy, Strategy.LIVE)
            if it.target is Target.LOADED:  # it may have run, and been paused since
                self.assertIs(run.commit, Commit.NO)
            if it.target in (Target.OFF, Target.NONE) and run.commit is not Commit.NO:
                self.assertNotIn(it.memory, (Memory.DONE, Memory.POSTCOPY), (it, run))

    def test_two_running_copies_are_ended_at_once(self) -> None:
        for table in self.table.values():
            for it, _, action in table:
                if it.source is Source.RUNS and it.target is Target.OWN_RUNS:
                    self.assertIs(action, Action.FENCE)

    def test_nothing_is_guessed_about_what_cannot_be_seen(self) -> None:
        harmless = (Action.WAIT, Action.TURN, Action.ASK)
        for table in self.table.values():
            for it, run, action in table:
                if it.source is Source.UNKNOWN or it.target is Target.UNKNOWN:
                    self.assertIn(action, harmless, (it, run))

    def test_nothing_is_cleaned_that_runs_or_has_run(self) -> None:
        for it, run in self.found(Action.CLEAN):
            self.assertNotIn(it.target, (*RUNNING, Target.UNKNOWN), (it, run))
            self.assertIn(it.source, (Source.RUNS, Source.HALTED, Source.OFF), (it, run))
            if run.strategy is not Strategy.LIVE and it.target is not Target.LOST:
                self.assertIsNot(run.commit, Commit.YES)

    def test_a_source_is_released_only_after_the_proof(self) -> None:
        for it, run in self.found(Action.RELEASE):
            self.assertTrue(run.verified)
            self.assertIs(it.flows, Flows.TARGET)

    def test_it_ends_only_where_one_copy_is_and_its_flows_go(self) -> None:
        for it, run in self.found(Action.MOVED):
            self.assertIn((it.source, it.flows), ((Source.GONE, Flows.TARGET), (Source.LOST, Flows.TARGET)), run)
            self.assertIn(it.target, (Target.OWN_RUNS, Target.OWN_OFF))
        for it, run in self.found(Action.STAYS):
            self.assertIn((it.target, it.flows), ((Target.NONE, Flows.SOURCE), (Target.LOST, Flows.SOURCE)), run)
            if run.strategy is Strategy.LIVE:
                self.assertIs(it.source, Source.RUNS)
                self.assertNotIn(it.memory, ACTIVE)

    def test_nothing_goes_back_after_the_commit(self) -> None:
        for table in self.table.values():
            for it, run, action in table:
                if run.commit is Commit.YES and it.target in RUNNING:
                    self.assertNotIn(action, (Action.THAW, Action.START_SOURCE, Action.CLEAN, Action.STAYS))


class Gangs(unittest.TestCase):
    def act(self, *servers: Evidence, run: Run = LIVE) -> tuple[Action, tuple[str, ...]]:
        turn = settle({f"s{number}": it for number, it in enumerate(servers)}, run)
        return turn.action, turn.servers

    loaded = Evidence(Source.HALTED, Target.LOADED, Memory.DONE, flows=Flows.TARGET)
    flushed = Evidence(Source.HALTED, Target.FILLING, Memory.FLUSHED, Disks.READY, Flows.TARGET)
    held = Evidence(Source.RUNS, Target.FILLING, Memory.HELD, Disks.READY)
    crossed = Evidence(Source.HALTED, Target.RUNS, Memory.DONE, flows=Flows.TARGET)

    def test_all_cross_or_none(self) -> None:
        self.assertEqual(self.act(self.loaded, self.loaded), (Action.LET_RUN, ("s0", "s1")))
        self.assertEqual(self.act(self.loaded, self.flushed), (Action.THAW, ("s0", "s1")))
        self.assertEqual(self.act(self.held, self.held), (Action.SWITCH, ("s0", "s1")))
        self.assertEqual(self.act(self.held, self.flushed), (Action.SWITCH, ("s0", "s1")))

    def test_one_that_has_crossed_commits_all(self) -> None:
        self.assertEqual(self.act(self.loaded, self.crossed), (Action.LET_RUN, ("s0",)))
        back = Run(Strategy.LIVE, back=True)
        self.assertEqual(self.act(self.loaded, self.crossed, run=back), (Action.LET_RUN, ("s0",)))
        self.assertEqual(self.act(self.loaded, self.loaded, run=back), (Action.THAW, ("s0", "s1")))

    def test_after_a_crash_an_unseen_server_may_have_crossed(self) -> None:
        unseen = Evidence(Source.HALTED, Target.UNKNOWN, Memory.DONE)
        maybe = Run(Strategy.LIVE, commit=Commit.MAYBE)
        self.assertEqual(self.act(self.loaded, unseen, run=maybe)[0], Action.WAIT)
        self.assertEqual(self.act(self.loaded, unseen), (Action.THAW, ("s0",)))
        self.assertEqual(self.act(self.flushed, unseen, run=maybe), (Action.THAW, ("s0",)))

    def test_a_lost_target_gives_up_the_commit_only_with_all(self) -> None:
        lost = Evidence(Source.HALTED, Target.LOST, Memory.DONE, flows=Flows.TARGET)
        back = Run(Strategy.LIVE, back=True, commit=Commit.YES)
        self.assertEqual(self.act(lost, lost, run=back), (Action.THAW, ("s0", "s1")))
        adopted = replace(self.crossed, target=Target.OWN_RUNS)
        self.assertEqual(self.act(lost, adopted, run=back), (Action.ASK, ("s0",)))

    def test_a_source_that_runs_after_the_commit_is_not_moved_again(self) -> None:
        again = Evidence(Source.RUNS, Target.NONE)
        back = Run(Strategy.LIVE, back=True, commit=Commit.YES)
        self.assertEqual(self.act(again, again, run=back)[0], Action.ASK)
        given_up = replace(again, target=Target.LOST)
        self.assertEqual(self.act(given_up, given_up, run=back)[0], Action.STAYS)

    def test_a_lost_source_lets_those_run_that_are_complete(self) -> None:
        lost = Evidence(Source.LOST, Target.LOADED, flows=Flows.SOURCE)
        self.assertEqual(self.act(lost, lost), (Action.LET_RUN, ("s0", "s1")))
        half = Evidence(Source.LOST, Target.FILLING)
        self.assertEqual(self.act(half, half), (Action.ASK, ("s0", "s1")))

    def test_a_server_whose_source_died_complete_at_the_target_runs_there(self) -> None:
        died = Evidence(Source.OFF, Target.LOADED, flows=Flows.TARGET)
        self.assertEqual(self.act(died, self.flushed), (Action.LET_RUN, ("s0",)))

    def test_images_come_before_the_first_landing(self) -> None:
        fresh = Evidence(Source.RUNS, Target.NONE)
        self.assertEqual(self.act(fresh, run=Run(Strategy.LIVE, images=True))[0], Action.IMAGES)
        self.assertEqual(self.act(fresh)[0], Action.LAND)

    def test_what_comes_first_is_done_first(self) -> None:
        waits = Evidence(Source.RUNS, Target.WAITS)
        ready = Evidence(Source.RUNS, Target.WAITS, disks=Disks.READY)
        self.assertEqual(self.act(waits, ready, self.held), (Action.MIRROR, ("s0",)))


if __name__ == "__main__":
    unittest.main()
