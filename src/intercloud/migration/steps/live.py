"""The steps of a live move up to the switchover: a place at the target, disks mirrored, memory at the brink.

Each finds what is under way, started by this process or by one that was killed, and goes on with it.
"""

from collections.abc import Iterable

from intercloud.errors import NotConverging, TransferError
from intercloud.migration import proof
from intercloud.migration.ways import find_ways
from intercloud.migration.world import Moving, World
from intercloud.model.strategy import Catchup
from intercloud.planning.brink import Allowed, Next, next_move
from intercloud.planning.strategy import catch_up
from intercloud.transfer import layout, pace
from intercloud.transfer.memory import Memory
from intercloud.transfer.mirror import StallWatch
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

MOST_LANDINGS = 3
"""Times that places at the target are made in one run, once by each process that goes on with it."""
TELL = Seconds(0.1)
"""Seconds between two looks at a transfer while the guest runs."""
NEAR, OFTEN = 4 * MIB, Seconds(0.02)
"""Bytes: who has less left is looked at more often; with nothing left it takes a processor from others until held."""


def land(world: World, servers: Iterable[str]) -> None:
    """Make a paused server for each at the target, and plug its cards beside the running ones."""
    servers = tuple(servers)
    world.notes.landings += 1
    if world.notes.landings > min(MOST_LANDINGS, 1 + world.notes.resumed):
        raise TransferError(f"{', '.join(servers)}: lost at {world.plan.target} before the switchover; look there")

    def make(moving: Moving) -> None:
        world.go_on()
        with world.notes.timeline.phase(moving.name, "landing"):
            world.plug_target(moving.landing().placement)
            world.source.monitor(moving.name, claim=True)
            if unlike := layout.differences(*map(layout.machine, (moving.source.qmp, moving.target.qmp))):
                raise TransferError(f"{moving.name}: {world.plan.target} builds another machine: {'; '.join(unlike)}")
            world.notes.facts |= moving.source.qmp.facts()

    # Begun with the migration, and over before places are made: these take the processors from the guests, which
    # then write less than they will.
    world.each(lambda moving: pace.last_dirty_rate(moving.source.qmp), servers)
    world.each(make, servers)


def mirror_disks(world: World, servers: Iterable[str]) -> None:
    """Mirror all disks of all servers at the same time, until each is in step with its source."""
    landings = world.landings()
    ways = find_ways(world, landings)

    def copy(moving: Moving) -> None:
        mirror = moving.mirror
        watch = StallWatch(f"{moving.name}: disks")
        with world.notes.timeline.phase(moving.name, "disks"), proof.digest_source(world, moving):
            landing = landings[moving.name]
            world.plug_target(landing.placement)  # whoever made the place may have been killed before that
            mirror.start(landing, ways[moving.name].disks, world.go_on)
            while True:
                sample = mirror.sample()
                moving.notes.sent = sample.sent
                watch.see(sample.done)
                world.progress(moving.name, "disks", sample.total)(sample.done)
                if sample.ready:
                    return
                mirror.wait_step(TELL)

    world.each(copy, servers)


def copy_memory(world: World, servers: Iterable[str]) -> None:
    """Copy all memories at the same time; each server is held at the brink, running, until all are there."""
    servers = tuple(servers)
    share = BitsPerSecond(world.plan.path.rate / len(servers))
    limits = world.plan.limits
    ways = find_ways(world, world.landings())

    def copy(moving: Moving) -> None:
        rate = pace.last_dirty_rate(moving.source.qmp)
        catchup, why = catch_up(rate, share, limits.allow_postcopy)
        moving.choose(catchup, why)
        with world.notes.timeline.phase(moving.name, "memory"):
            memory = moving.memory
            throttle = catchup is not Catchup.NONE
            memory.start(ways[moving.name].memory, throttle=throttle, postcopy=limits.allow_postcopy)
            _to_the_brink(world, moving, memory, Allowed(share, limits.max_blackout, limits.allow_postcopy))

    world.each(copy, servers)


def _to_the_brink(world: World, moving: Moving, memory: Memory, allowed: Allowed) -> None:
    rounds: list[Bytes] = []  # what each round from the second on began with
    held = False
    watch = StallWatch(f"{moving.name}: memory")
    while True:
        sample = memory.sample()
        watch.see(sample.transferred)
        done = sample.total if rounds else sample.total - sample.remaining
        if sample.total:  # QEMU does not say before the first byte
            world.progress(moving.name, "memory", sample.total)(Bytes(done))
        if sample.status == "pre-switchover":
            return  # nothing was left to send and it stopped by itself; the switchover begins when all are here
        if sample.passes > len(rounds) + 1:
            moving.notes.first_round = moving.notes.first_round or sample.unique
            rounds.append(sample.remaining)
            decision = next_move(rounds, allowed, moving.notes.choice.catchup)
            if decision is Next.GIVE_UP:
                raise NotConverging(
                    f"{moving.name} writes its memory faster than the link carries it, even after {len(rounds)} rounds;"
                    " allow post-copy, raise max_blackout_ms, or move it when it is less busy"
                )
            if decision is Next.POSTCOPY and moving.notes.choice.catchup is not Catchup.POSTCOPY:
                moving.choose(Catchup.POSTCOPY, "that did not suffice: the rest follows by post-copy")
            if decision is not Next.GO_ON:
                if not held:  # for a round that was seen before it was told
                    memory.hold()
                return
            memory.release()
            held = False
        over, following = sample.total and not sample.remaining, len(rounds) + 2
        if held:  # it looks at what was written meanwhile
            memory.wait_round(following, TELL)
        elif over or memory.wait_round(following, OFTEN if sample.remaining < NEAR else TELL):
            memory.hold()  # before anything else: an idle guest's round is over in some 20 ms
            held = True
