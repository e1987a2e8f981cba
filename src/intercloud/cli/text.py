"""The report on a terminal: the figures that matter, with their units, in plain text."""

from collections.abc import Iterable, Sequence

from intercloud.model.report import DiskReport, Probe, Report, ServerReport, short_root
from intercloud.units import Seconds, show_bytes, show_rate, show_seconds

NONE = "-"
HEAD = ("server", "strategy", "sent", "rounds", "blackout", "limit", "x limit", "disks")
DISK_HEAD = ("disk", "blocks", "written since", "compared", "root at source", "root at target")


def render(report: Report) -> str:
    """Write a report for people; ends with a line break."""
    lines = [f"{report.cluster}: {report.source} -> {report.target}, {report.strategy}: {report.status}"]
    lines += [f"  {report.message}", *(f"  {finding}" for finding in report.findings), ""]
    lines += aligned(_figures(report))
    lines += ["", *aligned([HEAD, *(_server(server) for server in report.servers)])]
    if disks := [_disk(server, disk) for server in report.servers for disk in server.disks]:
        lines += ["", *aligned([DISK_HEAD, *disks])]
    lines += ["", *(f"  {line}" for line in (*_reasons(report), _environment(report)))]
    return "\n".join(lines) + "\n"


def _figures(report: Report) -> Iterable[tuple[str, str]]:
    if report.probe:
        yield from _probe(report.probe)
    yield "migration time", show_seconds(report.migration_time_s)
    if report.wan_bytes is not None:
        yield "over the WAN", f"{show_bytes(report.wan_bytes)} for {show_bytes(report.sent_bytes)}"
    if report.split_window_s is not None:
        yield "split window", show_seconds(report.split_window_s)
    if report.reconfiguration_s is not None:
        switches = [_switch(report, name) for name in report.reconfiguration_per_switch_s]
        yield "reconfiguration", ": ".join(filter(None, (show_seconds(report.reconfiguration_s), ", ".join(switches))))


def _switch(report: Report, name: str) -> str:
    time, barrier = report.reconfiguration_per_switch_s[name], report.barrier_rtt_s.get(name)
    return f"{name} {show_seconds(time)}" + (f" ({time / barrier:.1f} x its barrier)" if barrier else "")


def _probe(probe: Probe) -> Iterable[tuple[str, str]]:
    udp = probe.udp
    yield (
        "downtime, UDP",
        f"{_measured(udp.downtime_s, udp.error_s)}: {udp.sent} sent, {udp.lost} lost, {udp.duplicated} duplicated",
    )
    if probe.tcp:
        yield "downtime, TCP", f"{_measured(probe.tcp.downtime_s, probe.tcp.error_s)}: {probe.tcp.broken} broken"
    if probe.http:
        http = probe.http
        yield "downtime, HTTP", f"{_measured(http.downtime_s, http.error_s)}: {http.sent} sent, {http.failed} failed"
    if probe.writes:
        lost = "not known how many" if probe.writes.lost is None else probe.writes.lost
        yield "writes", f"{probe.writes.acknowledged} acknowledged, {lost} of them lost"


def _server(server: ServerReport) -> tuple[str, ...]:
    equal = {True: "equal", False: "DIFFERENT", None: NONE}[server.disk_digest_equal]
    return (
        server.name,
        server.strategy,
        show_bytes(server.bytes_sent),
        NONE if server.rounds is None else str(server.rounds),
        _time(server.blackout_s),
        _time(server.limit_s),
        NONE if server.ratio_to_limit is None else f"{server.ratio_to_limit:.2f}",
        equal,
    )


def _disk(server: ServerReport, disk: DiskReport) -> tuple[str, ...]:
    return (
        f"{server.name} {disk.name}",
        str(disk.blocks),
        str(disk.written),
        "equal" if disk.equal else "DIFFERENT",
        short_root(disk.root_at_source),
        short_root(disk.root_at_target),
    )


def _reasons(report: Report) -> Iterable[str]:
    """Say why, once for all servers of which the same is true."""
    for why in dict.fromkeys((server.strategy, server.why) for server in report.servers):
        names = ", ".join(server.name for server in report.servers if (server.strategy, server.why) == why)
        yield f"{names}: {why[0]}: {why[1]}"


def _environment(report: Report) -> str:
    where = report.environment
    wan = f"WAN {show_rate(where.wan.rate_bit_s)}, {show_seconds(where.wan.rtt_s)} round trip"
    load = f"{where.cpus} CPUs, load {where.load[0]:.1f}"
    return f"{where.accelerator}, {where.tunnel}, {wan}, {load}, run {report.run}"


def _measured(value: Seconds, error: Seconds) -> str:
    return f"{show_seconds(value)} (± {show_seconds(error)})"


def _time(value: Seconds | None) -> str:
    return NONE if value is None else show_seconds(value)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Put each column at one place, two spaces apart."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
