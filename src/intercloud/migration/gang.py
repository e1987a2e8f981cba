"""The switchover of a whole gang: approach, freeze, hand over, commit. Before the commit everything can be taken back.

    approach   all send at full speed while they run, until the least is left to send     (planning.switchover)
    freeze     their traffic is turned to the target, where it queues; then all are stopped at the same moment
    hand over  each one's last bytes are flushed, its disks' mirrors end, its state is loaded; it is complete, paused
    commit     all run at the target

A packet is never sent to a stopped guest: it reaches the running source, or it waits in the target's queue.
The commit is one command to servers that have everything; until then every source can go on where it was stopped.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from itertools import zip_longest

from intercloud.control.client import ControlClient, Cutover
from intercloud.errors import NotConverging
from intercloud.migration.world import Moving, together
from intercloud.model.strategy import Catchup
from intercloud.planning.switchover import Standing, blackout, freeze_now, is_quiet, settled, shrinks
from intercloud.transfer import digest, pace
from intercloud.transfer.memory import Memory, MemorySample
from intercloud.transfer.mirror import Mirror
from intercloud.transfer.qmp import Event, Qmp, wait_unless
from intercloud.transfer.qmp import together as tell_all
from intercloud.units import BitsPerSecond, Bytes, Seconds

log = logging.getLogger(__name__)
LOOK = 0.004
"""Seconds between two looks during the approach; the guests run, so looking costs no blackout."""
OVERHEAD = Seconds(0.030)
"""Flows, devices' state, loading and resuming together: 20-40 ms on a 2-core machine without KVM, measured."""
AWAKE = Bytes(32 * 1024)
"""More than a held server sends in one of QEMU's windows."""
SAYS_SO = Bytes(1024)
"""Who has nothing left says so over and over, in 8 bytes each time; a held one once in a window."""
LONGEST_APPROACH = Seconds(10.0)
LONGEST_SETTLING = Seconds(6.0)
"""For rounds to shrink: where each is three quarters of the one before, all together last four times the first."""
FLUSH = Seconds(10.0)
"""Longest wait for one frozen server's last bytes; a link that is cut in this moment must not freeze it for ever."""


@dataclass
class Member:
    """One server of the gang, with what it takes to switch it over; the monitors stay open meanwhile.

    stop: its guest's at the source, by itself or by us, once that has happened. nodes: of its disks at the target, as
    digest.lasting tells. quiet: it writes so little that it needs no round more; while it approaches, none begins.
    """

    name: str
    source: Qmp
    target: Qmp
    memory: Memory
    mirror: Mirror
    nodes: Mapping[str, bool]
    postcopy: bool
    bitmap: str
    source_mark: int
    target_mark: int
    stop: "Future[Event]"
    quiet: bool
    rounds_before: int = 0
    sent_before: Bytes = Bytes(0)
    round_size: Bytes = Bytes(0)
    round_at: float = 0.0
    round_before: Bytes | None = None
    sample: MemorySample | None = None

    @staticmethod
    def of(moving: Moving, bitmap: str, link: BitsPerSecond) -> "Member":
        """A server that is at the brink. bitmap: of the target, for what it writes afterwards. link: see Gang."""
        postcopy = moving.notes.choice.catchup is Catchup.POSTCOPY
        source, target = moving.source.qmp, moving.target.qmp
        nodes = digest.lasting(target, moving.target.monitor)
        marks = source.mark(), target.mark()
        return Member(
            moving.name, source, target, moving.memory, moving.mirror, nodes, postcopy, bitmap, *marks,
            source.coming("STOP", marks[0]),
            not moving.memory.may_stop() and is_quiet(pace.measured(source), link),
        )  # fmt: skip

    def note(self, sample: MemorySample, share: BitsPerSecond) -> Standing:
        """Say how it stands, by what its hypervisor has just told."""
        now = time.monotonic()
        if self.sample is None:
            self.rounds_before, self.sent_before = sample.passes, sample.transferred
        if self.sample is None or sample.passes > self.sample.passes:
            self.round_before = self.round_size if sample.passes > self.rounds_before + 1 else None
            self.round_size, self.round_at = sample.remaining, now
        self.sample = sample
        stopped = sample.status == "pre-switchover"
        if self.postcopy:  # what it has not sent follows after the switch
            return settled(Bytes(0), stopped=stopped)
        if self.quiet:
            awake = sample.transferred > self.sent_before + min(AWAKE, self.round_size + SAYS_SO)
            return settled(sample.remaining, awake, stopped)
        return Standing(
            sample.remaining,
            self.round_size,
            Seconds(now - self.round_at),
            Seconds(self.round_size * 8 / share),
            sample.passes - self.rounds_before,
            sample.transferred > self.sent_before + AWAKE,
            stopped,
            round_before=self.round_before,
        )


