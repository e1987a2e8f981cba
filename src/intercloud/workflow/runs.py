"""The one door to dbos: a run is a workflow, each of its turns a recorded step. Knows nothing of servers.

DBOS lets any process that listens to a queue execute what is put there, and recovers at launch whatever its executor id
has left. Here each process has an id and a queue of its own and listens to no other, and a run is taken over only when
somebody asks for that: who may ask is proven by the lease (`workflow.lease`).
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID, error
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from intercloud.errors import LeaseLost, NotFound, RunsUnavailable
from intercloud.workflow.database import is_shared, parse, unavailable

log = logging.getLogger(__name__)
VERSION = "2"
"""Of the recorded form of a run; those of version 1 can be read, not resumed. DBOS's own default, a hash of the
source, would change with every upgrade."""
RUN, ORDER = "intercloud.run", "intercloud.order"
LOOK = 0.5
"""Seconds between two looks whether somebody has ordered something."""
BEGIN = 60.0
"""Longest time, in seconds, for a run to begin after it was asked for; a locked database takes some of it."""


class Work(Protocol):
    """What a run does, turn by turn."""

    def turn(self) -> str:
        """Make the next turn; returns its record. Never raises."""

    def recall(self, record: str) -> str | None:
        """Take over what a turn has left, of this process or of one before. Returns how the run has ended, or None."""

    def unrecorded(self, why: str) -> None:
        """Take note that turns can be recorded no more."""

    def suspended(self) -> bool:
        """Whether the end is one after which the run can be resumed."""


@dataclass(frozen=True)
class RunRecord:
    """A run as recorded. ended: how, None while it has not; suspended: by itself; turns: (record, began, ended)."""

    name: str
    payload: str
    began: datetime
    updated: datetime
    ended: str | None
    version: str = VERSION
    suspended: bool = False
    turns: tuple[tuple[str, datetime, datetime], ...] = ()


_open: "list[Runs]" = []
"""The Runs that this process has open; DBOS calls workflows by name, so they find it here."""


class Runs:
    """Executes runs and records them in a database. One instance in a process at a time; use as a context manager.

    open_work: payload → what the run does, for the time of the run. alive: whether its lease is held still; no turn
    is made without.
    """

    def __init__(
        self,
        database: str,
        open_work: Callable[[str], AbstractContextManager[Work]],
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.database, self.open_work, self.alive = database, open_work, alive
        self.outcome: str | None = None
        self.stopped: str | None = None
        self.begun = threading.Event()
        self._executor = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> "Runs":
        """Open the database. Raises RunsUnavailable when it cannot be written."""
        _prepare(self.database)
        config: DBOSConfig = {
            "name": "intercloud",
            "system_database_url": self.database,
            "application_version": VERSION,
            "executor_id": self._executor,
            "log_level": "CRITICAL",
            "notification_listener_polling_interval_sec": 0.05,  # nothing is asked, but the end waits for it: 1 s else
            "serializer": DBOSPortableJSONSerializer(),  # its default is pickle: it names classes, runs code when read
        }
        _open.append(self)
        DBOS(config=config)
        logging.getLogger("dbos").setLevel(logging.CRITICAL)  # whoever runs the run tells its errors, once
        DBOS.listen_queues([self._executor])
        try:
            DBOS.launch()
            DBOS.register_queue(self._executor, polling_interval_sec=0.1)
        except SQLAlchemyError as failure:
            self.__exit__(None, None, None)
            raise unavailable(self.database, failure) from failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(SQLAlchemyError):
            DBOS.delete_queue(self._executor)
        DBOS.destroy()
        _open.remove(self)

    def start(self, run: str, payload: str, interrupt: Callable[[], None]) -> str:
        """Execute a run to its end; returns how it ended.

        payload: JSON, recorded. interrupt: called on Ctrl-C and on an order to go back; the run is then still waited
        for. Raises RunsUnavailable when it could not even begin, LeaseLost when another process may have taken it over.
        """
        try:
            with SetWorkflowID(run):
                handle = DBOS.start_workflow(_run, payload)
        except SQLAlchemyError as failure:
            raise unavailable(self.database, failure) from failure
        return self._await(run, handle.get_result, interrupt)

    def resume(self, run: str, interrupt: Callable[[], None]) -> str:
        """Go on with a run whose process is gone; the caller holds its lease. Otherwise as `start`."""
        try:
            handle = DBOS.resume_workflow(run, queue_name=self._executor)
        except SQLAlchemyError as failure:
            raise unavailable(self.database, failure) from failure
        return self._await(run, handle.get_result, interrupt)

    def order_back(self, run: str) -> None:
        """Ask whoever executes a run to go back. Recorded, so that it holds for who takes the run over, too."""
        with SetWorkflowID(_order(run)):
            DBOS.start_workflow(_note_order, run).get_result()

    def turn(self, work: Work) -> str:
        """Make a turn, if the lease is held still."""
        if not self.alive():
            raise self.stop("its lease is lost, the session with the runs' database has ended")
        return work.turn()

    def stop(self, why: str) -> "_Stopped":
        """Note why no turn is made any more; returns what gets out of DBOS."""
        self.stopped = why
        return _Stopped(why)

    def _await(self, run: str, get_result: Callable[[], object], interrupt: Callable[[], None]) -> str:
        done, late = threading.Event(), time.monotonic() + BEGIN
        threading.Thread(target=_wait, args=(get_result, done), daemon=True).start()
        told = False
        while not done.is_set() and self.stopped is None:
            try:
                if not told and _ordered(run):
                    told = True
                    interrupt()
                done.wait(LOOK)
                if not self.begun.is_set() and time.monotonic() > late:
                    raise RunsUnavailable(f"the runs' database has not handed {run} out for {BEGIN:.0f} s; try again")
            except KeyboardInterrupt:
                interrupt()
        if self.stopped is not None:
            raise LeaseLost(
                f"run {run}: {self.stopped}; this process has stopped and left the servers as they were; "
                f"see: intercloud migrations show {run}"
            )
        if self.outcome is None:
            get_result()  # raises what ended it
            raise NotFound(f"run {run} had ended before")
        return self.outcome


class _Stopped(BaseException):
    """A run that this process must leave alone. Of no kind that DBOS would record as the run's end, or wait after."""


