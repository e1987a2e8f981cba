"""What a warm move does before it stops anything; the rest is that of a cold move, over disks that are nearly there."""

import time
from collections.abc import Iterable
from functools import partial

from intercloud.clouds.port import DiskRef
from intercloud.migration import proof
from intercloud.migration.world import Moving, World
from intercloud.model.strategy import Catchup
from intercloud.planning.rounds import Next, Round, last_delta, next_round
from intercloud.units import Bytes, Seconds, show_seconds


def copy_running(world: World, servers: Iterable[str]) -> None:
    """Copy the disks while the servers run, then what they have changed, until the last delta is expected to be short.

    What the target has is known there, by its disks' marks: whoever repeats this goes on where it ended.
    """
    servers = tuple(servers)
    rounds: list[Round] = []
    decision = Next.AGAIN
    while decision is Next.AGAIN:
        began = time.monotonic()
        moved = sum(world.each(partial(_round, world, f"round {len(rounds) + 1}"), servers))
        rounds.append(Round(Bytes(moved), Seconds(time.monotonic() - began)))
        decision = next_round(rounds, world.plan.path.rate, world.plan.limits.max_blackout)
    expected = show_seconds(last_delta(rounds, world.plan.path.rate) or Seconds(0))
    limit = "" if decision is Next.STOP else ", which more rounds would not shorten"
    for name in servers:
        moving = world.moving[name]
        moving.choose(Catchup.NONE, f"{len(rounds)} rounds while it ran, then a last delta of about {expected}{limit}")
        moving.notes.warm = True


def _round(world: World, name: str, moving: Moving) -> Bytes:
    moved = Bytes(0)
    with world.notes.timeline.phase(moving.name, name):
        # whoever made the place may have been killed before its cards were plugged
        world.plug_target(moving.create())
        for disk in moving.server.disks:
            what = DiskRef(moving.name, disk)
            told = world.progress(moving.name, name, disk.size)
            with world.source.offer(what) as offer:
                moved = Bytes(moved + world.target.fetch(what, offer, told))
                if world.plan.limits.verify_digests:
                    with world.target.offer(what) as arrived:
                        proof.digest_copies(world, moving, disk, (offer, arrived))
    moving.notes.sent = Bytes(moving.notes.sent + moved)
    return moved
