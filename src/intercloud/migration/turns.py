"""A run, turn by turn: look, settle, act, write down. There is no other way through a migration.

A failure before the commit is the reason to go back, and the next turn begins with it; a failure afterwards, or on the
way back, is tried again. What stays unclear for too long is left to the operator, with all that is known.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from intercloud.errors import IntercloudError, VerifyError
from intercloud.migration.acts import ACTS
from intercloud.migration.evidence import look
from intercloud.migration.notes import Record
from intercloud.migration.settle import NORMAL, Action, Commit, Evidence, Turn, crossed, settle
from intercloud.migration.world import World
from intercloud.model.progress import Note
from intercloud.model.report import Status
from intercloud.model.strategy import Strategy
from intercloud.units import Seconds

log = logging.getLogger(__name__)
PAUSE = Seconds(0.5)
"""Seconds between two tries."""
MOST_TURNS = 60
"""Turns of one process, waiting left out: a move needs ten, a disturbed one twenty. More is going round in circles."""
ENDS = {Action.MOVED: Status.COMPLETED, Action.STAYS: Status.ROLLED_BACK, Action.ASK: Status.NEEDS_OPERATOR}
SUSPENDED = (Status.NEEDS_OPERATOR, Status.FAILED)
"""Ends after which the same run can be resumed."""


@dataclass
class Turns:
    """The turns of one run. tell: says beside the lease what is being done; taken: another process began this run."""

    world: World
    tell: Callable[[str], None]
    taken: bool = False
    seen: dict[str, Evidence] = field(default_factory=dict)
    _unclear: float | None = None
    _fresh: bool = False
    _announced: Turn | None = None
    _made: int = 0

    def turn(self) -> str:
        """Make one turn; returns its record. Never raises."""
        world, error = self.world, None
        self._begin()
        turn = Turn(Action.WAIT, tuple(world.moving), "nothing could be seen")
        try:
            self.seen = look(world)
            run = world.run
            if crossed(self.seen, run):
                world.notes.commit = Commit.YES
            turn = settle(self.seen, run)
            self._announce(turn)
            self._act(turn)
        except Exception as failure:  # whatever it is, the next look tells what it has left
            log.info("%s failed", turn.action, exc_info=True)
            error = str(failure) if isinstance(failure, IntercloudError) else f"{turn.action}: {failure!r}"
            self._failed(turn, failure, error)
        if turn.action in ENDS and error is None:
            world.notes.ended = ENDS[turn.action]
        return Record(turn.action, turn.servers, turn.why, error, world.notes).to_json()

    def recall(self, record: str) -> Status | None:
        """Take over what a turn has left, one just made or one of a process before; returns how the run has ended."""
        notes = Record.from_json(record).notes
        self.world.recall(notes)
        fresh, self._fresh = self._fresh, False
        return notes.ended if fresh or notes.ended not in SUSPENDED else None

    def unrecorded(self, why: str) -> None:
        """Go back when that can be done: a run that leaves no record is better not continued."""
        self.world.notes.trouble.append(why)
        if not self.world.committed and self.world.notes.back is None:
            self.world.notes.back = why

    def suspended(self) -> bool:
        """Whether this run waits to be resumed."""
        return self.world.notes.ended in SUSPENDED

    def _begin(self) -> None:
        notes = self.world.notes
        self._fresh = True
        notes.ended = None
        if self.taken:
            self.taken = False
            notes.resumed += 1
            if self.world.plan.strategy is Strategy.LIVE and notes.commit is Commit.NO:
                notes.commit = Commit.MAYBE  # the process before may have died in the middle of a switchover
            for each in notes.servers.values():
                each.warm = False  # much may have been written since: another round, while it still runs
        lost = self.world.plan.target in self.world.vouched
        if self.world.stop.is_set() and notes.back is None and (lost or not self.world.committed):
            notes.back = f"{self.world.plan.target} is lost" if lost else "stopped by the user"

    def _announce(self, turn: Turn) -> None:
        if turn == self._announced:
            return
        self._announced = turn
        normal = NORMAL[self.world.plan.strategy]
        self.tell(turn.action)
        if turn.action in normal:
            self.world.enter(turn.action, normal.index(turn.action) + 1, len(normal))
        elif turn.action not in (Action.MOVED, Action.STAYS):
            self.world.say(Note(f"{turn.action}: {', '.join(turn.servers)}: {turn.why}"))

    def _act(self, turn: Turn) -> None:
        if turn.action is Action.WAIT:
            self._wait(turn)
            return
        self._made += 1
        if self._made > MOST_TURNS:
            self.world.notes.trouble.append(f"no end after {MOST_TURNS} turns; the last: {turn.action}: {turn.why}")
            self.world.notes.ended = Status.NEEDS_OPERATOR
            return
        act = ACTS[self.world.plan.strategy].get(turn.action)
        if act is not None:
            act(self.world, turn.servers)
        self._unclear = None

    def _wait(self, turn: Turn) -> None:
        self._unclear = self._unclear or time.monotonic()
        patience = self.world.plan.limits.patience
        if time.monotonic() - self._unclear > patience:
            self.world.notes.trouble.append(f"{', '.join(turn.servers)}: {turn.why} for {patience:.0f} s")
            self.world.notes.ended = Status.NEEDS_OPERATOR
        time.sleep(PAUSE)

    def _failed(self, turn: Turn, failure: Exception, text: str) -> None:
        notes = self.world.notes
        if text not in notes.trouble:
            notes.trouble.append(text)
        if isinstance(failure, VerifyError) and self.world.committed:
            notes.ended = Status.FAILED
        elif notes.back is None and not self.world.committed and turn.action in NORMAL[self.world.plan.strategy]:
            notes.back = text
        else:
            self._wait(turn)
