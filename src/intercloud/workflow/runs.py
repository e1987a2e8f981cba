"""The one door to dbos: a run is a workflow, each check, act and undo a recorded step of it.

DBOS recovers, at launch, every run of its own executor id. Two processes with one id would therefore execute each
other's runs while they run; so each process has an id of its own here, and nothing is recovered unasked.
"""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Generic, cast

from dbos import DBOS, DBOSConfig

from intercloud.errors import IntercloudError, Refused
from intercloud.workflow.step import C, Context, Step

log = logging.getLogger(__name__)
VERSION = "1"
"""Of the recorded form of a run; DBOS's own default is a hash of the source, which every upgrade would change."""


_open: "list[Runs[Context]]" = []
"""The Runs that this process has open; DBOS calls workflows by name, so they find it here."""


class Runs(Generic[C]):
    """Runs of one kind, recorded in a database. One instance in a process at a time; use as a context manager.

    open_context: payload → what the steps work on, for the time of the run.
    """

    def __init__(
        self,
        database: str,
        itineraries: Mapping[str, Sequence[Step[C]]],
        open_context: Callable[[str], AbstractContextManager[C]],
    ) -> None:
        self.itineraries, self.open_context = itineraries, open_context
        if database.startswith("sqlite:///"):
            Path(database.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        config: DBOSConfig = {
            "name": "intercloud",
            "system_database_url": database,
            "application_version": VERSION,
            "executor_id": f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            "log_level": "CRITICAL",
        }
        _open.append(cast("Runs[Context]", self))
        DBOS(config=config)
        logging.getLogger("dbos").setLevel(logging.CRITICAL)  # whoever runs the run tells its errors, once

    def __enter__(self) -> "Runs[C]":
        DBOS.launch()
        return self

    def __exit__(self, *_: object) -> None:
        DBOS.destroy()
        _open.remove(cast("Runs[Context]", self))

    def run(self, itinerary: str, payload: str, interrupt: Callable[[], None]) -> None:
        """Execute a run to its end. Raises what ended it, when everything before the commit has been undone.

        payload: JSON, recorded. interrupt: called on Ctrl-C; the run is then still waited for, so that it can undo.
        """
        handle = DBOS.start_workflow(_run, itinerary, payload)
        done = threading.Event()
        threading.Thread(target=_wait, args=(handle.get_result, done), daemon=True).start()
        while not done.is_set():
            try:
                done.wait(0.2)
            except KeyboardInterrupt:
                interrupt()
        handle.get_result()


def _wait(get_result: Callable[[], None], done: threading.Event) -> None:
    try:
        get_result()
    except Exception:  # the caller asks for the result again, and gets it
        log.debug("run ended with an error", exc_info=True)
    finally:
        done.set()


@DBOS.workflow(name="intercloud.run")
def _run(itinerary: str, payload: str) -> None:
    runs = _open[-1]
    steps = runs.itineraries[itinerary]
    with runs.open_context(payload) as context:
        _check(steps, context)
        done: list[Step[Context]] = []
        try:
            for number, step in enumerate(steps, start=1):
                context.enter(step.name, number, len(steps))
                done.append(step)
                DBOS.run_step({"name": step.name}, step.do, context)
        except Exception as error:
            if not context.committed:
                _undo(done, context, error)
            raise


def _check(steps: Sequence[Step[C]], context: C) -> None:
    findings: list[str] = []
    for step in steps:
        if step.check:
            findings += DBOS.run_step({"name": f"check {step.name}"}, step.check, context)
    if findings:
        raise Refused(findings)


def _undo(done: Sequence[Step[C]], context: C, why: Exception) -> None:
    for number, step in enumerate(reversed(done)):
        if step.undo:
            context.enter(f"undo {step.name}", len(done) - number, len(done))
            try:
                DBOS.run_step({"name": f"undo {step.name}"}, step.undo, context)
            except IntercloudError as error:
                why.add_note(f"not undone: {step.name}: {error}")
