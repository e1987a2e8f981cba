"""What the user asks for, and the plan that comes of it."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import ServerState
from intercloud.errors import Refused
from intercloud.mediation.findings import blocking
from intercloud.mediation.survey import Survey, images
from intercloud.migration.plan import Limits, Plan
from intercloud.model.site import Tunnel
from intercloud.model.strategy import Strategy
from intercloud.planning.strategy import choose, impossible


@dataclass(frozen=True)
class Request:
    """Move a cluster. servers: only these of it (empty: all); strategy: 'auto', 'live' or 'cold'.

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


def make_plan(request: Request, seen: Survey, tunnel: Tunnel, limits: Limits) -> Plan:
    """Decide, from what there is at both clouds. What speaks against the move is in the plan's findings."""
    choice = choose(request.strategy, seen.source_abilities, seen.target_abilities)
    both_can = Ability.POSTCOPY in seen.source_abilities and Ability.POSTCOPY in seen.target_abilities
    return Plan(
        run=request.run,
        source=request.source,
        target=request.target,
        cluster=seen.cluster,
        strategy=choice.strategy,
        choices={server.name: choice for server in seen.cluster.servers},
        path=seen.path,
        tunnel=tunnel,
        limits=replace(limits, allow_postcopy=limits.allow_postcopy and both_can),
        started=request.started,
        started_at=request.started_at,
        running=frozenset(name for name, state in seen.states.items() if state is ServerState.RUNNING),
        images=tuple(image.digest for image in images(seen.cluster)),
        missing=tuple(image.digest for image in seen.missing),
        findings=(*_possible(choice.strategy, seen), *blocking(seen, choice.strategy, tunnel)),
    )


def _possible(strategy: Strategy, seen: Survey) -> Iterator[str]:
    if reason := impossible(strategy, seen.source_abilities, seen.target_abilities):
        yield f"strategy {strategy} cannot be used: {reason}; try --strategy cold"