@DBOS.workflow(name=ORDER)
def _note_order(run: str) -> str:
    return run


@DBOS.workflow(name=RUN)
def _run(payload: str) -> str:
    runs = _open[-1]
    runs.begun.set()
    with runs.open_work(payload) as work:
        ended = None
        while ended is None:
            try:
                record = DBOS.run_step({"name": "turn"}, runs.turn, work)
            except (error.DBOSWorkflowConflictIDError, error.DBOSWorkflowCancelledError) as taken:
                raise runs.stop("another process has taken it over") from taken
            except Exception as failure:  # the turn itself never raises: the database does not take its record
                log.info("the run can be recorded no more", exc_info=True)
                work.unrecorded(f"the runs' database cannot be written: {failure}".splitlines()[0])
                ended = _finish_unrecorded(runs, work)
            else:
                ended = work.recall(record)
        runs.outcome = ended
        if work.suspended():
            run = DBOS.workflow_id
            assert run is not None
            DBOS.cancel_workflow(run)
            raise error.DBOSWorkflowCancelledError(f"{run} waits for the operator")
        return ended


def _finish_unrecorded(runs: Runs, work: Work) -> str:
    """Bring the servers to a safe end all the same: the truth is in the world, not in the record."""
    while True:
        if ended := work.recall(runs.turn(work)):
            return ended


def _wait(get_result: Callable[[], object], done: threading.Event) -> None:
    try:
        get_result()
    except (Exception, _Stopped):  # whoever waits asks for the outcome, and gets it
        log.debug("run ended with an error", exc_info=True)
    finally:
        done.set()


def _order(run: str) -> str:
    return f"{run}:back"


def _ordered(run: str) -> bool:
    with suppress(SQLAlchemyError):
        return bool(DBOS.list_workflows(workflow_ids=[_order(run)], load_input=False, load_output=False))
    return False


def _prepare(database: str) -> None:
    if not is_shared(database):
        path = _file(database)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab"):
                pass
        except OSError as failure:
            raise RunsUnavailable(f"the runs' database {path} cannot be written: {failure.strerror}") from failure


def _file(database: str) -> Path:
    return Path(parse(database).database or "")


@contextmanager
def _client(database: str) -> Iterator[DBOSClient]:
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    client = DBOSClient(system_database_url=database, retry_connection_errors=False)
    try:
        yield client
    finally:
        client.destroy()


def read_runs(database: str, names: Sequence[str] | None = None, *, ended: bool = True) -> tuple[RunRecord, ...]:
    """Read runs, the newest first; with their turns when they are named. Nothing is changed or executed.

    ended: those that have ended, too. Raises RunsUnavailable.
    """
    if not is_shared(database) and not _file(database).exists():
        return ()
    try:
        with _client(database) as client:
            return tuple(_read(client, names, ended))
    except SQLAlchemyError as failure:
        if isinstance(failure, DBAPIError) and _is_fresh(failure):
            return ()
        raise unavailable(database, failure) from failure


def _is_fresh(failure: DBAPIError) -> bool:
    """Whether a database has no tables yet: it never had a run."""
    return getattr(failure.orig, "sqlstate", None) == "42P01" or "no such table" in str(failure.orig)


def _read(client: DBOSClient, names: Sequence[str] | None, ended: bool) -> Iterator[RunRecord]:
    for each in client.list_workflows(
        name=RUN,
        workflow_ids=list(names) if names is not None else None,
        status=None if ended else ["PENDING", "ENQUEUED", "CANCELLED"],
        sort_desc=True,
    ):
        yield RunRecord(
            each.workflow_id,
            each.input["args"][-1] if each.input else "",
            _time(each.created_at),
            _time(each.updated_at),
            {"SUCCESS": str(each.output or "completed"), "ERROR": "error"}.get(each.status),
            each.app_version or VERSION,
            each.status == "CANCELLED",
            _turns(client, each.workflow_id) if names is not None else (),
        )


def _turns(client: DBOSClient, run: str) -> tuple[tuple[str, datetime, datetime], ...]:
    return tuple(
        (str(step["output"]), _time(step["started_at_epoch_ms"]), _time(step["completed_at_epoch_ms"]))
        for step in client.list_workflow_steps(run)
        if step["function_name"] == "turn" and step["output"] is not None
    )


def _time(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)
