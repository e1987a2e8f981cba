"""What the rest of Intercloud uses of the control layer: the controller, asked over its socket."""

import json
import socket
import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from intercloud.control.messages import (
    Announce,
    Ask,
    Cutover,
    Drop,
    Move,
    Plug,
    Prepare,
    Put,
    Request,
    StatusBySite,
    SwitchStatus,
    Unplug,
    adapter,
    request_adapter,
)
from intercloud.control.registry import Endpoint, Registry
from intercloud.errors import ControlError
from intercloud.model.server import Network, Nic
from intercloud.model.site import Site, Tunnel

__all__ = ["ControlClient", "Cutover", "Endpoint", "Registry", "SwitchStatus"]

_TIMEOUT_S = 60.0
"""Longer than the controller itself waits for switches, so that its own words arrive."""


class ControlClient:
    """Asks the controller. Thread-safe: each thread that asks at the same time gets a connection, which is then kept.

    Every call is safe to repeat, and raises ControlError when the controller is not there or could not do it.
    """

    def __init__(self, socket_path: Path | str) -> None:
        self._path = str(socket_path)
        self._lock = threading.Lock()
        self._idle: list[_Line] = []

    def __enter__(self) -> Self:
        """Connect at once, so that the first call needs not. Raises ControlError when the controller is not there."""
        self._idle.append(_Line(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; a later call makes new ones."""
        with self._lock:
            lines, self._idle = self._idle, []
        for line in lines:
            line.close()

    def put(
        self,
        *,
        sites: Iterable[Site] = (),
        networks: Iterable[Network] = (),
        endpoints: Iterable[Endpoint] = (),
        tunnel: Tunnel | None = None,
    ) -> None:
        """Add these, each as a whole in place of what had its name (an endpoint: its MAC) before.

        Returns when every reachable switch, and each that these name, has confirmed; what is not confirmed in time
        stays wanted. A change of the tunnel's kind interrupts traffic between sites for a moment.
        """
        self._ask(Put(tuple(sites), tuple(networks), tuple(endpoints), tunnel))

    def drop(self, *, endpoints: Iterable[str] = (), networks: Iterable[str] = (), sites: Iterable[str] = ()) -> None:
        """Forget endpoints (by MAC), networks and sites (by name); a dropped site loses its border bridge."""
        self._ask(Drop(tuple(endpoints), tuple(networks), tuple(sites)))

    def plug(self, mac: str, site: str, port: str) -> None:
        """Put an endpoint's device on a site's bridge; where its traffic goes stays.

        Returns when the switch lets its traffic in. The device must exist. Each call plugs it anew, for a device may
        have been made again under the same name: a running server loses packets for a moment.
        After a failure it stays wanted; unplug takes that back.
        """
        self._ask(Plug(mac, site, port))

    def unplug(self, mac: str, site: str) -> None:
        """Take an endpoint's device at a site off the bridge; no error when there is none."""
        self._ask(Unplug(mac, site))

    def prepare(self, moves: Mapping[str, str]) -> None:
        """Let a cutover that comes within some seconds take only a moment; without that, it takes some longer.

        Nothing changes, and after a failure neither. A cutover that does not come is forgotten.
        """
        self._ask(Prepare(moves))

    def cutover(self, moves: Mapping[str, str]) -> Cutover:
        """Send the traffic for each MAC to a site from now on, make before break; moves: MAC → site.

        Each must be plugged there. When this returns, packets take the new way. After a failure they take the old one.
        A connected switch of an old or new site that is silent is a failure before anything is changed.
        """
        done: Cutover = adapter(Cutover).validate_python(self._ask(Move(moves)))
        return done

    def announce(self) -> None:
        """Let the clouds' own fabrics learn at once where every endpoint is, after servers have begun to run."""
        self._ask(Announce())

    def put_routers(self, found: Mapping[str, Collection[Nic]]) -> None:
        """Tell of the routers that these sites have in the networks known, and forget others there. See Registry."""
        registry = self.registry()
        wanted = {each.mac: each for each in registry.routers(found)}
        there = {mac: each for mac, each in registry.endpoints.items() if each.routes and each.site in found}
        if gone := there.keys() - wanted.keys():
            self.drop(endpoints=gone)
        if new := [each for mac, each in wanted.items() if there.get(mac) != each]:
            self.put(endpoints=new)

    def registry(self) -> Registry:
        """Read all that is wanted of the switches."""
        registry: Registry = adapter(Registry).validate_python(self._ask(Ask("registry")))
        return registry

    def status(self) -> Mapping[str, SwitchStatus]:
        """Tell how the switch of each site is, by the site's name."""
        status: StatusBySite = adapter(StatusBySite).validate_python(self._ask(Ask("status")))
        return status

    def _ask(self, request: Request) -> object:
        data = request_adapter().dump_json(request) + b"\n"
        with self._lock:
            line = self._idle.pop() if self._idle else None
        answer = line.ask(data) if line is not None else None
        if line is None or answer is None:
            # The first request, or the controller was started anew: every request is safe to repeat.
            line = _Line(self._path)
            answer = line.ask(data)
        if answer is None:
            raise ControlError(f"the controller at {self._path} ended without an answer; see its log")
        with self._lock:
            self._idle.append(line)
        content = json.loads(answer)
        if "error" in content:
            raise ControlError(content["error"])
        result: object = content["result"]
        return result


class _Line:
    """One connection to the controller, for one request at a time."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(path)  # without a time limit, which would make a full queue an error
        except OSError as error:
            self._socket.close()
            raise ControlError(
                f"the controller does not answer at {path} ({error.strerror}); is it running?"
            ) from error
        self._socket.settimeout(_TIMEOUT_S)

    def ask(self, data: bytes) -> bytes | None:
        """Send a request and read its answer; None, and closed, when the connection has ended."""
        answer = bytearray()
        try:
            self._socket.sendall(data)
            while not answer.endswith(b"\n"):
                chunk = self._socket.recv(1 << 16)
                if not chunk:
                    raise ConnectionResetError
                answer += chunk
        except TimeoutError:
            self.close()
            raise ControlError(f"the controller gave no answer within {_TIMEOUT_S:g} s") from None
        except OSError:
            self.close()
            return None
        return bytes(answer)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()
