"""Memory: QEMU's pre-copy of one server, held at the brink, flushed after the stop, loaded, and post-copied if need be.

QEMU sends until we stop the guest; holding means lowering its bandwidth. It may take no notice of a change for 100 ms
(its accounting window), so letting go happens while the guest still runs. Before release 8.2 QEMU stops the guest by
itself as soon as nothing is left to send.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from intercloud.errors import TransferError
from intercloud.transfer.channel import Way
from intercloud.transfer.qmp import Event, Json, Promise, Qmp
from intercloud.units import Bytes, Seconds

UNLIMITED = 2**40
"""Bytes a second: more than any link. QEMU reads 0 as 'no limit' in some releases only."""
TRUSTED_ROUNDS = 50
"""Under TCG. Attended transfers need 3 to 22; one that is left alone makes a hundred in a second."""
HOLD = 10
"""Bytes a second at the brink: one in each of QEMU's windows. So whatever is sent ends a window, and only once in each
QEMU looks at what the guest has dirtied."""
ACK = "switchover-ack"
"""The capability with which QEMU stops a guest that runs only when the target has said that it may."""
SWITCHOVER = "avail-switchover-bandwidth"
"""What QEMU multiplies, from 8.2 on, with its downtime limit: where less is left, it looks at what was dirtied."""
LESS_THAN_A_PAGE = 2048 * 1000
"""Bytes a second: half a page in a millisecond."""
UNDER_WAY = ("setup", "active", "pre-switchover")
"""A transfer that is adopted. The last: nothing was left to send, and QEMU has stopped the guest by itself."""


@dataclass(frozen=True)
class MemorySample:
    """What query-migrate says. transferred, remaining, total: bytes; passes: rounds begun; downtime: QEMU's own."""

    status: str
    transferred: Bytes
    remaining: Bytes
    total: Bytes
    passes: int
    unique: Bytes
    downtime: Seconds | None
    error: str | None

    @property
    def failed(self) -> bool:
        """Whether QEMU gave up."""
        return self.status in ("failed", "cancelled", "cancelling")


def read_sample(answer: Json) -> MemorySample:
    """Read an answer of query-migrate; before the first byte all figures are zero."""
    ram = cast("dict[str, int]", answer.get("ram", {}))
    page = ram.get("page-size", 4096)
    downtime = answer.get("downtime")
    return MemorySample(
        str(answer.get("status", "none")),
        Bytes(ram.get("transferred", 0)),
        Bytes(ram.get("remaining", 0)),
        Bytes(ram.get("total", 0)),
        ram.get("dirty-sync-count", 0),
        # PERFORMANCE §4: what must cross once: 8 bytes of header a page, 9 for a page of zeros
        Bytes(ram.get("normal", 0) * (page + 8) + ram.get("duplicate", 0) * 9),
        None if downtime is None else Seconds(cast("float", downtime) / 1000),
        cast("str | None", answer.get("error-desc")),
    )


def status(source: Qmp) -> str:
    """Say how a transfer stands at its source, in QEMU's words; 'none' when there was none."""
    return str(source.execute("query-migrate").get("status", "none"))


def expected(target: Qmp) -> bool:
    """Whether a memory was let in: it comes, or has come, or its transfer broke."""
    return status(target) != "none"


def is_held(source: Qmp) -> bool:
    """Whether a transfer is held at the brink."""
    return source.execute("query-migrate-parameters")["max-bandwidth"] == HOLD


def is_doubted(source: Qmp) -> bool:
    """Whether a transfer has gone round so often that pages may be missing at the target; never so with KVM."""
    rounds = read_sample(source.execute("query-migrate")).passes
    return rounds > TRUSTED_ROUNDS and not source.execute("query-kvm")["enabled"]


def _capabilities(monitor: Qmp) -> dict[str, bool]:
    """Tell which there are, and whether they are on."""
    answer = cast("list[dict[str, Any]]", monitor.execute("query-migrate-capabilities"))
    return {each["capability"]: each["state"] for each in answer}


def _set_capabilities(monitor: Qmp, wanted: Mapping[str, bool]) -> None:
    capabilities = [{"capability": name, "state": state} for name, state in wanted.items()]
    monitor.execute("migrate-set-capabilities", capabilities=capabilities)


