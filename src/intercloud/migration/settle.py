"""From evidence to the next action: the one table for the normal way, for failures and for recovery. Pure.

Nothing is remembered that can be looked at. Before each action the world is asked where every server stands
(`evidence.look`), and the first row that fits says what to do. A program that was killed therefore goes on by looking,
exactly as it would have gone on by itself. docs/states.md is drawn from this table.

What the rows hold, whatever happened before:
- never two running copies: a target is let run, or booted, only when its source is proven stopped, and the reverse;
- never none for good: a stopped source whose target cannot take over runs again;
- no acknowledged write is lost: a source never runs again after its target may have run;
- flows follow the running copy;
- the commit is crossed forwards only.

One thing outranks these: the operator's word that a cloud is lost. Its servers are stopped for good then, and what only
they have is given up.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from intercloud.model.strategy import Strategy


class Source(StrEnum):
    """A server at its source. HALTED: stopped, its memory is whole; OFF: it has no process, its disks are there.

    LOST: cannot be reached, and the operator vouches that it is stopped for good.
    """

    RUNS = "runs"
    HALTED = "halted"
    OFF = "off"
    GONE = "gone"
    UNKNOWN = "unknown"
    LOST = "lost"


class Target(StrEnum):
    """A server at its target.

    OFF: made to receive a memory, without a process; WAITS: nothing has arrived; FILLING: memory arrives;
    LOADED: complete, paused; RUNS: not yet recorded as the target cloud's own; OWN: it is.
    LOST: cannot be reached or found, and the operator vouches that it is stopped for good.
    """

    NONE = "none"
    OFF = "off"
    WAITS = "waits"
    FILLING = "filling"
    LOADED = "loaded"
    RUNS = "runs"
    OWN_OFF = "own, off"
    OWN_RUNS = "own, runs"
    UNKNOWN = "unknown"
    LOST = "lost"


class Memory(StrEnum):
    """The memory's transfer, as the source's hypervisor tells. FLUSHED: all is sent but the devices' state.

    DOUBTED: it went round and round with nobody there to hold it, and under TCG that loses pages (decision 0008).
    """

    IDLE = "idle"
    COPYING = "copying"
    HELD = "held at the brink"
    FLUSHED = "flushed"
    DOUBTED = "in doubt"
    POSTCOPY = "post-copy"
    DONE = "done"


class Disks(StrEnum):
    """The disks' transfer. COPYING: mirrors run (live), or the rounds are done and the last delta is not (warm).

    READY: in step with the source (live), or proven equal (cold, warm).
    """

    NONE = "none"
    COPYING = "copying"
    READY = "ready"


class Flows(StrEnum):
    """Where the traffic goes. UNSURE: some here, some there, or the controller does not tell."""

    SOURCE = "source"
    TARGET = "target"
    UNSURE = "unsure"


class Commit(StrEnum):
    """Whether the point of no return is behind us. MAYBE: the program died in the middle of a switchover."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class Action(StrEnum):
    """What can be done next; `migration.acts` says by which function."""

    FENCE = "fence source"
    LET_RUN = "let target run"
    THAW = "thaw source"
    START_SOURCE = "start source"
    START_TARGET = "start target"
    TURN = "turn flows"
    TURN_BACK = "turn flows back"
    ADOPT = "adopt"
    CLEAN = "clean target"
    IMAGES = "base images"
    LAND = "landing"
    MIRROR = "disks"
    COPY = "memory"
    SWITCH = "switchover"
    ROUNDS = "rounds"
    STOP = "stop"
    DELTA = "last delta"
    COMMIT = "commit"
    VERIFY = "verify"
    RELEASE = "release"
    WAIT = "wait"
    ASK = "ask the operator"
    MOVED = "moved"
    STAYS = "stays"


@dataclass(frozen=True)
class Evidence:
    """Where one server stands. ran: it ran when the migration was planned.

    All of it is seen, but for the disks of a cold or warm move: how far those came is what the run has written down.
    """

    source: Source
    target: Target
    memory: Memory = Memory.IDLE
    disks: Disks = Disks.NONE
    flows: Flows = Flows.SOURCE
    ran: bool = True


@dataclass(frozen=True)
class Run:
    """What is known of the run itself. back: it shall go back; images: some base image is missing at the target."""

    strategy: Strategy
    back: bool = False
    commit: Commit = Commit.NO
    verified: bool = False
    images: bool = False


