"""What the user asks for, and the plan that comes of it."""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from intercloud.clouds.ability import Ability
from intercloud.errors import Refused
from intercloud.mediation.findings import blocking
from intercloud.mediation.survey import Survey
from intercloud.migration.plan import Limits, Plan
from intercloud.model.site import Tunnel
from intercloud.model.strategy import Strategy
from intercloud.planning.strategy import choose, impossible


@dataclass(frozen=True)
class Request:
    """Move a cluster. servers: only these of it (empty: all); strategy: 'auto', 'live', 'warm' or 'cold'.

    started: time.monotonic(), since() its wall-clock time: migration time counts from the request.
    """

    source: str
    target: str
    cluster: str
    strategy: str = "auto"
    servers: frozenset[str] = frozenset()
    started: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise Refused([f"source and target are both {self.source}; name two different clouds"])


def make_plan(request: Request, seen: Survey, tunnel: Tunnel, limits: Limits) -> Plan:
    """Decide, from what there is at both clouds. What speaks against the move is in the plan's findings."""
    choice = choose(request.strategy, seen.source_abilities, seen.target_abilities)
    both_can = Ability.POSTCOPY in seen.source_abilities and Ability.POSTCOPY in seen.target_abilities
    return Plan(
        run=f"{request.cluster}-{request.started_at:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        source=request.source,
        target=request.target,
        cluster=seen.cluster,
        strategy=choice.strategy,
        choices={server.name: choice for server in seen.cluster.servers},
        path=seen.path,
        tunnel=tunnel,
        limits=replace(limits, allow_postcopy=limits.allow_postcopy and both_can),
        started=request.started,
        findings=(*_possible(choice.strategy, seen), *blocking(seen, choice.strategy, tunnel)),
    )


def _possible(strategy: Strategy, seen: Survey) -> Iterator[str]:
    if reason := impossible(strategy, seen.source_abilities, seen.target_abilities):
        yield f"strategy {strategy} cannot be used: {reason}; try --strategy cold"


@contextmanager
def only_one(cluster: str, folder: Path) -> Iterator[None]:
    """Hold a cluster for one migration at a time, on this machine. Raises Refused, saying who holds it.

    A lock of the kernel's: it ends with its process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{cluster}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Refused(
                [f"another migration of cluster {cluster} is under way ({file.read().strip()}); wait for its end"]
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC")
        file.flush()
        yield
        file.truncate(0)
