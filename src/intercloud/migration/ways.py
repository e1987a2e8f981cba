"""How what a live move sends gets to the target: by each server's own connections, or compressed through a channel."""

from collections.abc import Mapping, Sequence

from intercloud.clouds.port import Landing
from intercloud.migration.world import Moving, World
from intercloud.transfer import channel
from intercloud.transfer.channel import Channel, Ways
from intercloud.units import Bytes


def find_ways(world: World, landings: Mapping[str, Landing]) -> Mapping[str, Ways]:
    """Find the way of each server, after opening what channels the gang needs, unless they live.

    A channel joins the servers that are beside each other, at either side; without one where nothing can be run.
    landings: of all servers. Raises TransferError.
    """
    found = {name: channel.direct(landing) for name, landing in landings.items()}
    if not world.plan.compressed:
        return found
    together: dict[tuple[Sequence[str], Sequence[str]], list[Moving]] = {}
    for name, moving in world.moving.items():
        here, there = moving.source.monitor, landings[name].monitor
        if here.doors is not None and there.doors is not None:
            together.setdefault((here.beside, there.beside), []).append(moving)
    for gang in together.values():
        memory = Bytes(sum(moving.server.memory for moving in gang))
        joined = Channel(
            [moving.source.monitor for moving in gang],
            [landings[moving.name] for moving in gang],
            channel.window_for(memory),
        )
        joined.open()
        for moving in gang:
            moving.notes.crossed = Bytes(0)
        found |= zip((moving.name for moving in gang), joined.ways(), strict=True)
    return found
