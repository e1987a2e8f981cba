"""What client and daemon say to each other: one JSON document a line, over a unix socket.

Every request is safe to repeat. A request is answered by `{"result": …}` or `{"error": "one line"}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from intercloud.control.registry import Endpoint
from intercloud.model.server import Network
from intercloud.model.site import Site, Tunnel


@dataclass(frozen=True)
class Put:
    """Add or replace these."""

    sites: tuple[Site, ...] = ()
    networks: tuple[Network, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    tunnel: Tunnel | None = None
    kind: Literal["put"] = "put"


@dataclass(frozen=True)
class Drop:
    """Forget these: endpoints by MAC, the others by name."""

    endpoints: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    kind: Literal["drop"] = "drop"


@dataclass(frozen=True)
class Plug:
    """Put an endpoint's device on the bridge of a site."""

    mac: str
    site: str
    port: str
    kind: Literal["plug"] = "plug"


@dataclass(frozen=True)
class Unplug:
    """Take an endpoint's device at a site off its bridge."""

    mac: str
    site: str
    kind: Literal["unplug"] = "unplug"


@dataclass(frozen=True)
class Move:
    """Send the traffic for each MAC to a site from now on."""

    moves: Mapping[str, str]
    kind: Literal["move"] = "move"


@dataclass(frozen=True)
class Prepare:
    """Do now what a move in the next seconds need not wait for."""

    moves: Mapping[str, str]
    kind: Literal["prepare"] = "prepare"


@dataclass(frozen=True)
class Announce:
    """Let the clouds' own fabrics learn at once where every endpoint is, rather than with the next pass."""

    kind: Literal["announce"] = "announce"


@dataclass(frozen=True)
class Ask:
    """Ask for the registry or the status."""

    what: Literal["registry", "status"]
    kind: Literal["ask"] = "ask"


Request = Put | Drop | Plug | Unplug | Move | Prepare | Announce | Ask


@dataclass(frozen=True)
class Cutover:
    """How a cutover went. Times in seconds; started and ended on this machine's monotonic clock.

    reconfiguration_s: first message → last barrier reply, over all switches. per_switch_s: the same for each switch,
    waiting for others left out. barrier_rtt_s: a plain barrier's round trip just before.
    A site that is not in per_switch_s did not answer, and is brought up to date when it comes back.
    """

    started: float
    ended: float
    per_switch_s: Mapping[str, float]
    barrier_rtt_s: Mapping[str, float]

    @property
    def reconfiguration_s(self) -> float:
        """First message → last barrier reply."""
        return self.ended - self.started


@dataclass(frozen=True)
class SwitchStatus:
    """One site's switch. reconciled: seconds since the epoch of the last pass that found or made all right, else 0.

    error: why it is not as wanted. missing: wanted devices that the switch does not have, with the reason.
    heard: peer site → seconds since the epoch when packets last came through the tunnel from it, or it was made.
    """

    connected: bool
    reconciled: float
    flows: int
    error: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    heard: Mapping[str, float] = field(default_factory=dict)


StatusBySite = Mapping[str, SwitchStatus]


@cache
def request_adapter() -> TypeAdapter[Request]:
    """Reader and writer of requests."""
    return TypeAdapter(Annotated[Request, Field(discriminator="kind")])


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Reader and writer of a result's type."""
    return TypeAdapter(kind)
