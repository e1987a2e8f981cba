"""Is the cluster what it was? Looked at from where its clients are, before a move and after it.

Every server of the lab tells its own state over HTTP. A server that does not (any other image) is judged only by what
it did answer before: nothing that was there may be missing afterwards.
"""

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intercloud.endpoints.ask import FEW
from intercloud.errors import CloudUnreachable

STATE_PORT = 8080
GRACE = 10.0


@dataclass(frozen=True)
class ServerHealth:
    """What a server said of itself. boot_id: of this boot; memory_counter: kept in RAM only, it never goes back."""

    boot_id: str
    memory_counter: int


@dataclass(frozen=True)
class ClusterHealth:
    """What the cluster looked like. healthy: the health URL answered 200, None without such a URL.

    servers: those that told their state. talks: (from, to) names of the servers that can talk to each other.
    """

    healthy: bool | None
    servers: Mapping[str, ServerHealth]
    talks: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Vantage:
    """Where clients are.

    prefix: the command that gets there; within: seconds that an answer may take; state_port: of every server.
    """

    prefix: Sequence[str] = ()
    within: float = 5.0
    state_port: int = STATE_PORT

    def look(self, targets: Mapping[str, str], health: str | None) -> ClusterHealth:
        """Look at the servers (name → IP address) and the application's health URL.

        What each of them reaches is asked a few at a time: where many share few processors, all that try to reach all
        keep the application from answering.
        Raises CloudUnreachable when the vantage itself cannot be used.
        """
        base = {name: f"http://{ip}:{self.state_port}" for name, ip in targets.items()}
        states = [f"{url}/state" for url in base.values()]
        answers = self.ask([*states, health] if health else states, [f"{url}/peers" for url in base.values()])
        servers = {}
        talks = set()
        for name, url in base.items():
            if state := _object(answers[f"{url}/state"]):
                counter = state.get("memory_counter")
                servers[name] = ServerHealth(str(state.get("boot_id")), counter if isinstance(counter, int) else 0)
            talks |= {(name, peer) for peer, reached in _object(answers[f"{url}/peers"]).items() if reached is True}
        return ClusterHealth(answers[health] is not None if health else None, servers, frozenset(talks))

    def ask(self, urls: Sequence[str], costly: Sequence[str]) -> Mapping[str, str | None]:
        """Fetch URLs from there: text, or None without an answer. Raises CloudUnreachable as `look` does.

        costly: asked afterwards, a few at a time, of hosts that have answered.
        """
        words = [str(self.within), *urls, "--", *costly]
        command = [*self.prefix, sys.executable, "-m", "intercloud.endpoints.ask", *words]
        longest = self.within * (1 + math.ceil(len(costly) / FEW)) + GRACE
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=longest, check=True)
        except subprocess.CalledProcessError as error:
            last = error.stderr.strip().rpartition("\n")[2]
            raise CloudUnreachable(f"cannot look at the application from its clients' side: {last}") from error
        except subprocess.TimeoutExpired as error:
            raise CloudUnreachable("looking at the application from its clients' side took too long") from error
        answers: Mapping[str, str | None] = json.loads(done.stdout)
        return answers


def differences(before: ClusterHealth, after: ClusterHealth, same_boot: bool) -> tuple[str, ...]:
    """Say, one line each, what is worse than before; nothing when the cluster is what it was.

    same_boot: the servers were moved running, so each must still be in the boot that it was in.
    """
    found = []
    if before.healthy and not after.healthy:
        found.append("the application's health URL no longer answers 200")
    for name, old in before.servers.items():
        new = after.servers.get(name)
        if new is None:
            found.append(f"{name}: no longer tells its state")
        elif same_boot and new.boot_id != old.boot_id:
            found.append(f"{name}: was booted again, its memory was lost")
        elif same_boot and new.memory_counter < old.memory_counter:
            found.append(f"{name}: its memory went back, from {old.memory_counter} to {new.memory_counter}")
    found += [f"{one} can no longer reach {other}" for one, other in sorted(before.talks - after.talks)]
    return tuple(found)


def _object(text: str | None) -> Mapping[str, object]:
    """Read a JSON object; empty when it is none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
