"""What the user asks for, and the plan that comes of it."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import Cloud, ServerState
from intercloud.control.client import ControlClient, Registry
from intercloud.control.readiness import readiness
from intercloud.errors import ControlError, Refused
from intercloud.mediation.facts import Survey
from intercloud.mediation.findings import findings
from intercloud.mediation.survey import images, survey
from intercloud.migration.gang import OVERHEAD
from intercloud.migration.plan import Limits, Plan
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster
from intercloud.model.site import Tunnel
from intercloud.model.strategy import Choice, Strategy
from intercloud.planning.compression import is_worth
from intercloud.planning.estimate import Estimate, estimate
from intercloud.planning.strategy import choose, impossible
from intercloud.transfer.digest import since
from intercloud.units import show_seconds


@dataclass(frozen=True)
class Request:
    """Move a cluster. servers: only these of it (empty: all); strategy: 'auto', 'live', 'warm' or 'cold'.

    started: time.monotonic(), started_at its wall-clock time: migration time counts from the request.
    run: name of the migration; made here unless it is given.
    """

    source: str
    target: str
    cluster: str
    strategy: str = "auto"
    servers: frozenset[str] = frozenset()
    started: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    run: str = ""

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise Refused([f"source and target are both {self.source}; name two different clouds"])
        if not self.run:
            name = f"{self.cluster}-{self.started_at:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
            object.__setattr__(self, "run", name)


def find_plan(request: Request, source: Cloud, target: Cloud, control: ControlClient, limits: Limits) -> Plan:
    """Look at both clouds and the control layer, and decide. Nothing is changed.

    Raises NotFound (cluster or server) and CloudUnreachable (a cloud): more cannot be known then.
    """
    seen = survey(source, target, request.cluster, request.servers)
    sites = (source.about().site.name, target.about().site.name)
    tunnel, network = _ask(control, sites, seen.cluster)
    return replace(make_plan(request, seen, tunnel, limits, network), sites=sites)


def _ask(control: ControlClient, sites: tuple[str, str], cluster: Cluster) -> tuple[Tunnel, tuple[Finding, ...]]:
    """Ask the controller for the kind of tunnel, and for what speaks against the move."""
    try:
        registry = control.registry()
        return registry.tunnel, readiness(registry, control.status(), sites, cluster, time.time())
    except ControlError as error:
        silent = Finding("controller", str(error), "start it: for the lab, run: intercloud lab up")
        return Registry().tunnel, (silent,)


def make_plan(
    request: Request, seen: Survey, tunnel: Tunnel, limits: Limits, network: tuple[Finding, ...] = ()
) -> Plan:
    """Decide, from what there is at both clouds. network: what the control layer's pre-flight found."""
    choice = choose(request.strategy, seen.source_abilities, seen.target_abilities)
    compressed = choice.strategy is Strategy.LIVE and limits.compress and is_worth(seen.path.rate)
    costs = None
    if seen.silence is None:
        costs = estimate(seen.cluster, seen.missing, choice.strategy, seen.path, OVERHEAD)
        if compressed:
            costs = replace(costs, copy_basis=f"{costs.copy_basis}; less by what it is compressed")
        if any(server.name in seen.seeds for server in seen.cluster.servers):
            costs = replace(costs, copy_basis=f"{costs.copy_basis}; less by what {seen.target} keeps of the disks")
    found = (
        *_possible(choice.strategy, seen),
        *findings(seen, choice.strategy, tunnel),
        *network,
        *_too_long(costs, limits),
    )
    both_can = Ability.POSTCOPY in seen.source_abilities and Ability.POSTCOPY in seen.target_abilities
    return Plan(
        run=request.run,
        source=request.source,
        target=request.target,
        cluster=seen.cluster,
        strategy=choice.strategy,
        choices={server.name: _begin_from(seen, server.name, choice) for server in seen.cluster.servers},
        path=seen.path,
        tunnel=tunnel,
        limits=replace(limits, allow_postcopy=limits.allow_postcopy and both_can),
        started=request.started,
        started_at=request.started_at,
        running=frozenset(name for name, state in seen.states.items() if state is ServerState.RUNNING),
        images=tuple(image.digest for image in images(seen.cluster)),
        missing=tuple(image.digest for image in seen.missing),
        findings=tuple(sorted(found, key=lambda finding: not finding.blocking)),
        estimate=costs,
        compressed=compressed,
    )


def _begin_from(seen: Survey, server: str, choice: Choice) -> Choice:
    """Say in a server's choice that its disks need not travel whole."""
    if server not in seen.seeds:
        return choice
    run = seen.seeds[server].removeprefix(since(""))
    kept = f"{seen.target} keeps its disks as of run {run}: what is known to be the same does not travel"
    return replace(choice, why=f"{choice.why}; {kept}")


def _possible(strategy: Strategy, seen: Survey) -> Iterator[Finding]:
    if reason := impossible(strategy, seen.source_abilities, seen.target_abilities):
        cure = "choose another cloud" if strategy is Strategy.COLD else "try --strategy cold"
        yield Finding(f"strategy {strategy}", f"cannot be used: {reason}", cure)


def _too_long(costs: Estimate | None, limits: Limits) -> Iterator[Finding]:
    if costs is not None and costs.blackout_s > limits.max_blackout:
        text = (
            f"{show_seconds(costs.blackout_s)} expected, {show_seconds(limits.max_blackout)} wanted (max_blackout_ms)"
        )
        yield Finding("blackout", text, "move fewer servers, over a faster link, or live", blocking=False)