class Memory:
    """The memory of one server on its way from one QEMU to another."""

    def __init__(self, source: Qmp, target: Qmp) -> None:
        self.source, self.target = source, target
        self._since = source.mark()  # rounds that were told before are those of an earlier transfer

    def start(self, way: Way, *, throttle: bool, postcopy: bool) -> None:
        """Begin to copy while the guest runs, unless that is under way.

        throttle: let QEMU slow the guest down; postcopy: make it possible. Both sides must agree on that and some more,
        and differ in who may let the guest be stopped, so both are told here.
        """
        if status(self.source) in UNDER_WAY and expected(self.target):
            return
        kept = SWITCHOVER in self.source.execute("query-migrate-parameters")
        both = {"events": True, "postcopy-ram": postcopy, "pause-before-switchover": True, "return-path": kept}
        # The target, where it is off, never says that the guest may be stopped: so we do that, and nobody else.
        alone = {"auto-converge": throttle} | ({ACK: True} if kept else {})
        _set_capabilities(self.target, both)
        _set_capabilities(self.source, both | alone)
        # 0: it does not look at what was dirtied until it is held. It would go round without a pause as soon as nothing
        # is left, and hear no command meanwhile. One that may stop the guest would do so with 0, and goes round with 1.
        limits = {"downtime-limit": 0, SWITCHOVER: LESS_THAN_A_PAGE} if kept else {"downtime-limit": 1}
        self.source.execute("migrate-set-parameters", max_bandwidth=UNLIMITED, **limits)
        self.target.execute("migrate-incoming", uri=way.target.uri)
        self.source.execute("migrate", uri=way.source.uri)

    def state(self) -> str:
        """Say how it stands, in QEMU's words."""
        return status(self.source)

    def asking(self) -> Promise:
        """Ask how far it is and return at once; `told` reads the answer."""
        return self.source.promise("query-migrate")

    def told(self, answer: Promise) -> MemorySample:
        """Wait for the answer to asking. Raises TransferError when QEMU gave up."""
        sample = read_sample(answer())
        if sample.failed:
            raise TransferError(f"{self.source.name}: memory transfer {sample.status}: {sample.error or 'no reason'}")
        return sample

    def sample(self) -> MemorySample:
        """Ask how far it is. Raises TransferError when QEMU gave up."""
        return self.told(self.asking())

    def wait_round(self, number: int, timeout: Seconds) -> bool:
        """Wait until a round has begun (the first is 1), or for timeout seconds; tells whether it has begun."""

        def begun(event: Event) -> bool:
            return event.name == "MIGRATION_PASS" and cast("int", event.data["pass"]) >= number

        return self.source.wait_quietly(begun, timeout, self._since) is not None

    def may_stop(self) -> bool:
        """Whether QEMU may stop the guest by itself, when nothing is left to send."""
        return not _capabilities(self.source).get(ACK)

    def hold(self) -> None:
        """Keep the server at the brink: it runs on, next to nothing is sent; with nothing left, a round begins."""
        self.source.execute("migrate-set-parameters", max_bandwidth=HOLD, downtime_limit=1)

    def releasing(self, *, rounds: bool = True) -> Promise:
        """Let it send at full speed again, and return at once. rounds: else only what is known to be left."""
        return self.source.promise("migrate-set-parameters", max_bandwidth=UNLIMITED, downtime_limit=int(rounds))

    def release(self) -> None:
        """Send at full speed again."""
        self.releasing()()

    def postcopy(self) -> None:
        """Let the rest of the memory follow after the switch."""
        self.source.execute("migrate-start-postcopy")

    def wait_flushed(self, timeout: Seconds, since: int) -> None:
        """Wait until all but the devices' state has been sent (the guest is stopped, QEMU in pre-switchover)."""
        self._wait(self.source, ("pre-switchover",), timeout, since)

    def load(self, timeout: Seconds, since: int) -> None:
        """Let the target take over the devices' state; it is complete and still paused when this returns."""
        self.source.execute("migrate-continue", state="pre-switchover")
        self._wait(self.target, ("completed", "postcopy-active"), timeout, since)

    def wait_complete(self, timeout: Seconds) -> MemorySample:
        """Wait until the source has nothing more to do (after a post-copy this is when the last page has come)."""
        deadline = time.monotonic() + timeout
        while (sample := self.sample()).status != "completed":
            if time.monotonic() > deadline:
                raise TransferError(f"{self.source.name}: its last pages did not arrive within {timeout:.0f} s")
            time.sleep(0.02)
        return sample

    def cancel(self) -> None:
        """Give up; the source keeps its memory. Safe to repeat, and when nothing was under way."""
        self.source.execute("migrate_cancel")

    def leave(self) -> None:
        """Let QEMU stop the guest by itself again: whoever moves it next relies on that. Nothing is under way."""
        if not self.may_stop():
            _set_capabilities(self.source, {ACK: False})

    def wait_ended(self, timeout: Seconds) -> str:
        """Wait until the transfer has ended in whatever way; returns how. 'completed': the target has everything."""
        deadline = time.monotonic() + timeout
        while True:
            status = read_sample(self.source.execute("query-migrate")).status
            if status in ("none", "cancelled", "failed", "completed"):
                return status
            if time.monotonic() > deadline:
                raise TransferError(f"{self.source.name}: memory transfer stays '{status}' after {timeout:.0f} s")
            time.sleep(0.01)

    def _wait(self, monitor: Qmp, states: tuple[str, ...], timeout: Seconds, since: int) -> Event:
        def settled(event: Event) -> bool:
            return event.name == "MIGRATION" and event.data.get("status") in (*states, "failed", "cancelled")

        event = monitor.wait(settled, timeout, since)
        if event.data["status"] not in states:
            reason = read_sample(self.source.execute("query-migrate")).error or "no reason given"
            raise TransferError(f"{self.source.name}: memory transfer {event.data['status']}: {reason}")
        return event
