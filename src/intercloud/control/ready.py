"""A cutover up to its first flow: all is checked and lies at the switches, and nothing has changed."""

import logging
import time
from collections.abc import Collection, Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from intercloud.control import cutover
from intercloud.control.openflow_app import Bundle, Reply, Switch
from intercloud.control.registry import Registry
from intercloud.errors import ControlError

log = logging.getLogger(__name__)

_T = TypeVar("_T")

BARRIER_S = 1.0
LASTS_S = 8.0
"""Open vSwitch forgets a bundle of which it has heard nothing for ten seconds."""


@dataclass(frozen=True)
class Ready:
    """What a cutover needs. before: what is wanted until it comes; connected: switches by site.

    needed: old and new sites; there: switches that have all their bundles, those of the needed ones and of others.
    """

    moves: Mapping[str, str]
    before: Registry
    connected: Mapping[str, Switch]
    needed: Collection[str]
    bundles: Sequence[Mapping[str, Bundle]]
    there: Mapping[str, Switch]
    since: float = field(default_factory=time.monotonic)

    def fits(self, moves: Mapping[str, str], registry: Registry, connected: Mapping[str, Switch]) -> bool:
        """Whether it is still what these moves need."""
        same = (self.moves, self.before, self.connected) == (moves, registry, connected)
        return same and time.monotonic() - self.since < LASTS_S

    def knock(self) -> Mapping[str, float]:
        """Wake the switches; returns the seconds in which each answers a bare barrier.

        Raises ControlError when one that is needed does not.
        """
        return _knock(self.there, self.needed)

    def discard(self) -> None:
        """Let the switches forget what they have not made; nobody waits for it, and a made one is refused."""
        _discard(self.bundles, self.connected)


def make_ready(moves: Mapping[str, str], registry: Registry, connected: Mapping[str, Switch]) -> Ready:
    """Check, and give the switches what they shall make later.

    Raises ControlError when that cannot be done, or one that is needed is silent; then nothing has changed.
    """
    needed = {*({registry.endpoint(mac).site for mac in moves} & connected.keys()), *moves.values()}
    if absent := sorted(needed - connected.keys()):
        raise ControlError(f"the switch of {absent[0]} does not answer the controller; nothing was changed")
    stages = cutover.stages(registry, moves, {name: each.ports for name, each in connected.items()})
    bundles = [{site: connected[site].bundle(changes) for site, changes in stage.items()} for stage in stages]
    with ExitStack() as failed:
        failed.callback(_discard, bundles, connected)
        there = only(connected, _knock(connected, needed))
        fills = [(site, each.fill) for stage in bundles for site, each in only(stage, there).items()]
        filled = _answers([(site, there[site].send(fill)) for site, fill in fills], needed)
        failed.pop_all()
    return Ready(moves, registry, connected, needed, bundles, only(there, filled))


def only(of: Mapping[str, _T], sites: Container[str]) -> Mapping[str, _T]:
    """Leave other sites out."""
    return {site: each for site, each in of.items() if site in sites}


def _knock(switches: Mapping[str, Switch], needed: Container[str]) -> Mapping[str, float]:
    """Ask who is there first: much that is sent to a switch that does not read would wait without end."""
    return _answers([(site, switch.barrier()) for site, switch in switches.items()], needed)


def _answers(sent: Sequence[tuple[str, Reply]], needed: Container[str]) -> Mapping[str, float]:
    """Wait for replies; returns the seconds of each site that gave all of its own.

    Raises ControlError when one of those needed did not.
    """
    found, silent = dict[str, float](), set[str]()
    for site, reply in sent:
        try:
            found[site] = reply.wait(BARRIER_S)
        except ControlError as error:
            if site in needed:
                raise ControlError(f"the switch of {site} takes no part: {error}; nothing was changed") from error
            log.warning("%s does not take part in the cutover: %s", site, error)
            silent.add(site)
    return only(found, found.keys() - silent)


def _discard(stages: Sequence[Mapping[str, Bundle]], switches: Mapping[str, Switch]) -> None:
    for stage in stages:
        for site, each in stage.items():
            switches[site].send(each.discard)
