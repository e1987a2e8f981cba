"""What the probe is told, and what it hands back: plain values that cross from one process to the other as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from intercloud.endpoints.downtime import Measure
from intercloud.model import report
from intercloud.units import Seconds


@dataclass(frozen=True)
class ProbeConfig:
    """What to probe. All intervals and time limits are seconds.

    run: short text, unique for this probe, that marks its packets and its records.
    targets: name → IP address of every server, each probed by UDP echo, in turn, udp_rate probes a second in all;
    so each server's blackout is seen to within len(targets) / udp_rate.
    stream: name of the target that the TCP stream goes to; web: 'address' or 'address:port' of the HTTP
    server. None: not probed.
    ready_within: how long the first answers of all may take. samples: file for every single sample, or None.
    """

    run: str
    targets: Mapping[str, str]
    stream: str | None = None
    web: str | None = None
    udp_rate: float = 300.0
    tcp_interval: float = 0.01
    http_interval: float = 0.05
    http_timeout: float = 5.0
    ready_within: float = 10.0
    echo_port: int = 7
    samples: str | None = None


@dataclass(frozen=True)
class ProbeResult:
    """What the clients saw from `begin` to `end` (time.monotonic(), which all processes of a machine share).

    udp: by server. broken: TCP connections that were reset, closed, answered wrongly or not at all.
    lost_writes: acknowledged records that the application no longer has; None when it could not be asked.
    late: the longest time by which the prober itself sent too late.
    """

    begin: Seconds
    end: Seconds
    udp: Mapping[str, Measure]
    tcp: Measure | None
    broken: int
    http: Measure | None
    acknowledged: int
    lost_writes: int | None
    late: Seconds

    def report(self, origin: Seconds) -> report.Probe:
        """Say the same in the report's words, with times relative to `origin`."""
        longest = max(self.udp.values(), key=lambda measure: measure.downtime)
        tcp, http = self.tcp, self.http
        streams = {f"udp {name}": measure for name, measure in self.udp.items()} | {"tcp": tcp, "http": http}
        return report.Probe(
            udp=report.UdpProbe(
                sent=sum(measure.sent for measure in self.udp.values()),
                lost=sum(measure.lost for measure in self.udp.values()),
                duplicated=sum(measure.duplicated for measure in self.udp.values()),
                downtime_s=longest.downtime,
                error_s=longest.error,
                brownout_s=max(measure.brownout for measure in self.udp.values()),
            ),
            tcp=report.TcpProbe(self.broken, tcp.downtime, tcp.error) if tcp else None,
            http=report.HttpProbe(http.sent, http.lost, http.downtime, http.error) if http else None,
            writes=report.Writes(self.acknowledged, self.lost_writes) if http else None,
            start_s=Seconds(self.begin - origin),
            end_s=Seconds(self.end - origin),
            late_s=self.late,
            streams=tuple(_stream(name, seen, origin) for name, seen in streams.items() if seen),
        )


def _stream(name: str, seen: Measure, origin: Seconds) -> report.Stream:
    gaps = tuple(report.Gap(Seconds(gap.start - origin), Seconds(gap.end - origin)) for gap in seen.gaps)
    return report.Stream(name, seen.interval, gaps)


CONFIG = TypeAdapter(ProbeConfig)
RESULT = TypeAdapter(ProbeResult)
