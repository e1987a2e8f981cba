"""Walks through the table with servers in a model, interrupted anywhere: by crashes, failures and deaths.

The model knows what the table cannot: which copy has what was acknowledged last. Whatever happens, no two copies run, a
source never runs again after its target has run, nothing boots from disks that are not whole, and in the end every
server runs exactly once, or the operator is asked for a reason.
"""

import unittest
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from intercloud.migration.settle import (
    RUNNING,
    Action,
    Commit,
    Disks,
    Evidence,
    Flows,
    Memory,
    Run,
    Source,
    Target,
    crossed,
    settle,
)
from intercloud.model.strategy import Strategy

MOST_TURNS = 200


@dataclass
class Server:
    """What is true of one server. whole: the target's disks have all; crossed: the target has run."""

    it: Evidence
    whole: bool = False
    crossed: bool = False
    deaths: int = 0
    blind: bool = False
    lost: Source | Target | None = None

    def look(self) -> Evidence:
        """What is seen of it: less than what is true."""
        if self.lost is Source.LOST:
            noted = self.it.target in (Target.OWN_OFF, Target.OWN_RUNS)
            it = replace(self.it, source=Source.LOST, memory=Memory.IDLE)
            return it if noted else replace(it, disks=Disks.NONE)
        if self.lost is Target.LOST:
            return replace(self.it, target=Target.LOST)
        return replace(self.it, target=Target.UNKNOWN) if self.blind else self.it

    def lose(self, side: Source | Target) -> None:
        """Let its cloud be gone for good, and the operator say so. What only that has is given up."""
        self.lost = side
        self.deaths += 1
        if side is Source.LOST:
            self.kill_source()
        else:
            self.kill_target()
            self.crossed = False
            self.set(target=Target.NONE)

    def set(self, **changes: object) -> None:
        self.it = replace(self.it, **changes)  # type: ignore[arg-type]
        if self.it.target in RUNNING:
            assert self.whole, "it runs from disks that are not whole"
            self.crossed = True
        assert not (self.it.source is Source.RUNS and self.it.target in RUNNING), "two running copies"
        assert not (self.it.source is Source.RUNS and self.crossed), "acknowledged writes are lost"

    def release(self) -> None:
        if self.it.memory is Memory.HELD:
            self.set(memory=Memory.COPYING)

    def spin(self) -> None:
        """Let its transfer go round for long with nobody there."""
        if self.it.memory in (Memory.COPYING, Memory.FLUSHED):
            self.set(memory=Memory.DOUBTED)

    def kill_source(self) -> None:
        if self.it.source in (Source.RUNS, Source.HALTED):
            self.deaths += 1
            broken = {"target": Target.OFF} if self.it.target is Target.FILLING else {}
            noted = self.it.target in (Target.OWN_OFF, Target.OWN_RUNS)  # how far copies at rest came is written down
            self.set(source=Source.OFF, memory=Memory.IDLE, disks=self.it.disks if noted else Disks.NONE, **broken)

    def kill_target(self) -> None:
        ends = {Target.RUNS: Target.OFF, Target.OWN_RUNS: Target.OWN_OFF}
        if self.it.target in (Target.WAITS, Target.FILLING, Target.LOADED, *RUNNING):
            self.deaths += 1
            moved = self.it.memory in (Memory.DONE, Memory.POSTCOPY)
            self.set(
                target=ends.get(self.it.target, Target.OFF),
                memory=self.it.memory if moved else Memory.IDLE,
                disks=self.it.disks if self.it.target in RUNNING else Disks.NONE,
            )


