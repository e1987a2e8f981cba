"""What a migration is to do, decided before its first change and recorded with the run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from intercloud.model.finding import Finding
from intercloud.model.server import Cluster
from intercloud.model.site import Tunnel, WanPath
from intercloud.model.strategy import Choice, Strategy
from intercloud.planning.estimate import Estimate
from intercloud.units import Seconds


@dataclass(frozen=True)
class Limits:
    """What the user accepts. max_blackout: seconds; a guest that needs more is slowed down or post-copied.

    compress: where that is faster. keep_seeds: the source may keep the disks when a move has ended, so that only what
    has changed travels back. patience: longest time that something unclear, or an act that must succeed, is tried again
    before the operator is asked.
    """

    max_blackout: Seconds
    allow_postcopy: bool
    verify_digests: bool
    compress: bool = True
    keep_seeds: bool = True
    patience: Seconds = Seconds(60.0)


_TOLD: dict[str, Any] = {"metadata": True, "disks": {"__all__": {"volume": {"metadata"}}}}


@dataclass(frozen=True)
class Plan:
    """One migration of a cluster (or of some of its servers).

    started: time.monotonic() of the request, started_at its wall-clock time. running: servers that ran then.
    images: digests of the base images that its disks lie over; missing: those that the target lacked.
    findings: what the pre-flight found, what blocks before what does not; a plan that anything blocks is refused.
    estimate: None when nothing crosses between the clouds.
    compressed: what crosses, if the servers move live, is compressed as one stream.
    sites: names of the two clouds' sites in the control layer, source first; None in records of older versions.
    """

    run: str
    source: str
    target: str
    cluster: Cluster
    strategy: Strategy
    choices: Mapping[str, Choice]
    path: WanPath
    tunnel: Tunnel
    limits: Limits
    started: float
    started_at: datetime | None = None
    running: frozenset[str] = frozenset()
    images: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    estimate: Estimate | None = None
    sites: tuple[str, str] | None = None
    compressed: bool = False

    @property
    def blocking(self) -> tuple[str, ...]:
        """One line for each reason why it cannot be done."""
        return tuple(finding.line for finding in self.findings if finding.blocking)

    def to_json(self, indent: int | None = None) -> str:
        """Write it for the record of the run and for others, without the metadata of servers and of volumes.

        It may hold secrets, and its cloud still has it (`Moving.whole`).
        """
        return _adapter().dump_json(self, indent=indent, exclude={"cluster": {"servers": {"__all__": _TOLD}}}).decode()

    @staticmethod
    def from_json(text: str) -> "Plan":
        """Read what to_json wrote, in this version or in any before."""
        return _adapter().validate_json(text)


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)
