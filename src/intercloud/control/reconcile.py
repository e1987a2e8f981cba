"""Keeps one switch as the registry says: wanted x found → changes, again whenever something changed.

It is woken by changes of the registry, of the switch's database, ports and flows, and by a slow clock. It never
remembers what it did: after a restart of the controller, the switch or its database it looks and repairs.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from intercloud.control import fabric, tunnels
from intercloud.control.openflow_app import Server, Switch
from intercloud.control.ovsdb import Database, Found
from intercloud.control.registry import Registry
from intercloud.control.tunnels import Layout, PutBridge, PutPort, RemovePort
from intercloud.errors import ControlError
from intercloud.model.site import Site

log = logging.getLogger(__name__)

NOT_YET = "not on the switch yet"
"""Why a device is missing while nothing is known to be wrong with it."""

_PERIOD_S = 5.0
_RETRY_S = 1.0
_ANSWER_S = 5.0


@dataclass
class Wanted:
    """The registry that all loops work for. lock: held to change it, and to send flows that were made from it."""

    registry: Registry
    version: int = 1
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Outcome:
    """How a loop's last pass ended. version: of the registry that the switch is known to hold, 0 for none.

    missing: devices that are wanted but not on the switch, and why. reconciled: time.time() of the last good pass.
    flows: how many the switch holds. heard: port of a tunnel → time.time() when packets last came through it.
    """

    version: int = 0
    error: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    reconciled: float = 0.0
    flows: int = 0
    heard: Mapping[str, float] = field(default_factory=dict)


class SiteLoop:
    """The thread that keeps one site's switch. It ends after the registry has lost the site and its bridge is gone."""

    def __init__(self, site: Site, wanted: Wanted, server: Server, on_outcome: Callable[[], None]) -> None:
        self.outcome = Outcome()
        self._site = site
        self._wanted = wanted
        self._server = server
        self._on_outcome = on_outcome
        self._database: Database | None = None
        self._awake = threading.Event()
        self._stopped = False
        self._ended = False
        self._replug: set[str] = set()
        self._stale: set[str] = set()
        self._heard: Mapping[str, tuple[int, float]] = {}
        self._thread = threading.Thread(target=self._run, name=f"site-{site.name}", daemon=True)

    def start(self) -> None:
        """Begin with a first pass."""
        self._awake.set()
        self._thread.start()

    def wake(self) -> None:
        """Ask for a pass soon; from any thread."""
        self._awake.set()

    def replug(self, port: str) -> None:
        """Take a device off the bridge at the next pass, and put it on again if it is wanted.

        Call it with the lock of the registry held, together with the change of the registry.
        """
        self._replug.add(port)

    def stop(self) -> None:
        """Ask the thread to end without touching the switch."""
        self._stopped = True
        self._awake.set()

    def join(self) -> None:
        """Wait for the thread's end, but not for a switch that does not answer."""
        self._thread.join(_ANSWER_S)

    def ended(self) -> bool:
        """Tell whether the loop is over."""
        return self._ended

    def _run(self) -> None:
        while not self._stopped and not self._ended:
            try:
                outcome = self._pass()
            except ControlError as error:
                outcome = replace(self.outcome, error=str(error))
            except Exception as error:  # a mistake of ours must not leave the switch alone for ever
                log.exception("%s: a pass failed", self._site.name)
                outcome = replace(self.outcome, error=f"the controller failed: {error!r}")
            if outcome.error != self.outcome.error:
                log.info("%s: %s", self._site.name, outcome.error or "in order again")
            self.outcome = outcome
            self._on_outcome()
            self._awake.wait(0 if self._ended else _PERIOD_S if outcome.error is None else _RETRY_S)
            self._awake.clear()
        if self._database is not None:
            self._database.close()

    def _pass(self) -> Outcome:
        with self._wanted.lock:
            registry, version = self._wanted.registry, self._wanted.version
            self._stale |= self._replug
            self._replug = set()
        site = registry.sites.get(self._site.name)
        if site is not None:
            self._site = site
            return self._converge(registry, version)
        self._connect(self._site).apply(self._site.bridge, [tunnels.RemoveBridge()])
        with self._wanted.lock:
            # Under the lock, so that whoever puts the site again finds this loop at work, or over.
            self._ended = self._site.name not in self._wanted.registry.sites
        return Outcome()

    def _converge(self, registry: Registry, version: int) -> Outcome:
        site = self._site
        database = self._connect(site)
        want = tunnels.wanted(registry, site)
        self._unplug_stale(database)
        changes = tunnels.changes(want, database.read(site.bridge).layout)
        database.apply(site.bridge, [change for change in changes if isinstance(change, PutBridge | PutPort)])
        switch = self._server.switches.get(site.datapath_id)
        if switch is None:
            raise ControlError(f"its bridge {site.bridge} is not connected to the controller at {site.controller}")
        ports = switch.ports
        count = self._flows(registry, version, switch, ports)
        if count is None:
            self.wake()
            return self.outcome
        database.apply(site.bridge, [change for change in changes if isinstance(change, RemovePort)])
        missing = _missing(want, database.read(site.bridge), ports)
        now = time.time()
        peers = {name: ports[name] for name, port in want.ports.items() if port.type}
        switch.warm(peers.values())  # so each peer hears something in every period
        switch.announce(fabric.announcements(registry, site.name, ports))  # fabrics forget after some minutes
        counts = switch.received(_ANSWER_S)
        self._heard = tunnels.heard(self._heard, {name: counts.get(port, 0) for name, port in peers.items()}, now)
        return Outcome(version, None, missing, now, count, {name: at for name, (_, at) in self._heard.items()})

    def _connect(self, site: Site) -> Database:
        if self._database is not None and self._database.target != site.ovsdb:
            self._database.close()
            self._database = None
        if self._database is None:
            self._database = Database(site.ovsdb, self.wake)
        return self._database

    def _unplug_stale(self, database: Database) -> None:
        """Take off what shall be plugged anew, in a transaction of its own.

        Open vSwitch's userspace datapath keeps the socket of a device that was deleted and made again; within one
        transaction it would keep it too.
        """
        if self._stale:
            found = database.read(self._site.bridge).layout.ports
            database.apply(self._site.bridge, [RemovePort(name) for name in self._stale if name in found])
            self._stale = set()

    def _flows(self, registry: Registry, version: int, switch: Switch, ports: fabric.Ports) -> int | None:
        """Make the switch's flows right and count them; None when the registry changed meanwhile."""
        wanted = fabric.flows(registry, self._site.name, ports)
        batch = switch.prepare(fabric.changes(wanted, switch.flows(_ANSWER_S)))
        with self._wanted.lock:
            if self._wanted.version != version:
                return None
            reply = switch.send(batch)
        reply.wait(_ANSWER_S)
        return len(wanted)


def _missing(want: Layout, found: Found, ports: fabric.Ports) -> Mapping[str, str]:
    missing = {name: found.errors.get(name, NOT_YET) for name in want.ports if name not in ports}
    for name, reason in missing.items():
        if want.ports[name].type:
            raise ControlError(f"tunnel port {name}: {reason}")
    return missing
