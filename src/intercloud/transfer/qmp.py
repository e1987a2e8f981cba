"""The one door to qemu.qmp: a synchronous monitor of one QEMU process, with its events.

All monitors share one event loop in a background thread, so that a command can be given to a whole gang at the same
moment (`together`), and an event is stamped when it arrives, not when somebody looks.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, cast

from qemu.qmp import ExecuteError, QMPClient, QMPError

from intercloud.errors import MonitorError

COMMAND_TIMEOUT = 20.0
"""Seconds. A monitor that answers nothing for so long belongs to a QEMU that hangs."""

Json = Mapping[str, object]


@dataclass(frozen=True)
class Event:
    """One QMP event. at: time.monotonic() of its arrival here."""

    name: str
    data: Json
    at: float


@dataclass(frozen=True)
class Promise:
    """The answer to a command that has been sent; a call waits for it. Raises MonitorError."""

    monitor: str
    command: str
    answer: "Future[object]"

    @property
    def kept(self) -> bool:
        """Whether a call would not wait."""
        return self.answer.done()

    def __call__(self) -> Json:
        """Wait."""
        try:
            return cast("Json", self.answer.result(COMMAND_TIMEOUT))
        except ExecuteError as error:
            raise MonitorError(f"{self.monitor}: {self.command} refused: {error}") from error
        except (QMPError, OSError, TimeoutError, asyncio.CancelledError) as error:
            raise MonitorError(f"{self.monitor}: the hypervisor went away during {self.command}: {error!r}") from error


_first = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _first:  # servers are connected to at the same time, and all must share one loop
        return _make_loop()


@cache
def _make_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="qmp", daemon=True).start()
    return loop


def receiver() -> int:
    """Tell which thread, by its native id, speaks with all monitors."""

    async def tell() -> int:
        return threading.get_native_id()

    return asyncio.run_coroutine_threadsafe(tell(), _loop()).result(COMMAND_TIMEOUT)


class Qmp:
    """The monitor at a unix socket. Use as a context manager; one connection at a time is all that QEMU accepts.

    Every method raises MonitorError, with QEMU's own words, when the command is refused or the process is gone.
    """

    def __init__(self, path: str, name: str) -> None:
        self.name = name
        self._client = QMPClient(name)
        self._events: list[Event] = []
        self._expected: list[tuple[str, Future[Event]]] = []
        self._news = threading.Condition()
        self._open = True
        try:
            asyncio.run_coroutine_threadsafe(self._connect(path), _loop()).result(COMMAND_TIMEOUT)
        except (QMPError, OSError, TimeoutError) as error:
            raise MonitorError(f"{name}: no answer from the hypervisor's monitor at {path}: {error}") from error

    @property
    def open(self) -> bool:
        """Whether the hypervisor is still there."""
        return self._open

    async def _connect(self, path: str) -> None:
        await self._client.connect(path)
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        with self._client.listener() as listener:
            ended = asyncio.ensure_future(self._ended())
            try:
                while not ended.done():
                    message = asyncio.ensure_future(listener.get())
                    await asyncio.wait({message, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if message.done():
                        self._note(message.result())
                    else:
                        message.cancel()
            finally:
                ended.cancel()
                with self._news:
                    self._open = False
                    self._news.notify_all()

    async def _ended(self) -> None:
        while self._client.runstate.name == "RUNNING":
            await self._client.runstate_changed()

    def _note(self, message: Mapping[str, object]) -> None:
        event = Event(str(message["event"]), cast("Json", message.get("data", {})), time.monotonic())
        with self._news:
            self._events.append(event)
            self._news.notify_all()
            due = [future for name, future in self._expected if name == event.name]
            self._expected = [(name, future) for name, future in self._expected if name != event.name]
        for future in due:
            future.set_result(event)

    def promise(self, command: str, /, **arguments: object) -> Promise:
        """Send a command and return at once: what is returned waits for the answer.

        QEMU keeps the order of its commands. Underscores in argument names stand for hyphens.
        """
        plain = {name.replace("_", "-"): value for name, value in arguments.items()}
        answer = asyncio.run_coroutine_threadsafe(self._client.execute(command, plain or None), _loop())
        return Promise(self.name, command, answer)

    def execute(self, command: str, /, **arguments: object) -> Json:
        """Run one command and return its answer."""
        return self.promise(command, **arguments)()

    def facts(self) -> dict[str, str]:
        """Tell which accelerator runs the guest, and QEMU's version."""
        enabled = self.execute("query-kvm")["enabled"]
        return {
            "accelerator": "KVM" if enabled else "TCG",
            "qemu": ".".join(map(str, self.release())),
        }

    def release(self) -> tuple[int, int, int]:
        """Tell QEMU's version: (8, 2, 0)."""
        version = cast("dict[str, int]", self.execute("query-version")["qemu"])
        return version["major"], version["minor"], version["micro"]

    def mark(self) -> int:
        """Return a place in the stream of events, to wait for what comes after it."""
        with self._news:
            return len(self._events)

    def events(self, since: int = 0) -> tuple[Event, ...]:
        """Return what has come since a mark."""
        with self._news:
            return tuple(self._events[since:])

    def coming(self, name: str, since: int) -> "Future[Event]":
        """Return what the first event of that name after a mark will be, or is; there may never be one."""
        future = Future[Event]()
        with self._news:
            there = next((event for event in self._events[since:] if event.name == name), None)
            if there is None:
                self._expected.append((name, future))
        if there:
            future.set_result(there)
        return future

    def wait(self, wanted: Callable[[Event], bool], timeout: float, since: int = 0) -> Event:
        """Wait for the first event after a mark that is wanted. Raises MonitorError after timeout seconds."""
        event = self.wait_quietly(wanted, timeout, since)
        if event is None:
            raise MonitorError(f"{self.name}: nothing came from the hypervisor within {timeout:.1f} s")
        return event

    def wait_quietly(self, wanted: Callable[[Event], bool], timeout: float, since: int = 0) -> Event | None:
        """Wait like wait, but return None after timeout seconds."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for event in self._events[since:]:
                    if wanted(event):
                        return event
                since = max(since, len(self._events))
                if not self._open:
                    raise MonitorError(f"{self.name}: the hypervisor closed its monitor")
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(left)

    def close(self) -> None:
        """Leave the monitor; the machine goes on as it is."""
        with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):  # it may be gone already
            asyncio.run_coroutine_threadsafe(self._client.disconnect(), _loop()).result(COMMAND_TIMEOUT)

    def __enter__(self) -> "Qmp":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def together(monitors: Mapping[str, Qmp], command: str, **arguments: object) -> None:
    """Give the same command to several machines at the same moment and wait for all of them."""
    failures = []
    for answer in [monitor.promise(command, **arguments) for monitor in monitors.values()]:
        try:
            answer()
        except MonitorError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def wait_unless(promises: Iterable[Promise], events: Iterable["Future[Event]"]) -> None:
    """Wait until all promises are kept, or one of the events has come: some may not answer while another has news."""
    left: set[Future[Any]] = {promise.answer for promise in promises}
    news: set[Future[Any]] = set(events)
    while left and not any(event.done() for event in news):
        came = wait(left | news, COMMAND_TIMEOUT, FIRST_COMPLETED).done
        if not came:
            return  # the promises will say so
        left -= came