@dataclass(frozen=True)
class Turn:
    """What to do next, for which servers, and why."""

    action: Action
    servers: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Row:
    """One line of the table: it fits when each part that is given holds; what is None fits all."""

    action: Action
    why: str
    source: Collection[Source] | None = None
    target: Collection[Target] | None = None
    memory: Collection[Memory] | None = None
    disks: Collection[Disks] | None = None
    flows: Collection[Flows] | None = None
    commit: Collection[Commit] | None = None
    back: bool | None = None
    verified: bool | None = None
    ran: bool | None = None

    def fits(self, it: Evidence, run: Run) -> bool:
        """Whether this line is about such a server."""
        wanted = (self.source, self.target, self.memory, self.disks, self.flows, self.commit)
        found = (it.source, it.target, it.memory, it.disks, it.flows, run.commit)
        answers = ((self.back, run.back), (self.verified, run.verified), (self.ran, it.ran))
        return all(value in want for want, value in zip(wanted, found, strict=True) if want is not None) and all(
            value is want for want, value in answers if want is not None
        )


RUNNING = (Target.RUNS, Target.OWN_RUNS)
NOT_THERE, NOT_HERE = (Flows.SOURCE, Flows.UNSURE), (Flows.TARGET, Flows.UNSURE)
MOVED = (  # the same however a server moves
    Row(Action.FENCE, "it runs at both clouds: the source is stopped at once", [Source.RUNS], RUNNING),
    Row(Action.TURN, "flows follow the running copy", None, RUNNING, flows=NOT_THERE),
    Row(Action.WAIT, "it runs at the target; the source cannot be seen", [Source.UNKNOWN], RUNNING),
    Row(Action.MOVED, "it runs at the target, nothing is left at the source", [Source.GONE], [Target.OWN_RUNS]),
    Row(Action.MOVED, "it runs at the target, the source is lost", [Source.LOST], [Target.OWN_RUNS], verified=True),
    Row(Action.RELEASE, "it runs at the target, proven whole", None, [Target.OWN_RUNS], verified=True),
    Row(Action.VERIFY, "it runs at the target, recorded as its own", None, [Target.OWN_RUNS]),
    Row(Action.WAIT, "the source cannot be seen", [Source.UNKNOWN]),
    Row(Action.WAIT, "the target cannot be seen", None, [Target.UNKNOWN]),
    Row(Action.ASK, "its target is lost, and others have crossed", None, [Target.LOST], back=False),
)

PROCESSLESS = (Source.OFF, Source.GONE, Source.LOST)
NOTHING = (Target.NONE, Target.LOST)
COPIES = (Disks.COPYING, Disks.READY)
ACTIVE = (Memory.COPYING, Memory.HELD, Memory.FLUSHED, Memory.DOUBTED, Memory.POSTCOPY)
SENT = (Memory.DONE, Memory.POSTCOPY)
LIVE = (
    Row(Action.ADOPT, "it runs at the target", (Source.HALTED, *PROCESSLESS), [Target.RUNS], flows=[Flows.TARGET]),
    *MOVED,
    # the source runs: it is the one copy
    Row(Action.ASK, "the source runs, and the target has run before it", [Source.RUNS], [Target.OWN_OFF]),
    Row(Action.ASK, "the commit is behind us, and the source runs", [Source.RUNS], [Target.NONE], commit=[Commit.YES]),
    Row(Action.TURN_BACK, "flows follow the running copy", [Source.RUNS], flows=NOT_HERE),
    Row(Action.CLEAN, "a transfer is left without its target", [Source.RUNS], NOTHING, ACTIVE),
    Row(Action.CLEAN, "mirrors are left without their target", [Source.RUNS], NOTHING, disks=COPIES),
    Row(Action.STAYS, "it runs at the source, nothing is left at the target", [Source.RUNS], NOTHING, back=True),
    Row(Action.CLEAN, "it goes back", [Source.RUNS], back=True),
    Row(Action.LAND, "it needs a place at the target", [Source.RUNS], [Target.NONE]),
    Row(Action.CLEAN, "its place at the target is void", [Source.RUNS], [Target.OFF, Target.LOADED]),
    Row(Action.CLEAN, "memory goes elsewhere", [Source.RUNS], [Target.WAITS], ACTIVE),
    Row(Action.COPY, "its disks are in step", [Source.RUNS], [Target.WAITS], disks=[Disks.READY]),
    Row(Action.MIRROR, "its disks must follow", [Source.RUNS], [Target.WAITS]),
    Row(Action.COPY, "its memory is under way", [Source.RUNS], [Target.FILLING], [Memory.COPYING], [Disks.READY]),
    Row(Action.SWITCH, "it is at the brink", [Source.RUNS], [Target.FILLING], [Memory.HELD], [Disks.READY]),
    Row(Action.CLEAN, "its transfer went round unattended", [Source.RUNS], [Target.FILLING], [Memory.DOUBTED]),
    Row(Action.CLEAN, "its transfer is broken", [Source.RUNS], [Target.FILLING]),
    # the source is halted, its memory whole
    Row(Action.LET_RUN, "its memory is split", [Source.HALTED], [Target.LOADED], [Memory.POSTCOPY]),
    Row(Action.LET_RUN, "the commit is behind us", [Source.HALTED], [Target.LOADED], commit=[Commit.YES]),
    Row(Action.THAW, "it goes back", [Source.HALTED], [Target.LOADED], commit=[Commit.NO], back=True),
    Row(Action.LET_RUN, "it is complete at the target", [Source.HALTED], [Target.LOADED]),
    Row(Action.START_TARGET, "it ran at the target", [Source.HALTED], [Target.OWN_OFF]),
    Row(Action.START_TARGET, "its memory was split, its disks are at the target", [Source.HALTED], [Target.OFF],
        [Memory.POSTCOPY]),
    Row(Action.START_TARGET, "it was complete at the target and may have run there", [Source.HALTED], [Target.OFF],
        [Memory.DONE], commit=(Commit.MAYBE, Commit.YES)),
    Row(Action.ASK, "it was complete at the target, and is not there any more", [Source.HALTED], [Target.NONE], SENT,
        commit=(Commit.MAYBE, Commit.YES)),
    Row(Action.SWITCH, "it stopped by itself at the brink", [Source.HALTED], [Target.FILLING], [Memory.FLUSHED],
        [Disks.READY], back=False),
    Row(Action.ASK, "its memory is split, and the target does not have its part", [Source.HALTED], None,
        [Memory.POSTCOPY]),
    Row(Action.THAW, "the target does not have it all for sure, or is lost", [Source.HALTED]),
    # the source's process is gone
    Row(Action.LET_RUN, "only the target has its memory", PROCESSLESS, [Target.LOADED]),
    Row(Action.START_TARGET, "it ran at the target", PROCESSLESS, [Target.OWN_OFF]),
    Row(Action.ASK, "both are off, and either may have run last", [Source.OFF], [Target.OFF],
        commit=(Commit.MAYBE, Commit.YES)),
    Row(Action.ASK, "it has crossed, and is not at the target", [Source.OFF], [Target.NONE], commit=[Commit.YES]),
    Row(Action.START_SOURCE, "its process died, and the target never had it all, or is lost", [Source.OFF]),
    Row(Action.ASK, "it is gone from the source, and the target does not have it all", [Source.GONE, Source.LOST]),
)  # fmt: skip

