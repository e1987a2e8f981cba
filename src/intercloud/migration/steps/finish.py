"""After the servers run at the target: prove that they are what they were, then release the source."""

import time
from collections.abc import Iterable

from intercloud.errors import VerifyError
from intercloud.migration import proof
from intercloud.migration.world import Moving, World
from intercloud.model.strategy import Strategy
from intercloud.transfer import channel
from intercloud.transfer.digest import since
from intercloud.units import Seconds

LAST_PAGE = Seconds(600.0)
"""Longest time for the pages that follow a post-copy."""
BOOT = Seconds(120.0)
"""Longest time for the application to answer after the last server has been started."""
AGAIN = Seconds(30.0)
"""For one that was not: neither a lost packet nor processors that all moved servers need at once are a verdict."""
FINISHES = ("completed", "device", "postcopy-active", "postcopy-paused", "postcopy-recover")


def adopt(world: World, servers: Iterable[str]) -> None:
    """Wait for what follows a post-copy, and let the target's cloud record the servers as its own."""
    servers = tuple(servers)

    def is_there(moving: Moving) -> bool:
        return not world.is_lost(moving.source) and moving.source.has_process()

    def settle(moving: Moving) -> None:
        if is_there(moving) and moving.memory_at_source.state() in FINISHES:
            moving.notes.final_sample = moving.memory_at_source.wait_complete(LAST_PAGE)
        world.target.adopt_server(moving.name)

    def leave_channel(moving: Moving) -> None:
        if is_there(moving) and moving.notes.crossed is not None:
            moving.notes.crossed = channel.sent(moving.source.monitor) or moving.notes.crossed
            channel.sweep(moving.source.monitor)

    world.each(settle, servers)
    world.each(leave_channel, servers)


def verify(world: World, servers: Iterable[str]) -> None:
    """Ask the application, and compare the disks of both sides. Raises VerifyError; the source is then kept."""
    servers = tuple(servers)
    problems: list[str] = []
    live = world.plan.strategy is Strategy.LIVE
    for name in servers:
        moving = world.moving[name]
        moving.notes.booted |= not live or proof.was_booted(world, moving)  # by whom, that was perhaps never recorded
    if live and world.plan.limits.verify_digests:  # first: asking the application costs the moved servers more
        for name in servers:  # one after the other: the moved servers need the processors more
            moving = world.moving[name]
            if moving.notes.booted:
                why = f"{name} was booted at {world.plan.target}: nothing tells what it wrote since"
            elif world.is_lost(moving.source):
                why = f"{world.plan.source} is lost"
            else:
                proof.compare(world, moving)
                continue
            world.notes.trouble.append(f"{why}; the disks of {name} cannot be compared")
        problems = proof.problems(world)
    problems += _application(world)
    if problems:
        raise VerifyError(f"{'; '.join(problems)}. It runs at {world.plan.target}; {world.plan.source} keeps its copy")
    world.notes.verified = True


def _application(world: World) -> tuple[str, ...]:
    """Ask the application, again where something is missing; one that was booted gets the time for it.

    That time begins when the first look is over: in a look each answer is waited for, and nobody is judged by one.
    """
    booted = any(moving.notes.booted for moving in world.moving.values())
    problems = world.check_application(not booted)
    deadline = time.monotonic() + (BOOT if booted else AGAIN)
    while problems and time.monotonic() < deadline:
        time.sleep(0.5)
        problems = world.check_application(not booted)
    return problems


def release(world: World, servers: Iterable[str]) -> None:
    """Take the servers away from the source: machines, disks, unless these are kept as seeds."""

    def remove(moving: Moving) -> None:
        with world.notes.timeline.phase(moving.name, "release"):
            moving.source.close()
            whole = world.plan.limits.keep_seeds and moving.notes.digests_equal
            seed = since(world.plan.run) if whole else None
            world.source.delete_server(moving.name, seed)
            moving.notes.kept = seed is not None and world.source.about().seeds.get(moving.name) == seed

    world.each(remove, servers)


def leave_source(world: World, servers: Iterable[str]) -> None:
    """Take the servers off the network at the source, where nothing of them is left, or all is lost."""
    world.each(lambda moving: world.unplug(moving, world.plan.source), servers)
