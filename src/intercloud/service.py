"""The facade: what a command line, an API or a benchmark can ask of Intercloud."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from intercloud.clouds.port import Cloud
from intercloud.control.client import ControlClient
from intercloud.endpoints.health import Vantage
from intercloud.endpoints.result import ProbeConfig
from intercloud.errors import NotFound
from intercloud.migration.migrate import Surroundings, migrate
from intercloud.migration.plan import Limits, Plan
from intercloud.migration.request import Request, find_plan, only_one
from intercloud.model.progress import ProgressSink
from intercloud.model.report import Report
from intercloud.settings import Settings
from intercloud.units import Seconds


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
        with only_one(request.cluster, self.settings.migration.state / "locks"):
            pass  # a cluster on its way is at no place that could be planned from
        source, target = self.open_cloud(request.source), self.open_cloud(request.target)
        with closing(ControlClient(self.control)) as control:
            return find_plan(request, source, target, control, self._limits())

    def migrate(self, request: Request, say: ProgressSink) -> Report:
        """Move a cluster. Raises Refused or NotFound with nothing changed; later failures are in the report."""
        state = self.settings.migration.state
        with closing(ControlClient(self.control)) as control:
            around = Surroundings(
                self.open_cloud,
                control,
                Vantage(self.prefix) if self.prefix else None,
                self._probe if self.prefix and self.settings.probe.enabled else None,
                self._limits(),
                f"sqlite:///{state / 'runs.sqlite'}",
                state,
            )
            return migrate(request, around, say)

    def only_cluster(self, cloud: str) -> str:
        """Name the cluster of a cloud that has just one. Raises NotFound, naming those there are."""
        clusters = self.open_cloud(cloud).clusters()
        if len(clusters) != 1:
            there = f"it has {', '.join(clusters)}; choose with --cluster" if clusters else "it has no cluster at all"
            raise NotFound(f"{cloud}: no cluster was named, and {there}")
        return clusters[0]

    def _limits(self) -> Limits:
        wanted = self.settings.migration
        return Limits(Seconds(wanted.max_blackout_ms / 1000), wanted.allow_postcopy, wanted.verify_digests)

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