STOPPABLE = (Source.RUNS, Source.HALTED)
FOREIGN = (Target.RUNS, Target.OFF, Target.WAITS, Target.FILLING, Target.LOADED)
UNCOPIED = (Disks.NONE, Disks.COPYING)


def _by_disks(before_stop: tuple[Row, ...]) -> tuple[Row, ...]:
    """Cold and warm: the disks move, and the server boots from them. The commit is recorded before the boot."""
    yes = [Commit.YES]
    return (
        Row(Action.ASK, "the target has a server of this name that is not of this migration", None, FOREIGN),
        *MOVED,
        Row(Action.START_SOURCE, "its target is lost", [Source.OFF], [Target.LOST], ran=True),
        Row(
            Action.ASK, "it is gone from the source, and its target is lost", [Source.GONE, Source.LOST], [Target.LOST]
        ),
        Row(Action.TURN_BACK, "flows go where it is", None, [Target.LOST], flows=NOT_HERE),
        Row(Action.CLEAN, "it goes back", None, [Target.LOST], disks=COPIES),
        Row(Action.STAYS, "it is at the source, the target is lost", None, [Target.LOST]),
        Row(Action.ASK, "the commit is behind us, and the source runs", [Source.RUNS], commit=yes),
        Row(Action.ASK, "the commit is behind us, and it is not at the target", None, [Target.NONE], commit=yes),
        Row(Action.START_TARGET, "its disks are proven whole", None, [Target.OWN_OFF], commit=yes, ran=True),
        Row(Action.TURN, "flows go where it is", None, [Target.OWN_OFF], flows=NOT_THERE, commit=yes),
        Row(Action.MOVED, "nothing is left at the source", [Source.GONE], [Target.OWN_OFF], commit=yes),
        Row(Action.MOVED, "the source is lost", [Source.LOST], [Target.OWN_OFF], commit=yes, verified=True),
        Row(Action.RELEASE, "proven whole", None, [Target.OWN_OFF], commit=yes, verified=True),
        Row(Action.VERIFY, "it is at the target, off as it was", None, [Target.OWN_OFF], commit=yes),
        Row(
            Action.COMMIT,
            "the source is lost, its disks are proven whole at the target",
            [Source.LOST],
            [Target.OWN_OFF],
            disks=[Disks.READY],
        ),
        Row(Action.ASK, "it is gone from the source before the commit", [Source.GONE, Source.LOST]),
        Row(Action.START_SOURCE, "it goes back, and the target never ran", [Source.OFF], back=True, ran=True),
        Row(Action.TURN_BACK, "flows go where it is", flows=NOT_HERE),
        Row(Action.CLEAN, "it goes back", None, [Target.OWN_OFF], back=True),
        Row(Action.STAYS, "nothing is left at the target", None, [Target.NONE], back=True),
        Row(Action.LAND, "it needs a place at the target", None, [Target.NONE]),
        *before_stop,
        Row(Action.STOP, "what is left is copied while it is off", STOPPABLE),
        Row(Action.DELTA, "it is off, its disks must follow", [Source.OFF], disks=UNCOPIED),
        Row(Action.COMMIT, "its disks are proven whole at the target", [Source.OFF], disks=[Disks.READY]),
    )