@dataclass
class Model:
    strategy: Strategy
    servers: list[Server]
    run: Run = field(init=False)
    ended: Action | None = None
    turns: int = 0
    parts: int = 0
    loss: tuple[int, Source | Target] | None = None

    def __post_init__(self) -> None:
        self.run = Run(self.strategy, images=True)

    def look(self) -> dict[str, Evidence]:
        return {str(number): server.look() for number, server in enumerate(self.servers)}

    def note(self, **changes: object) -> None:
        self.run = replace(self.run, **changes)  # type: ignore[arg-type]

    def act(self, action: Action, servers: list[Server]) -> Iterator[None]:
        """Do it in small parts; it may be cut off at each `yield`."""
        live = self.strategy is Strategy.LIVE
        match action:
            case Action.IMAGES:
                self.note(images=False)
            case Action.SWITCH:
                yield from self.switch(servers)
            case Action.COMMIT:
                for server in servers:
                    server.set(flows=Flows.TARGET)
                yield
                self.note(commit=Commit.YES)
            case Action.VERIFY:
                self.note(verified=True)
            case Action.LET_RUN | Action.THAW | Action.CLEAN | Action.TURN | Action.TURN_BACK:
                yield from self.repair(action, servers)
            case Action.START_SOURCE | Action.START_TARGET:
                yield from self.repair(action, servers)
            case Action.MOVED | Action.STAYS | Action.ASK:
                self.ended = action
            case _:
                for server in servers:
                    self.forward(action, server, live)
                    yield

    def forward(self, action: Action, server: Server, live: bool) -> None:
        match action:
            case Action.LAND:
                server.whole = False
                server.set(target=Target.WAITS if live else Target.OWN_OFF)
            case Action.MIRROR:
                server.set(disks=Disks.READY)
            case Action.COPY if server.it.memory is Memory.COPYING:
                server.set(memory=Memory.HELD)
            case Action.COPY:
                server.set(target=Target.FILLING, memory=Memory.COPYING)
            case Action.ROUNDS:
                server.set(disks=Disks.COPYING)
            case Action.STOP:
                server.set(source=Source.OFF)
            case Action.DELTA:
                server.whole = True
                server.set(disks=Disks.READY)
            case Action.ADOPT:
                server.set(target=Target.OWN_RUNS)
            case Action.RELEASE:
                assert self.run.verified
                server.set(source=Source.GONE, memory=Memory.IDLE, disks=Disks.NONE)
            case Action.FENCE:
                server.set(source=Source.HALTED)

    def switch(self, servers: list[Server]) -> Iterator[None]:
        for server in servers:
            server.release()
            yield
        for server in servers:
            server.set(flows=Flows.TARGET)
            yield
        for server in servers:
            if server.it.source is Source.RUNS:
                server.set(source=Source.HALTED)
                yield
        for server in servers:
            if server.it.source is not Source.HALTED or server.it.target is not Target.FILLING:
                return  # a death on the way: the act fails
            server.set(memory=Memory.FLUSHED)
            yield
            if server.it.memory is not Memory.FLUSHED:
                return
            server.whole = True
            server.set(memory=Memory.DONE, disks=Disks.NONE)
            yield
            if server.it.target is not Target.FILLING:
                return
            server.set(target=Target.LOADED)
            yield
        if all(server.it.target is Target.LOADED for server in servers):
            self.note(commit=Commit.YES)
            for server in servers:
                if server.it.target is Target.LOADED:
                    server.set(target=Target.RUNS)
                yield

    def repair(self, action: Action, servers: list[Server]) -> Iterator[None]:
        for server in servers:
            match action:
                case Action.LET_RUN:
                    assert server.it.source is not Source.RUNS
                    self.note(commit=Commit.YES)
                    server.set(target=Target.RUNS)
                case Action.THAW:
                    broken = {"target": Target.OFF} if server.it.target is Target.FILLING else {}
                    done = server.it.memory is Memory.DONE
                    server.set(memory=Memory.DONE if done else Memory.IDLE, **broken)
                    yield
                    if server.it.source is Source.HALTED:
                        server.set(source=Source.RUNS)
                    yield
                    server.set(flows=Flows.SOURCE)
                case Action.CLEAN:
                    server.set(memory=Memory.IDLE)
                    yield
                    server.set(disks=Disks.NONE)
                    yield
                    server.set(target=Target.NONE)
                case Action.TURN:
                    server.set(flows=Flows.TARGET)
                case Action.TURN_BACK:
                    server.set(flows=Flows.SOURCE)
                case Action.START_SOURCE:
                    assert server.lost is not Source.LOST
                    server.set(source=Source.RUNS)
                case Action.START_TARGET:
                    server.set(target=Target.OWN_RUNS)
            yield
        if action is Action.THAW and self.run.commit is Commit.MAYBE:
            self.note(commit=Commit.NO)

    def turn(self, interruptions: Mapping[int, int]) -> None:
        self.turns += 1
        recorded = self.run
        if crossed(self.look(), self.run):
            self.note(commit=Commit.YES)
        turn = settle(self.look(), self.run)
        servers = [self.servers[int(name)] for name in turn.servers]
        for _ in self.act(turn.action, servers):
            self.parts += 1
            if self.loss is not None and self.parts == self.loss[0]:
                self.killed(1, recorded)
                for server in self.servers:
                    server.lose(self.loss[1])
                self.note(back=self.loss[1] is Target.LOST)
                return
            if self.interrupted(interruptions.get(self.parts, 0), recorded):
                return

    def killed(self, what: int, recorded: Run) -> None:
        """Let the program be killed, and perhaps a hypervisor, or transfers spin, while nobody looks."""
        if what >= 24:
            for server in self.servers:
                server.spin()
        elif what >= 16:
            self.servers[0].kill_source()
        elif what >= 8:
            self.servers[0].kill_target()
        self.run = replace(recorded, images=self.run.images)
        if self.run.commit is Commit.NO and self.strategy is Strategy.LIVE:
            self.note(commit=Commit.MAYBE)

    def interrupted(self, what: int, recorded: Run) -> bool:
        """Let something happen; tells whether it cuts the act off. recorded: what a program that is killed leaves."""
        victim = self.servers[what // 8 % len(self.servers)]
        match what % 8:
            case 1:
                self.killed(what, recorded)
                return True
            case 2:  # the act fails: it goes back, if that can still be
                if self.run.commit is not Commit.YES:
                    self.note(back=True)
                return True
            case 3:
                victim.kill_target()
            case 4:
                victim.kill_source()
            case 5:
                victim.blind = not victim.blind
            case 6 if victim.it.memory in (Memory.COPYING, Memory.HELD) and victim.it.source is Source.RUNS:
                victim.set(source=Source.HALTED, memory=Memory.FLUSHED)  # QEMU found nothing left to send
            case 7 if victim.it.target is Target.RUNS:
                victim.deaths += 1
                victim.set(target=Target.LOADED)  # its disk is full: QEMU pauses it
            case 7 if self.run.commit is not Commit.YES:
                self.note(back=True)  # the user wants it back
        return False


def walk(
    strategy: Strategy,
    count: int,
    interruptions: Mapping[int, int],
    loss: tuple[int, Source | Target] | None = None,
) -> Model:
    """Walk to an end. loss: after which part the program is killed and a cloud is lost for good, and which side."""
    model = Model(strategy, [Server(Evidence(Source.RUNS, Target.NONE)) for _ in range(count)], loss=loss)
    while model.ended is None and model.turns < MOST_TURNS:
        if model.turns > MOST_TURNS // 2:  # whoever could not be seen is seen again
            for server in model.servers:
                server.blind = False
        model.turn(interruptions)
    return model


interruptions = st.dictionaries(st.integers(1, 60), st.integers(1, 31), max_size=5)
"""After which part of which act something happens, and what."""


class Walks(unittest.TestCase):
    def check(self, model: Model) -> None:
        self.assertIsNotNone(model.ended, "it goes on for ever")
        if model.ended is Action.ASK:
            self.assertTrue(any(server.deaths for server in model.servers), "the operator is asked without need")
            return
        for server in model.servers:
            at_source, at_target = server.it.source is Source.RUNS, server.it.target is Target.OWN_RUNS
            self.assertTrue(at_source != at_target, server)
            self.assertEqual(at_target, model.ended is Action.MOVED)
            self.assertIs(server.it.flows, Flows.TARGET if at_target else Flows.SOURCE)

    @settings(max_examples=1000, deadline=None)
    @given(st.integers(1, 3), interruptions)
    def test_live(self, count: int, interruptions: dict[int, int]) -> None:
        self.check(walk(Strategy.LIVE, count, interruptions))

    @settings(max_examples=500, deadline=None)
    @given(st.integers(1, 3), interruptions)
    def test_warm(self, count: int, interruptions: dict[int, int]) -> None:
        self.check(walk(Strategy.WARM, count, interruptions))

    @settings(max_examples=500, deadline=None)
    @given(st.integers(1, 3), interruptions)
    def test_cold(self, count: int, interruptions: dict[int, int]) -> None:
        self.check(walk(Strategy.COLD, count, interruptions))

    def test_any_two_interruptions_of_one_server(self) -> None:
        for (first, what), (second, then) in product(product(range(1, 16), (1, 2, 3, 4, 5, 6, 7, 9, 17, 25)), repeat=2):
            if first < second:
                with self.subTest({first: what, second: then}):
                    self.check(walk(Strategy.LIVE, 1, {first: what, second: then}))

    def test_any_interruption_of_a_gang(self) -> None:
        for strategy, part, what in product(Strategy, range(1, 50), (*range(1, 16), 17, 25)):
            with self.subTest((strategy, part, what)):
                self.check(walk(strategy, 2, {part: what}))

    def test_a_cloud_that_is_lost_at_any_moment(self) -> None:
        for strategy, part, side in product(Strategy, range(1, 50), (Source.LOST, Target.LOST)):
            with self.subTest((strategy, part, side)):
                model = walk(strategy, 2, {}, (part, side))
                self.check(model)
                if side is Target.LOST and all(server.it.source is not Source.GONE for server in model.servers):
                    self.assertIn(model.ended, (Action.STAYS, Action.MOVED))  # moved: it ended before that part

    @settings(max_examples=1000, deadline=None)
    @given(
        st.sampled_from(Strategy), st.integers(1, 3), interruptions, st.integers(1, 60),
        st.sampled_from((Source.LOST, Target.LOST)),
    )  # fmt: skip
    def test_a_lost_cloud_and_more(
        self, strategy: Strategy, count: int, interruptions: dict[int, int], part: int, side: Source | Target
    ) -> None:
        self.check(walk(strategy, count, interruptions, (part, side)))

    def test_undisturbed_it_is_the_normal_way(self) -> None:
        for strategy in Strategy:
            model = walk(strategy, 3, {})
            self.assertIs(model.ended, Action.MOVED)
            self.assertLess(model.turns, 14)


if __name__ == "__main__":
    unittest.main()
