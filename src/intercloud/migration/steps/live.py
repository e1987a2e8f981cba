"""The steps of a live move up to the switchover: a place at the target, disks mirrored, memory at the brink."""

import time

from intercloud.errors import NotConverging
from intercloud.migration import proof
from intercloud.migration.world import Moving, World
from intercloud.model.strategy import Catchup
from intercloud.planning.brink import Allowed, Next, next_move
from intercloud.planning.strategy import catch_up
from intercloud.transfer import mirror, pace
from intercloud.transfer.memory import Memory
from intercloud.transfer.mirror import Mirror, StallWatch
from intercloud.units import BitsPerSecond, Bytes, Seconds

TELL = Seconds(0.1)
"""Seconds between two looks at a transfer while the guest runs."""


def land(world: World) -> None:
    """Make a paused server for each at the target, and plug its cards beside the running ones."""
    site = world.there

    def make(moving: Moving) -> None:
        with world.timeline.phase(moving.name, "landing"):
            moving.landing = world.target.receive_server(world.plan.cluster, moving.server)
            for mac, port in moving.landing.placement.ports.items():
                world.control.plug(mac, site, port)
            monitor = world.source.monitor(moving.name)
            moving.nodes = dict(monitor.nodes)
            moving.source = world.connect(monitor.path, f"{moving.name} at {world.plan.source}")
            moving.target = world.connect(moving.landing.monitor.path, f"{moving.name} at {world.plan.target}")
            world.facts |= moving.source.facts()
            pace.measure_dirty_rate(moving.source)

    world.each(make)


def unland(world: World) -> None:
    """Take the servers at the target away, with their ports and disks."""
    site = world.there

    def remove(moving: Moving) -> None:
        for nic in moving.server.nics:
            world.control.unplug(nic.mac, site)
        world.target.delete_server(moving.name)

    world.each(remove)


def mirror_disks(world: World) -> None:
    """Mirror all disks of all servers at the same time, until each is in step with its source."""

    def copy(moving: Moving) -> None:
        assert moving.source and moving.target and moving.landing
        moving.mirror = Mirror(moving.source, moving.target, moving.server.disks)
        watch = StallWatch(f"{moving.name}: disks")
        with world.timeline.phase(moving.name, "disks"), proof.digest_source(world, moving):
            moving.mirror.start(moving.nodes, moving.landing)
            while True:
                sample = moving.mirror.sample()
                moving.sent = sample.done
                watch.see(sample.done)
                world.progress(moving.name, "disks", sample.total)(sample.done)
                if sample.ready:
                    return
                time.sleep(TELL)

    world.each(copy)


def unmirror_disks(world: World) -> None:
    """Let the sources run without mirrors, as before."""

    def forget(moving: Moving) -> None:
        if moving.source:
            mirror.abandon(moving.source)
            proof.forget(world, moving)

    world.each(forget)


def copy_memory(world: World) -> None:
    """Copy all memories at the same time; each server is held at the brink, running, until all are there."""
    share = BitsPerSecond(world.plan.path.rate / len(world.moving))
    limits = world.plan.limits

    def copy(moving: Moving) -> None:
        assert moving.source and moving.target and moving.landing
        rate = pace.read_dirty_rate(moving.source)
        catchup, why = catch_up(rate, share, limits.allow_postcopy)
        moving.choose(catchup, why)
        moving.memory = Memory(moving.source, moving.target)
        postcopy = limits.allow_postcopy and catchup is not Catchup.NONE
        with world.timeline.phase(moving.name, "memory"):
            moving.memory.start(moving.landing.memory_uri, throttle=catchup is not Catchup.NONE, postcopy=postcopy)
            _to_the_brink(world, moving, Allowed(share, limits.max_blackout, postcopy))

    world.each(copy)


def _to_the_brink(world: World, moving: Moving, allowed: Allowed) -> None:
    assert moving.memory
    rounds: list[Bytes] = []  # what each round from the second on began with
    watch = StallWatch(f"{moving.name}: memory")
    while True:
        sample = moving.memory.sample()
        watch.see(sample.transferred)
        done = sample.total if rounds else sample.total - sample.remaining
        if sample.total:  # QEMU does not say before the first byte
            world.progress(moving.name, "memory", sample.total)(Bytes(done))
        if sample.status == "pre-switchover":
            return  # nothing was left to send and it stopped by itself; the switchover begins when all are here
        if sample.passes > len(rounds) + 1:
            moving.first_round = moving.first_round or sample.unique
            rounds.append(sample.remaining)
            decision = next_move(rounds, allowed, moving.choice.catchup)
            if decision is Next.GIVE_UP:
                raise NotConverging(
                    f"{moving.name} writes its memory faster than the link carries it, even after {len(rounds)} rounds;"
                    " allow post-copy, raise max_blackout_ms, or move it when it is less busy"
                )
            if decision is Next.POSTCOPY and moving.choice.catchup is not Catchup.POSTCOPY:
                moving.choose(Catchup.POSTCOPY, "that did not suffice: the rest follows by post-copy")
            if decision is not Next.GO_ON:
                moving.memory.hold()  # again, for a round that was seen before it was told
                return
            moving.memory.release()
        if moving.memory.wait_round(len(rounds) + 2, TELL):
            moving.memory.hold()  # before anything else: an idle guest's round is over in some 20 ms


def cancel_memory(world: World) -> None:
    """Stop copying memory; the sources run on."""

    def cancel(moving: Moving) -> None:
        if moving.source:
            Memory(moving.source, moving.source).cancel()

    world.each(cancel)