TABLES: Mapping[Strategy, tuple[Row, ...]] = {
    Strategy.LIVE: LIVE,
    Strategy.WARM: _by_disks(
        (Row(Action.ROUNDS, "it runs while its disks follow", [Source.RUNS], disks=[Disks.NONE]),)
    ),
    Strategy.COLD: _by_disks(()),
}

URGENCY = (
    Action.FENCE, Action.LET_RUN, Action.THAW, Action.START_SOURCE, Action.START_TARGET, Action.TURN, Action.TURN_BACK,
    Action.ADOPT, Action.CLEAN, Action.ASK, Action.WAIT, Action.IMAGES, Action.LAND, Action.MIRROR, Action.COPY,
    Action.SWITCH, Action.ROUNDS, Action.STOP, Action.DELTA, Action.COMMIT, Action.VERIFY, Action.RELEASE, Action.MOVED,
    Action.STAYS,
)  # fmt: skip
"""The gang does what is most urgent for any of its servers; forward, what comes first in a move."""
NORMAL: Mapping[Strategy, tuple[Action, ...]] = {
    Strategy.LIVE: (
        Action.IMAGES, Action.LAND, Action.MIRROR, Action.COPY, Action.SWITCH, Action.ADOPT, Action.VERIFY,
        Action.RELEASE,
    ),
    Strategy.WARM: (
        Action.IMAGES, Action.LAND, Action.ROUNDS, Action.STOP, Action.DELTA, Action.COMMIT, Action.START_TARGET,
        Action.VERIFY, Action.RELEASE,
    ),
    Strategy.COLD: (
        Action.IMAGES, Action.LAND, Action.STOP, Action.DELTA, Action.COMMIT, Action.START_TARGET, Action.VERIFY,
        Action.RELEASE,
    ),
}  # fmt: skip
"""What happens, in order, when nothing goes wrong."""


@cache
def next_row(it: Evidence, run: Run) -> Row:
    """Find the line for one server. There always is one."""
    return next(row for row in TABLES[run.strategy] if row.fits(it, run))


def settle(cluster: Mapping[str, Evidence], run: Run) -> Turn:
    """Say what the whole gang does next.

    One server that has crossed commits all: none goes back then, unless the target is lost with all of them. Before
    that, none crosses unless all can.
    """
    if crossed(cluster, run) and any(it.target is not Target.LOST for it in cluster.values()):
        run = replace(run, commit=Commit.YES, back=False)
    rows = {name: next_row(it, run) for name, it in cluster.items()}
    behind = {rows[name].action for name, it in cluster.items() if it.target not in RUNNING}
    wants = {name: _as_gang(row.action, cluster[name], behind, run) for name, row in rows.items()}
    action = min(wants.values(), key=URGENCY.index)
    servers = tuple(name for name, want in wants.items() if want is action)
    if action is Action.LAND and run.images:
        return Turn(Action.IMAGES, servers, "the target lacks base images")
    why = next((rows[name].why for name in servers if rows[name].action is action), "the gang is not complete")
    return Turn(action, servers, why)


def crossed(cluster: Mapping[str, Evidence], run: Run) -> bool:
    """Whether the commit is behind us, as recorded or as seen: one server that has crossed commits all."""
    there = (*RUNNING, Target.OWN_OFF) if run.strategy is Strategy.LIVE else RUNNING
    split = any(it.memory is Memory.POSTCOPY and it.target is Target.LOADED for it in cluster.values())
    return run.commit is Commit.YES or split or any(it.target in there for it in cluster.values())


def _as_gang(want: Action, it: Evidence, behind: Collection[Action], run: Run) -> Action:
    """Turn what one server wants into what the gang lets it do. behind: what those want that have not crossed."""
    if it.source is not Source.HALTED or want not in (Action.LET_RUN, Action.SWITCH):
        return want
    allowed = {Action.LET_RUN, Action.START_TARGET} if want is Action.LET_RUN else {want}
    if set(behind) <= allowed or (want is Action.LET_RUN and run.commit is Commit.YES):
        return want
    if want is Action.LET_RUN and run.commit is Commit.MAYBE and Action.WAIT in behind:
        return Action.WAIT  # whom we cannot see may have crossed
    return Action.THAW
