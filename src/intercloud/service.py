"""The facade: what a command line, an API or a benchmark can ask of Intercloud."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from intercloud.clouds.port import Cloud
from intercloud.control.client import ControlClient
from intercloud.endpoints.health import Vantage
from intercloud.endpoints.result import ProbeConfig
from intercloud.errors import NotFound
from intercloud.migration.archive import Archive
from intercloud.migration.migrate import (
    Standing,
    Surroundings,
    find,
    migrate,
    order_back,
    plan,
    resume,
    standing,
    unfinished,
)
from intercloud.migration.plan import Limits, Plan
from intercloud.migration.recheck import Finding, recheck
from intercloud.migration.request import Request
from intercloud.model.progress import ProgressSink
from intercloud.model.report import Report
from intercloud.settings import Settings
from intercloud.units import Seconds
from intercloud.workflow.runs import RunRecord, read_runs


class Service:
    """Everything that can be asked, for one configuration.

    open_cloud: name → adapter; control: socket of the controller; prefix: the command that gets to where the
    application's clients are, None when there is no such place.
    """

    def __init__(
        self,
        settings: Settings,
        open_cloud: Callable[[str], Cloud],
        control: Path,
        prefix: Sequence[str] | None,
    ) -> None:
        self.settings, self.open_cloud, self.control, self.prefix = settings, open_cloud, control, prefix

    def plan(self, request: Request) -> Plan:
        """Say what a migration would do, what speaks against it and what it would cost. Nothing is changed.

        Raises NotFound, CloudUnreachable (a cloud), and Refused when another migration moves this cluster meanwhile.
        """
        with self._around() as around:
            return plan(request, around)

    def migrate(self, request: Request, say: ProgressSink) -> Report:
        """Move a cluster. Raises Refused or NotFound with nothing changed; later failures are in the report."""
        with self._around() as around:
            return migrate(request, around, say)

    def resume(self, run: str, say: ProgressSink, stopped: Collection[str] = ()) -> Report:
        """Go on with a migration whose process is gone. stopped: clouds whose servers of it are stopped for good."""
        with self._around() as around:
            return resume(run, around, say, stopped, back=False)

    def rollback(self, run: str, say: ProgressSink, stopped: Collection[str] = ()) -> Report | None:
        """Take a migration back. None: another process executes it, and has been told to."""
        with self._around() as around:
            if order_back(run, around):
                return None
            return resume(run, around, say, stopped, back=True)

    def runs(self) -> tuple[Standing, ...]:
        """Say of every migration on record how it stands, the newest first."""
        with self._around() as around:
            return tuple(standing(around, each) for each in read_runs(around.database))

    def run(self, name: str) -> tuple[Standing, RunRecord]:
        """Say of one migration how it stands, and give its record. Raises NotFound."""
        with self._around() as around:
            record = find(around.database, name)
            return standing(around, record), record

    def unfinished(self) -> tuple[str, ...]:
        """Names of the migrations that were cut off, the oldest first."""
        with self._around() as around:
            return tuple(each.name for each in unfinished(around))

    def verify(self, run: str) -> Iterator[Finding]:
        """Compare the disks that a run moved with its evidence. Raises NotFound when there is none."""
        servers = [
            s for each in read_runs(self.settings.database, [run]) for s in Plan.from_json(each.payload).cluster.servers
        ]
        moved = [(server.name, disk.name) for server in servers for disk in server.disks]
        return recheck(run, Archive(self.settings.migration.state / "evidence"), self.open_cloud, moved)

    @contextmanager
    def _around(self) -> Iterator[Surroundings]:
        with closing(ControlClient(self.control)) as control:
            yield Surroundings(
                self.open_cloud,
                control,
                Vantage(self.prefix) if self.prefix else None,
                self._probe if self.prefix and self.settings.probe.enabled else None,
                self._limits(),
                self.settings.database,
                self.settings.migration.state,
            )

    def only_cluster(self, cloud: str) -> str:
        """Name the cluster of a cloud that has just one. Raises NotFound, naming those there are."""
        clusters = self.open_cloud(cloud).clusters()
        if len(clusters) != 1:
            there = f"it has {', '.join(clusters)}; choose with --cluster" if clusters else "it has no cluster at all"
            raise NotFound(f"{cloud}: no cluster was named, and {there}")
        return clusters[0]

    def _limits(self) -> Limits:
        wanted = self.settings.migration
        return Limits(
            max_blackout=Seconds(wanted.max_blackout_ms / 1000),
            allow_postcopy=wanted.allow_postcopy,
            verify_digests=wanted.verify_digests,
            compress=wanted.compress,
            keep_seeds=wanted.keep_seeds,
            patience=Seconds(wanted.patience_s),
        )

    def _probe(self, plan: Plan) -> ProbeConfig:
        targets = {server.name: server.nics[0].ip for server in plan.cluster.servers}
        web = plan.cluster.health.split("/")[2] if plan.cluster.health else None
        return ProbeConfig(
            run=plan.run,
            targets=targets,
            stream=next(iter(targets)),
            web=web,
            udp_rate=self.settings.probe.udp_per_second,
            http_interval=self.settings.probe.http_interval_ms / 1000,
        )
