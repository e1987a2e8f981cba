"""The controller: holds the registry, runs one loop for each site, and does the cutover itself, at once."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack

from intercloud.control import cutover, fabric
from intercloud.control.messages import Cutover, Drop, Move, Plug, Prepare, Put, SwitchStatus, Unplug
from intercloud.control.openflow_app import Bundle, Server, Switch, rehearse
from intercloud.control.ready import BARRIER_S, LASTS_S, Ready, make_ready, only
from intercloud.control.reconcile import NOT_YET, SiteLoop, Wanted
from intercloud.control.registry import Registry
from intercloud.control.store import Store
from intercloud.control.tunnels import tunnel_name
from intercloud.control.urgency import urgent
from intercloud.errors import ControlError
from intercloud.units import show_seconds

log = logging.getLogger(__name__)

_CONFIRM_S = 10.0
_DISK_S = 0.02


class Controller:
    """Everything that the daemon does, free of its socket. Thread-safe; each change is safe to repeat."""

    def __init__(self, store: Store, listen: str) -> None:
        self._store = store
        self._wanted = Wanted(store.load())
        self._loops: dict[str, SiteLoop] = {}
        self._progress = threading.Condition()
        self._server = Server(listen, self._switch_changed)
        self._ready: Ready | None = None
        self._alert = ExitStack()
        self._start_loops()

    def close(self) -> None:
        """Stop all threads. The switches keep what they have, and traffic goes on."""
        self._server.close()
        loops = list(self._loops.values())
        for loop in loops:
            loop.stop()
        for loop in loops:
            loop.join()

    @property
    def registry(self) -> Registry:
        """What is wanted now."""
        return self._wanted.registry

    def put(self, change: Put) -> None:
        """Add or replace; returns when every reachable switch, and each that this names, has confirmed."""
        version = self._update(
            lambda registry: registry.put(
                sites=change.sites, networks=change.networks, endpoints=change.endpoints, tunnel=change.tunnel
            )
        )
        used = {site for endpoint in change.endpoints for site in (endpoint.site, *endpoint.ports)}
        ports = {(site, port) for endpoint in change.endpoints for site, port in endpoint.ports.items()}
        self._confirm(version, {site.name for site in change.sites} | used, ports)

    def drop(self, change: Drop) -> None:
        """Forget; a dropped site loses its bridge. Returns when every reachable switch has confirmed."""
        version = self._update(
            lambda registry: registry.drop(endpoints=change.endpoints, networks=change.networks, sites=change.sites)
        )
        self._confirm(version, (), ())

    def plug(self, change: Plug) -> None:
        """Put a device on a site's bridge, anew if it is there and not shared; returns when its traffic is let in.

        After a failure it stays wanted, and is plugged as soon as that works; unplug takes that back.
        """
        site = self.registry.sites.get(change.site)
        own = site is None or change.port not in site.fabrics.values()
        version = self._update(
            lambda registry: registry.plug(change.mac, change.site, change.port),
            replug=(change.site, change.port) if own else None,
        )
        self._confirm(version, {change.site}, ())
        why = self._loops[change.site].outcome.missing.get(change.port, NOT_YET)
        if why != NOT_YET:
            raise ControlError(f"{change.site}: {change.port}: {why}")
        self._confirm(version, {change.site}, {(change.site, change.port)})
        self._rehearse(change.site)

    def unplug(self, change: Unplug) -> None:
        """Take a device off a site's bridge; returns when that is confirmed."""
        version = self._update(lambda registry: registry.unplug(change.mac, change.site))
        self._confirm(version, {change.site}, ())

    def prepare(self, change: Prepare) -> None:
        """Prepare a cutover that comes in a moment: until then nobody who takes part waits for a processor.

        After a failure nothing has changed.
        """
        with self._wanted.lock:
            self._forget()
            registry = self._wanted.registry
            switches = self._connected(registry)
            ready = self._ready = make_ready(change.moves, registry, switches)
            self._alert.enter_context(urgent(switch.receiver for switch in switches.values()))
        timer = threading.Timer(LASTS_S, self._forget_old, [ready])
        timer.daemon = True
        timer.start()

    def move(self, change: Move) -> Cutover:
        """Do a cutover. After a failure the registry is as it was, and the loops lead the switches back to it.

        A switch that is not connected keeps nobody from leaving its site; one that is, and is silent, does.
        """
        with self._wanted.lock:
            before = self._wanted.registry
            after = before.move(change.moves)
            switches = self._connected(before)
            if self._ready is None or not self._ready.fits(change.moves, before, switches):
                self._forget()
                self._ready = make_ready(change.moves, before, switches)
            ready, self._ready = self._ready, None
            with self._alert, urgent(switch.receiver for switch in switches.values()):
                writer = self._note_soon(after, self._wanted.version + 1)
                try:
                    round_trips = ready.knock()
                    started, ended, spent = self._commit(ready.bundles, only(ready.there, round_trips), ready.needed)
                except ControlError:
                    ready.discard()
                    self._wanted.version += 2
                    self._store.note(before, self._wanted.version)
                    self._wake_all()
                    raise
            self._wanted.registry = after
            self._wanted.version += 1
        result = Cutover(started, ended, spent, {site: round_trips[site] for site in spent})
        threading.Thread(target=self._settle, args=(writer, change, result), name="settle").start()
        return result

    def _forget(self) -> None:
        """Give up what was ready; with the lock."""
        if self._ready is not None:
            self._ready.discard()
            self._ready = None
        self._alert.close()

    def _forget_old(self, ready: Ready) -> None:
        with self._wanted.lock:
            if self._ready is ready:
                self._forget()

    def announce(self, left: Collection[str] = ()) -> None:
        """Let the fabrics of all sites learn where the endpoints are. left: MAC addresses that have just moved."""
        registry = self.registry
        for site, switch in self._connected(registry).items():
            switch.announce(fabric.announcements(registry, site, switch.ports, left))

    def status(self) -> Mapping[str, SwitchStatus]:
        """Tell how each site's switch is."""
        with self._wanted.lock:
            registry = self._wanted.registry
            outcomes = {name: self._loops[name].outcome for name in registry.sites}
        connected = self._connected(registry)
        tunnels = {tunnel_name(registry.tunnel, peer): peer for peer in registry.sites}
        return {
            name: SwitchStatus(
                name in connected,
                o.reconciled,
                o.flows,
                o.error,
                o.missing,
                {tunnels[port]: at for port, at in o.heard.items() if port in tunnels},
            )
            for name, o in outcomes.items()
        }

    def _update(self, change: Callable[[Registry], Registry], replug: tuple[str, str] | None = None) -> int:
        """Change the registry, keep it, and wake all loops; returns its version."""
        with self._wanted.lock:
            self._wanted.registry = change(self._wanted.registry)
            self._wanted.version += 1
            version = self._wanted.version
            self._start_loops()
            if replug is not None:
                self._loops[replug[0]].replug(replug[1])
            self._store.note(self._wanted.registry, version)
        self._wake_all()
        self._store.settle()
        return version

    def _rehearse(self, site: str) -> None:
        """Write the messages of the cutover that this plug may prepare, so that they lie ready when it comes."""
        registry = self.registry
        ports = {name: switch.ports for name, switch in self._connected(registry).items()}
        plugged = {mac: e for mac, e in registry.endpoints.items() if e.ports.get(site) in ports.get(site, {})}
        moves = {mac: site for mac, endpoint in plugged.items() if endpoint.site != site}
        for stage in cutover.stages(registry, moves, ports):
            for changes in stage.values():
                rehearse(changes)

    def _start_loops(self) -> None:
        for name, site in self._wanted.registry.sites.items():
            if name not in self._loops or self._loops[name].ended():
                self._loops[name] = SiteLoop(site, self._wanted, self._server, self._notify)
                self._loops[name].start()

    def _connected(self, registry: Registry) -> Mapping[str, Switch]:
        switches = self._server.switches
        return {n: switches[site.datapath_id] for n, site in registry.sites.items() if site.datapath_id in switches}

    def _note_soon(self, registry: Registry, version: int) -> threading.Thread:
        """Write before the first flow is sent, if the disk is as fast as usual: a busy one may take a second."""
        writer = threading.Thread(target=self._store.note, args=(registry, version), name="note")
        writer.start()
        writer.join(_DISK_S)
        return writer

    def _settle(self, writer: threading.Thread, change: Move, result: Cutover) -> None:
        """Do what a cutover may not wait for."""
        self.announce(change.moves)
        writer.join()
        self._store.settle()
        moved = ", ".join(f"{mac} to {site}" for mac, site in change.moves.items())
        log.info("cutover of %s took %s", moved, show_seconds(result.reconfiguration_s))

    def _commit(
        self, stages: Sequence[Mapping[str, Bundle]], switches: Mapping[str, Switch], needed: Collection[str]
    ) -> tuple[float, float, Mapping[str, float]]:
        """Make stage after stage; returns when it started and ended, and the seconds that each switch took.

        needed: old and new sites. The packets of others take a detour, no more, as long as they go to the old one.
        """
        spent: dict[str, float] = defaultdict(float)
        started = time.monotonic()
        for stage in stages:
            replies = {site: switches[site].send(each.commit) for site, each in only(stage, switches).items()}
            for site, reply in replies.items():
                try:
                    took = reply.wait(BARRIER_S)
                    spent[site] += took
                except ControlError as error:
                    if site in needed:
                        raise ControlError(f"cutover at {site}: {error}; flows go back to where they were") from error
                    log.warning("cutover at %s: %s; its packets take a detour until it answers", site, error)
                    self._loops[site].wake()
        return started, time.monotonic(), dict(spent)

    def _confirm(self, version: int, must: Collection[str], ports: Collection[tuple[str, str]]) -> None:
        """Wait until the switches hold this version or a newer one, and have these (site, device) ports.

        Switches that are out of reach are waited for only when they must.
        """
        deadline = time.monotonic() + _CONFIRM_S
        with self._progress:
            while behind := self._behind(version, must, ports):
                if not self._progress.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise ControlError(f"not confirmed within {_CONFIRM_S:g} s: {'; '.join(behind)}")

    def _behind(self, version: int, must: Collection[str], ports: Collection[tuple[str, str]]) -> Sequence[str]:
        behind = []
        for name, loop in list(self._loops.items()):
            outcome = loop.outcome
            if loop.ended():
                continue
            if outcome.version < version:
                if name in must or outcome.error is None:
                    behind.append(f"{name}: {outcome.error or 'still at work'}")
                continue
            behind += [f"{name}: {port}: {why}" for port, why in outcome.missing.items() if (name, port) in ports]
        return behind

    def _wake_all(self) -> None:
        for loop in list(self._loops.values()):
            loop.wake()

    def _switch_changed(self, datapath_id: str) -> None:
        for name, site in self._wanted.registry.sites.items():
            if site.datapath_id == datapath_id and name in self._loops:
                self._loops[name].wake()

    def _notify(self) -> None:
        with self._progress:
            self._progress.notify_all()