@dataclass
class Gang:
    """Servers that switch over at the same time. moves: MAC → site; link: bit/s between the clouds, for all of them."""

    members: Sequence[Member]
    moves: Mapping[str, str]
    control: ControlClient
    link: BitsPerSecond
    cutover: Cutover | None = None

    @property
    def sources(self) -> Mapping[str, Qmp]:
        """Monitors at the source."""
        return {member.name: member.source for member in self.members}

    @property
    def targets(self) -> Mapping[str, Qmp]:
        """Monitors at the target."""
        return {member.name: member.target for member in self.members}

    def approach(self, max_blackout: Seconds, go_on: Callable[[], None]) -> None:
        """Let all send at full speed, and return when it is the moment to freeze them.

        go_on: raises when the user asked to stop.
        Raises NotConverging when no moment with a blackout under max_blackout comes, and ControlError when their
        traffic could not be turned; the servers run on.
        """
        share = BitsPerSecond(self.link / len(self.members))
        began = told = time.monotonic()
        standings = self._look(share)
        self.control.prepare(self.moves)
        released = [member.memory.releasing(rounds=not member.quiet) for member in self.members]
        while True:
            # the first time at once: an idle server may have sent all before the last one answers
            standings = self._look(share, standings)
            now = time.monotonic()
            settling = shrinks(standings) and now - began < LONGEST_SETTLING
            told = now if settling or not all(each.rounds for each in standings) else told
            waited = None if settling else Seconds(now - told)
            expected = blackout(standings, self.link, OVERHEAD)
            log.info("approach %.3f s: %s", now - began, [(s.rounds, s.remaining, int(s.unsent)) for s in standings])
            if freeze_now(standings, waited, self.link) and (
                expected <= max_blackout or any(s.stopped for s in standings)
            ):
                return
            if now - began > LONGEST_APPROACH:
                raise NotConverging(
                    f"the gang's expected blackout stays at {expected:.2f} s, {max_blackout:.2f} s are allowed; "
                    "raise max_blackout_ms, or move fewer servers at a time"
                )
            for keep in released:  # before it told how it stands; it may have refused
                keep()
            go_on()
            wait([member.stop for member in self.members], LOOK, FIRST_COMPLETED)

    def _look(self, share: BitsPerSecond, former: Sequence[Standing] = ()) -> Sequence[Standing]:
        """Ask all at the same time: where processors are short, each may take 20 ms to answer.

        former: how they stood. It stands for who has not answered when one stops by itself: its packets wait for us.
        """
        answers = [member.memory.asking() for member in self.members]
        wait_unless(answers, [member.stop for member in self.members] if former else ())
        standings = [
            old if old and not answer.kept else member.note(member.memory.told(answer), share)
            for member, answer, old in zip_longest(self.members, answers, former)
        ]
        return [
            replace(standing, stopped=standing.stopped or member.stop.done())
            for member, standing in zip(self.members, standings, strict=True)
        ]

    def hand_over(self) -> None:
        """Freeze all and load all at the target.

        When this returns, every server is complete at the target, paused, and stopped at the source.
        When it raises, any source may be stopped and any traffic be turned: the next look at the world tells.
        """
        self.cutover = self.control.cutover(self.moves)
        tell_all(self.sources, "stop")
        together(self._load, [m for m in self.members if not m.postcopy])
        # a post-copied server cannot be taken back any more, so it goes when all others are safe
        together(self._load, [m for m in self.members if m.postcopy])

    def _load(self, member: Member) -> None:
        if member.postcopy:
            member.memory.postcopy()
        promises = [member.mirror.end(member.source_mark)]
        promises += digest.note_writes(member.target, member.nodes, member.bitmap)
        if not (member.sample and member.sample.status == "pre-switchover"):  # it stopped by itself at the brink
            member.memory.wait_flushed(FLUSH, member.source_mark)
        for keep in promises:
            keep()
        member.memory.load(FLUSH, member.target_mark)

    def commit(self) -> None:
        """Let all run at the target: the point of no return."""
        tell_all(self.targets, "cont")

    def tell_events(self) -> None:
        """Log what each hypervisor told since the approach, and when."""
        began = self.cutover.started if self.cutover else 0.0
        for member in self.members:
            for monitor, mark in ((member.source, member.source_mark), (member.target, member.target_mark)):
                told = (
                    f"{(event.at - began) * 1000:.1f} {event.name} {event.data.get('status', '')}".strip()
                    for event in monitor.events(mark)
                    if event.name != "JOB_STATUS_CHANGE"
                )
                log.info("%s, ms from the first flow: %s", monitor.name, ", ".join(told))
