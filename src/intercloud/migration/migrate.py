"""One migration from request to report."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from intercloud.clouds.port import Cloud
from intercloud.control.client import ControlClient
from intercloud.endpoints.health import Vantage, differences
from intercloud.endpoints.observer import Probe
from intercloud.endpoints.result import ProbeConfig, ProbeResult
from intercloud.errors import IntercloudError, Refused
from intercloud.migration.phases import ITINERARIES
from intercloud.migration.plan import Limits, Plan
from intercloud.migration.reporting import make_report
from intercloud.migration.request import Request, find_plan, only_one
from intercloud.migration.world import World
from intercloud.model.progress import ProgressSink
from intercloud.model.report import Report
from intercloud.workflow.runs import Runs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What a migration works with. database: URL of the runs' record; state: folder for locks.

    vantage: where the application's clients are (None: nobody looks); probe: run → what to probe, None for no probe.
    """

    open_cloud: Callable[[str], Cloud]
    control: ControlClient
    vantage: Vantage | None
    probe: Callable[[Plan], ProbeConfig] | None
    limits: Limits
    database: str
    state: Path


def migrate(request: Request, around: Surroundings, say: ProgressSink) -> Report:
    """Move a cluster and report. Raises, with nothing changed, when the pre-flight finds a reason not to.

    A failure after the first change does not raise: the report's status says whether it was rolled back.
    """
    source, target = around.open_cloud(request.source), around.open_cloud(request.target)
    with only_one(request.cluster, around.state / "locks"):
        plan = find_plan(request, source, target, around.control, around.limits)
        if plan.blocking:
            raise Refused(plan.blocking)
        world = World(plan, source, target, around.control, say, _application_check(plan, around.vantage))
        with _watched(plan, around) as probe:
            error = _run(world, around.database)
            end = time.monotonic()
            result = _stop(probe, error)
    return make_report(request, world, result, end, error)


def _run(world: World, database: str) -> IntercloudError | None:
    """Walk the steps; returns what ended them early, after the undoing."""
    with Runs(database, ITINERARIES, lambda _: world) as runs:
        try:
            runs.run(world.plan.strategy, world.plan.to_json(), world.stop.set)
        except IntercloudError as error:
            return error
    return None


def _stop(probe: Probe | None, error: IntercloudError | None) -> ProbeResult | None:
    """Ask the probe what it saw; a migration is not lost because nobody watched it."""
    try:
        return probe.stop() if probe else None
    except IntercloudError as silent:
        log.error("%s", silent)
        if error:
            error.add_note(str(silent))
        return None


@contextmanager
def _watched(plan: Plan, around: Surroundings) -> Iterator[Probe | None]:
    if around.probe is None or around.vantage is None:
        yield None
        return
    with Probe.start(around.vantage.prefix, around.probe(plan)) as probe:
        yield probe


def _application_check(plan: Plan, vantage: Vantage | None) -> Callable[[bool], tuple[str, ...]]:
    """Look at the application now, and return what will compare it with that later."""
    if vantage is None:
        return lambda _: ()
    where = {server.name: server.nics[0].ip for server in plan.cluster.servers}
    before = vantage.look(where, plan.cluster.health)
    return lambda same_boot: differences(before, vantage.look(where, plan.cluster.health), same_boot)
