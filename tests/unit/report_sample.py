"""A report as a live migration of three servers gives it, for the tests of all that shows reports."""

from datetime import UTC, datetime

from intercloud.model.report import (
    DiskReport,
    Environment,
    Gap,
    HttpProbe,
    Mark,
    Probe,
    Report,
    ServerReport,
    ServerTimeline,
    Span,
    Status,
    Stream,
    TcpProbe,
    UdpProbe,
    Wan,
    Writes,
)
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

BLACKOUTS = {"web": 0.0412, "app": 0.0386, "db": 0.0541}
WRITTEN = {"web": 0, "app": 0, "db": 3}
ROOTS = {"web": "0123456789abcdef" * 4, "app": "89abcdef01234567" * 4, "db": "fedcba9876543210" * 4}


def _server(name: str) -> ServerReport:
    return ServerReport(
        name=name,
        strategy="live",
        why="both clouds give access to their hypervisors",
        bytes_sent=Bytes(212 * MIB),
        unique_bytes=Bytes(190 * MIB),
        rounds=4,
        blackout_s=Seconds(BLACKOUTS[name]),
        hypervisor_downtime_s=Seconds(0.012),
        limit_s=Seconds(0.0305),
        ratio_to_limit=BLACKOUTS[name] / 0.0305,
        disk_digest_equal=True,
        disks=(DiskReport("root", 4096, WRITTEN[name], ROOTS[name], ROOTS[name], True),),
    )


def _timeline(name: str, shift: float) -> ServerTimeline:
    edges = [("prepare", 0.0), ("disk", 0.9), ("memory", 3.1 + shift), ("hold", 6.2 - shift), ("switchover", 7.4)]
    ends = [start for _, start in edges[1:]] + [7.48]
    phases = [Span(phase, Seconds(start), Seconds(end)) for (phase, start), end in zip(edges, ends, strict=True)] + [
        Span("verify", Seconds(7.48), Seconds(9.3)),
        Span("release", Seconds(9.3), Seconds(9.9)),
    ]
    marks = (
        Mark("stopped", Seconds(7.412 + shift / 50)),
        Mark("flows changed", Seconds(7.4185 + shift / 50)),
        Mark("resumed", Seconds(7.412 + shift / 50 + BLACKOUTS[name] - 0.004)),
    )
    return ServerTimeline(name, tuple(phases), marks)


def _streams() -> tuple[Stream, ...]:
    streams = []
    for index, (name, blackout) in enumerate(BLACKOUTS.items()):
        start = 7.411 + index * 0.005
        gaps = (Gap(Seconds(2.2), Seconds(2.2061)), Gap(Seconds(start), Seconds(start + blackout)))
        streams.append(Stream(f"udp {name}", Seconds(0.003), gaps))
    streams.append(Stream("tcp", Seconds(0.01), (Gap(Seconds(7.40), Seconds(7.449)),)))
    streams.append(Stream("http", Seconds(0.05), (Gap(Seconds(7.39), Seconds(7.492)),)))
    return tuple(streams)


REPORT = Report(
    run="20261123-041500-7f3a",
    cluster="shop",
    source="lab-a",
    target="lab-b",
    started_at=datetime(2026, 11, 23, 4, 15, tzinfo=UTC),
    status=Status.COMPLETED,
    strategy="live",
    message="shop runs at lab-b; lab-a is released",
    migration_time_s=Seconds(9.9),
    environment=Environment(
        accelerator="tcg",
        wan=Wan(BitsPerSecond(387.2e6), Seconds(0.0104), 1500, Seconds(0.005), 0.0),
        tunnel="vxlan",
        load=(1.4, 1.1, 0.8),
        cpus=2,
        versions={"intercloud": "0.1.0", "qemu": "7.2.22", "openvswitch": "3.1.0", "python": "3.11.7"},
        revision="26fc270",
    ),
    servers=tuple(_server(name) for name in BLACKOUTS),
    wan_bytes=Bytes(61 * MIB),
    split_window_s=Seconds(0.0613),
    reconfiguration_s=Seconds(0.00042),
    reconfiguration_per_switch_s={"lab-a": Seconds(0.00031), "lab-b": Seconds(0.00029), "office": Seconds(0.00033)},
    barrier_rtt_s={"lab-a": Seconds(0.00012), "lab-b": Seconds(0.00013), "office": Seconds(0.00012)},
    probe=Probe(
        udp=UdpProbe(10_450, 0, 0, Seconds(0.0541), Seconds(0.003), Seconds(0.018)),
        tcp=TcpProbe(0, Seconds(0.049), Seconds(0.01)),
        http=HttpProbe(203, 0, Seconds(0.102), Seconds(0.05)),
        writes=Writes(203, 0),
        start_s=Seconds(-0.4),
        end_s=Seconds(10.05),
        late_s=Seconds(0.0021),
        streams=_streams(),
    ),
    timeline=tuple(_timeline(name, index * 0.2) for index, name in enumerate(BLACKOUTS)),
)
