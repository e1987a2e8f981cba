"""One migration from request to report, and what can be done with one that was cut off."""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from intercloud.clouds.port import Cloud
from intercloud.control.client import ControlClient
from intercloud.endpoints.health import Vantage
from intercloud.endpoints.observer import Probe
from intercloud.endpoints.result import ProbeConfig, ProbeResult
from intercloud.errors import IntercloudError, NotFound, Refused
from intercloud.migration.archive import Archive
from intercloud.migration.evidence import look
from intercloud.migration.plan import Limits, Plan
from intercloud.migration.reporting import make_report
from intercloud.migration.request import Request, find_plan
from intercloud.migration.settle import Target
from intercloud.migration.turns import Turns
from intercloud.migration.world import World
from intercloud.model.progress import ProgressSink
from intercloud.model.report import Report
from intercloud.model.strategy import Strategy
from intercloud.transfer import pace
from intercloud.workflow.lease import SEEN, Lease, hold, holder
from intercloud.workflow.runs import VERSION, RunRecord, Runs, read_runs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What a migration works with. database: URL of the runs' record; state: folder for leases and evidence.

    vantage: where the application's clients are (None: nobody looks); probe: run → what to probe, None for no probe.
    """

    open_cloud: Callable[[str], Cloud]
    control: ControlClient
    vantage: Vantage | None
    probe: Callable[[Plan], ProbeConfig] | None
    limits: Limits
    database: str
    state: Path

    @property
    def archive(self) -> Archive:
        """Where the evidence of moves is kept."""
        return Archive(self.state / "evidence")

    @property
    def leases(self) -> Path:
        """Where the leases are."""
        return self.state / "leases"


def plan(request: Request, around: Surroundings) -> Plan:
    """Say what a migration would do. Raises Refused while another moves this cluster: it is at no place then."""
    with hold(around.leases, _key(request.cluster), request.run, around.database):
        source, target = around.open_cloud(request.source), around.open_cloud(request.target)
        return find_plan(request, source, target, around.control, around.limits)


def migrate(request: Request, around: Surroundings, say: ProgressSink) -> Report:
    """Move a cluster and report. Raises, with nothing changed, when the pre-flight finds a reason not to.

    A failure after the first change does not raise: the report's status says whether it was rolled back. Only
    LeaseLost does: what becomes of the run is then for another process to say.
    """
    source, target = around.open_cloud(request.source), around.open_cloud(request.target)
    with hold(around.leases, _key(request.cluster), request.run, around.database) as lease:
        _refuse_unfinished(around, request.cluster)
        plan = find_plan(request, source, target, around.control, around.limits)
        if plan.blocking:
            raise Refused(plan.blocking)
        with closing(World(plan, source, target, around.control, say, around.archive, around.vantage)) as world:
            _refuse_taken(world)
            if plan.strategy is Strategy.LIVE:  # meanwhile the rest is made ready; `live.land` waits for it
                world.each(lambda moving: pace.begin(moving.source.qmp), world.moving)
            networks, endpoints = around.control.registry().missing(world.here, plan.cluster)
            around.control.put(networks=networks, endpoints=endpoints)
            around.control.put_routers({each.site.name: each.routers for each in (source.about(), target.about())})
            with _watched(plan, around) as probe:
                world.look_at_application()
                if probe:
                    probe.wait_ready()
                turns = _execute(around, world, lease, taken=False)
                end = time.monotonic()
                return make_report(world, _stop(probe, world), end, turns.seen)


def resume(run: str, around: Surroundings, say: ProgressSink, vouched: Collection[str], *, back: bool) -> Report:
    """Go on with a run whose process is gone, forwards, or back if that can still be done; report.

    vouched: clouds of which the operator says that the run's servers there are stopped for good.
    Raises NotFound, or Refused when it has ended or somebody executes it.
    """
    record = find(around.database, run)
    plan = Plan.from_json(record.payload)
    _refuse_ended(record)
    for cloud in sorted(vouched):
        _refuse_vouched(plan, cloud, back)
    source, target = around.open_cloud(plan.source), around.open_cloud(plan.target)
    with (
        hold(around.leases, _key(plan.cluster.name), run, around.database) as lease,
        closing(
            World(plan, source, target, around.control, say, around.archive, around.vantage, vouched=vouched)
        ) as world,
    ):
        if back:
            world.stop.set()
        turns = _execute(around, world, lease, taken=True)
        return make_report(world, None, time.monotonic(), turns.seen)


def order_back(run: str, around: Surroundings) -> bool:
    """Ask the process that executes a run to go back; returns False when none does."""
    record = find(around.database, run)
    _refuse_ended(record)
    if is_executed(around, record) is None:
        return False
    with Runs(around.database, _no_work) as runs:
        runs.order_back(run)
    return True


def find(database: str, run: str) -> RunRecord:
    """Find a run with its turns. Raises NotFound, naming the newest there are."""
    found = read_runs(database, [run])
    if not found:
        known = ", ".join(each.name for each in read_runs(database)[:3]) or "none"
        raise NotFound(f"there is no run {run!r}; the newest are: {known}")
    return found[0]


def is_executed(around: Surroundings, record: RunRecord) -> str | None:
    """Say who executes a run and what is being done; None when nobody does."""
    held = holder(around.leases, _key(Plan.from_json(record.payload).cluster.name), around.database)
    return held if held and held.startswith(f"run {record.name},"[:SEEN]) else None


def unfinished(around: Surroundings) -> tuple[RunRecord, ...]:
    """Runs that have not ended and that nobody executes, the oldest first."""
    found = read_runs(around.database, ended=False)
    return tuple(each for each in reversed(found) if each.version == VERSION and not is_executed(around, each))


@dataclass(frozen=True)
class Standing:
    """How a migration on record stands. how: one word; doing: who executes it and what is done, if anybody does."""

    run: str
    plan: Plan
    how: str
    doing: str | None


def standing(around: Surroundings, record: RunRecord) -> Standing:
    """Say how a migration stands."""
    doing = is_executed(around, record) if record.ended is None else None
    if record.ended is not None:
        how = record.ended
    elif record.version != VERSION:
        how = f"cut off; of version {record.version}, which cannot be resumed"
    else:
        how = "running" if doing else "waits for the operator" if record.suspended else "cut off"
    return Standing(record.name, Plan.from_json(record.payload), how, doing)


def _key(cluster: str) -> str:
    return f"cluster {cluster}"


def _refuse_ended(record: RunRecord) -> None:
    if record.ended is not None:
        plan = Plan.from_json(record.payload)
        way = f"; the way back: intercloud migrate --source {plan.target} --target {plan.source}"
        raise Refused([f"run {record.name} has ended: {record.ended}{way if record.ended == 'completed' else ''}"])
    if record.version != VERSION:
        raise Refused(
            [f"run {record.name} was recorded by an older Intercloud, which could not resume; see both clouds"]
        )


def _refuse_vouched(plan: Plan, cloud: str, back: bool) -> None:
    """Where a run goes on to, or back to, its servers cannot be stopped for good."""
    if cloud not in (plan.source, plan.target):
        raise Refused([f"{cloud} is neither the source nor the target of {plan.run}"])
    if cloud == (plan.source if back else plan.target):
        word = "resume" if back else "rollback"
        raise Refused(
            [
                f"the servers of {plan.run} shall run at {cloud}; if they are stopped there for good: "
                f"intercloud migrations {word} {plan.run} --stopped {cloud}"
            ]
        )


def _refuse_unfinished(around: Surroundings, cluster: str) -> None:
    for each in read_runs(around.database, ended=False):
        if each.version == VERSION and Plan.from_json(each.payload).cluster.name == cluster:
            raise Refused(
                [
                    f"migration {each.name} of cluster {cluster} was cut off and has not ended; go on with it: "
                    f"intercloud migrations resume {each.name}, or take it back: "
                    f"intercloud migrations rollback {each.name}"
                ]
            )


def _refuse_taken(world: World) -> None:
    taken = [name for name, it in look(world).items() if it.target is not Target.NONE]
    if taken:
        raise Refused(
            [f"{world.plan.target} has a server {name} already, left from something else; delete it" for name in taken]
        )


def _execute(around: Surroundings, world: World, lease: Lease, *, taken: bool) -> Turns:
    """Make the turns of a run, to its end."""
    turns = Turns(world, lease.note, taken)

    @contextmanager
    def open_work(_: str) -> Iterator[Turns]:
        yield turns

    with Runs(around.database, open_work, lease.alive) as runs:
        if taken:
            runs.resume(world.plan.run, world.stop.set)
        else:
            runs.start(world.plan.run, world.plan.to_json(), world.stop.set)
    return turns


def _no_work(run: str) -> AbstractContextManager[Turns]:
    raise AssertionError(f"a process that only orders executes no run, and not {run}")


def _stop(probe: Probe | None, world: World) -> ProbeResult | None:
    """Ask the probe what it saw; a migration is not lost because nobody watched it."""
    try:
        return probe.stop() if probe else None
    except IntercloudError as silent:
        log.error("%s", silent)
        world.notes.trouble.append(str(silent))
        return None


@contextmanager
def _watched(plan: Plan, around: Surroundings) -> Iterator[Probe | None]:
    if around.probe is None or around.vantage is None:
        yield None
        return
    with Probe.launch(around.vantage.prefix, around.probe(plan)) as probe:
        yield probe
