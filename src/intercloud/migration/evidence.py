"""Look at the world: where each server stands, as its clouds, its hypervisors and the controller tell. Read-only."""

import logging
from collections.abc import Collection

from intercloud.clouds.port import ServerState
from intercloud.errors import CloudUnreachable, ControlError, IntercloudError, NotFound
from intercloud.migration.notes import ServerNotes
from intercloud.migration.settle import Disks, Evidence, Flows, Memory, Source, Target
from intercloud.migration.world import Moving, Side, World
from intercloud.model.strategy import Strategy
from intercloud.transfer import memory, mirror

log = logging.getLogger(__name__)

STATES = {
    ServerState.RUNNING: Source.RUNS,
    ServerState.PAUSED: Source.HALTED,
    ServerState.STOPPED: Source.OFF,
    ServerState.ABSENT: Source.GONE,
    ServerState.INCOMING: Source.UNKNOWN,
}
NOT_OWN = (None, ServerState.ABSENT, ServerState.INCOMING)
"""How a server of the target's own never is; to read all that it has takes a real cloud a second."""
STATUS = {
    "setup": Memory.COPYING,
    "active": Memory.COPYING,
    "cancelling": Memory.COPYING,
    "wait-unplug": Memory.COPYING,
    "pre-switchover": Memory.FLUSHED,
    "device": Memory.FLUSHED,
    "postcopy-active": Memory.POSTCOPY,
    "postcopy-paused": Memory.POSTCOPY,
    "postcopy-recover": Memory.POSTCOPY,
    "completed": Memory.DONE,
}


def look(world: World) -> dict[str, Evidence]:
    """Look at every server, at the same time. What cannot be seen is UNKNOWN or UNSURE; nothing is guessed."""
    flows = _flows(world)
    states = dict(zip(world.moving, world.each(lambda moving: _state(moving.target), world.moving), strict=True))
    own = _own(world) if any(state not in NOT_OWN for state in states.values()) else ()

    def one(moving: Moving) -> Evidence:
        source, target = _source(world, moving), _target(world, moving, states[moving.name], own)
        transfer, disks = Memory.IDLE, _noted(moving.notes)
        if world.plan.strategy is Strategy.LIVE and source in (Source.RUNS, Source.HALTED):
            try:
                transfer, disks = _transfer(moving)
            except IntercloudError as error:  # its hypervisor does not tell: it cannot be seen
                log.info("%s: %s", moving.name, error)
                source = Source.UNKNOWN
        ran = moving.name in world.plan.running
        return Evidence(source, target, transfer, disks, flows[moving.name], ran)

    return dict(zip(world.moving, world.each(one, world.moving), strict=True))


def _noted(notes: ServerNotes) -> Disks:
    """Cold and warm: disks at rest do not tell how far their copies came."""
    return Disks.READY if notes.proven else Disks.COPYING if notes.warm else Disks.NONE


def _state(side: Side) -> ServerState | None:
    try:
        return side.cloud.server_state(side.name)
    except CloudUnreachable as error:
        log.info("%s", error)
        return None


def _source(world: World, moving: Moving) -> Source:
    state = _state(moving.source)
    if state is None:
        return Source.LOST if world.plan.source in world.vouched else Source.UNKNOWN
    return STATES[state]


def _own(world: World) -> Collection[str] | None:
    """Names of the servers that the target counts as its own; None when it cannot be seen."""
    try:
        return {server.name for server in world.target.cluster(world.plan.cluster.name).servers}
    except NotFound:
        return ()
    except CloudUnreachable as error:
        log.info("the target cannot be seen: %s", error)
        return None


def _target(world: World, moving: Moving, state: ServerState | None, own: Collection[str] | None) -> Target:
    vouched = world.plan.target in world.vouched
    if state is None or own is None:
        return Target.LOST if vouched else Target.UNKNOWN
    if state is ServerState.ABSENT:  # one that had crossed may have been given up by hand
        return Target.LOST if vouched else Target.NONE
    if moving.name in own:  # adopted, or made from its disks: whoever paused it since is not us
        return Target.OWN_OFF if state is ServerState.STOPPED else Target.OWN_RUNS
    match state:
        case ServerState.RUNNING:
            return Target.RUNS
        case ServerState.PAUSED:
            return Target.LOADED
        case ServerState.STOPPED:
            return Target.OFF
        case _:
            return _arrived(moving)


def _arrived(moving: Moving) -> Target:
    try:
        return Target.FILLING if memory.expected(moving.target.qmp) else Target.WAITS
    except NotFound:
        return Target.OFF
    except IntercloudError as error:
        log.info("%s: %s", moving.name, error)
        return Target.UNKNOWN


def _transfer(moving: Moving) -> tuple[Memory, Disks]:
    status = STATUS.get(memory.status(moving.source.qmp), Memory.IDLE)
    if status is Memory.COPYING and memory.is_held(moving.source.qmp):
        status = Memory.HELD
    elif status in (Memory.COPYING, Memory.FLUSHED) and memory.is_doubted(moving.source.qmp):
        status = Memory.DOUBTED
    jobs = mirror.ready(moving.source.qmp)
    if not moving.server.disks or (len(jobs) == len(moving.server.disks) and all(jobs)):
        return status, Disks.READY
    return status, Disks.COPYING if jobs else Disks.NONE


def _flows(world: World) -> dict[str, Flows]:
    try:
        endpoints = world.control.registry().endpoints
    except ControlError as error:
        log.info("%s", error)
        return dict.fromkeys(world.moving, Flows.UNSURE)

    def one(moving: Moving) -> Flows:
        sites = {endpoints[nic.mac].site if nic.mac in endpoints else None for nic in moving.server.nics}
        return Flows.SOURCE if sites <= {world.here} else Flows.TARGET if sites == {world.there} else Flows.UNSURE

    return {name: one(moving) for name, moving in world.moving.items()}
