"""The report as one web page that needs nothing else: no network, no script, light and dark."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from intercloud.cli import report_figures
from intercloud.model.report import DiskReport, Report, ServerReport, Status, short_root
from intercloud.units import Seconds, show_bytes, show_rate, show_seconds

NONE = "—"
SERVER_HEAD = (
    "Server", "Strategy", "Sent", "Had to cross", "Rounds", "Blackout", "Hypervisor says", "Limit", "Ratio to limit",
    "Disks",
)  # fmt: skip
DISK_HEAD = ("Server", "Disk", "Blocks", "Written since", "Root at source", "Root at target", "Compared")
STATUS = {Status.COMPLETED: "Completed", Status.ROLLED_BACK: "Rolled back", Status.FAILED: "Failed"}


def render(report: Report) -> str:
    """Make the whole page."""
    page = Template(files("intercloud.cli").joinpath("report.html").read_text(encoding="utf-8"))
    headline = f"{report.cluster}: {report.source} → {report.target}"
    return page.substitute(
        title=escape(f"{headline}, {STATUS[report.status].lower()}"),
        headline=escape(headline),
        mood="good" if report.status is Status.COMPLETED else "bad",
        status=STATUS[report.status],
        strategy=escape(report.strategy),
        started=report.started_at.strftime("%Y-%m-%d %H:%M:%S %Z"),
        run=escape(report.run),
        message=escape(report.message),
        findings=_list(report.findings),
        tiles="".join(_tiles(report)),
        figures=_figures(report),
        server_head=_cells(SERVER_HEAD, "col"),
        server_rows="".join(_server(server) for server in report.servers),
        reasons=_reasons(report.servers),
        disks=_disks(report.servers),
        switches=_switches(report),
        environment="".join(_fact(name, value) for name, value in _environment(report)),
    )


def _tiles(report: Report) -> Iterable[str]:
    probe = report.probe
    if probe:
        udp = probe.udp
        yield _tile("Downtime", show_seconds(udp.downtime_s), f"± {show_seconds(udp.error_s)}, worst server")
        yield _count("Packets lost", udp.lost, f"of {udp.sent:,} sent, {udp.duplicated} duplicated")
    if probe and probe.tcp:
        yield _count("Connections broken", probe.tcp.broken, f"longest stall {show_seconds(probe.tcp.downtime_s)}")
    if probe and probe.http:
        seen = f"of {probe.http.sent:,}, longest stall {show_seconds(probe.http.downtime_s)}"
        yield _count("Requests failed", probe.http.failed, seen)
    if probe and probe.writes:
        yield _count("Writes lost", probe.writes.lost, f"of {probe.writes.acknowledged:,} acknowledged")
    if report.split_window_s is not None:
        yield _tile("Split window", show_seconds(report.split_window_s), "first pause to last resume")
    if report.reconfiguration_s is not None:
        yield _tile("Reconfiguration", show_seconds(report.reconfiguration_s), "first message to last barrier")
    yield _tile("Migration time", show_seconds(report.migration_time_s), "request to source released")
    if report.wan_bytes is not None:
        yield _tile("Over the WAN", show_bytes(report.wan_bytes), f"for {show_bytes(report.sent_bytes)}")


def _tile(name: str, value: str, more: str, mood: str = "") -> str:
    return (
        f'<div><dt>{escape(name)}</dt><dd class="value {mood}">{escape(value)}</dd>'
        f'<dd class="more">{escape(more)}</dd></div>'
    )


def _count(name: str, value: int | None, more: str) -> str:
    """Make a tile of something of which there should be none."""
    return _tile(name, "not known" if value is None else f"{value:,}", more, "good" if value == 0 else "bad")


def _figures(report: Report) -> str:
    return "".join((
        _figure(
            "The switchover, close up",
            report_figures.close_up(report),
            (("switch", "server paused"), ("missed", "no answer to the probe"), ("mark", "flows changed")),
            "Time counts from the first pause. For each server: its pause, and below it what a client missed.",
        ),
        _figure(
            "Every server, from request to release",
            report_figures.timeline(report),
            report_figures.legend(report),
            "Time counts from the request. Thin lines: stopped, flows changed, resumed.",
        ),
        _figure(
            "Times without an answer",
            report_figures.gaps(report),
            (),
            "Each bar is a time in which an answer was due and none came, longer than its interval; all on one scale.",
        ),
    ))  # fmt: skip


def _figure(title: str, drawing: str, legend: Sequence[tuple[str, str]], caption: str) -> str:
    """Make a section of a drawing; nothing without one. legend: (style class, meaning)."""
    if not drawing:
        return ""
    items = "".join(f'<li><i class="{style}"></i>{escape(text)}</li>' for style, text in legend)
    names = f'<ul class="legend">{items}</ul>' if items else ""
    return (
        f'<section><h2>{escape(title)}</h2><figure><div class="scroll">{drawing}</div>'
        f"{names}<figcaption>{escape(caption)}</figcaption></figure></section>"
    )


def _server(server: ServerReport) -> str:
    equal = {True: "equal", False: '<span class="bad">different</span>', None: NONE}[server.disk_digest_equal]
    cells = (
        server.strategy,
        show_bytes(server.bytes_sent),
        NONE if server.unique_bytes is None else show_bytes(server.unique_bytes),
        NONE if server.rounds is None else str(server.rounds),
        _time(server.blackout_s),
        _time(server.hypervisor_downtime_s),
        _time(server.limit_s),
        NONE if server.ratio_to_limit is None else f"{server.ratio_to_limit:.2f}",
    )
    return f'<tr><th scope="row">{escape(server.name)}</th>{_cells(cells)}<td>{equal}</td></tr>'


def _reasons(servers: Sequence[ServerReport]) -> str:
    """Say why each strategy, once for all servers of which the same is true."""
    lines = []
    for strategy, why in dict.fromkeys((server.strategy, server.why) for server in servers):
        names = ", ".join(server.name for server in servers if (server.strategy, server.why) == (strategy, why))
        lines.append(f"{names}: {strategy}, {why}")
    return "".join(f'<p class="soft">{escape(line)}</p>' for line in lines)


def _disks(servers: Sequence[ServerReport]) -> str:
    rows = [_disk(server.name, disk) for server in servers for disk in server.disks]
    return _table("Disks", DISK_HEAD, rows)


def _disk(server: str, disk: DiskReport) -> str:
    equal = "equal" if disk.equal else '<span class="bad">different</span>'
    roots = (short_root(disk.root_at_source), short_root(disk.root_at_target))
    cells = _cells((disk.name, f"{disk.blocks:,}", f"{disk.written:,}", *roots))
    return f'<tr><th scope="row">{escape(server)}</th>{cells}<td>{equal}</td></tr>'


def _table(title: str, head: Sequence[str], rows: Sequence[str]) -> str:
    """Make a section of a table; nothing without rows."""
    if not rows:
        return ""
    return (
        f'<section><h2>{escape(title)}</h2><div class="scroll"><table><thead><tr>{_cells(head, "col")}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _switches(report: Report) -> str:
    rows = []
    for name, time in report.reconfiguration_per_switch_s.items():
        barrier = report.barrier_rtt_s.get(name)
        cells = (show_seconds(time), _time(barrier), f"{time / barrier:.1f}" if barrier else NONE)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{_cells(cells)}</tr>')
    return _table("Switches", ("Switch", "Reconfigured in", "Barrier round trip", "Ratio to barrier"), rows)


def _environment(report: Report) -> Iterable[tuple[str, str]]:
    where = report.environment
    yield "Accelerator", where.accelerator.upper()
    yield "CPUs, load average", f"{where.cpus}, {' '.join(f'{load:.2f}' for load in where.load)}"
    yield "Tunnel", where.tunnel.upper()
    yield "WAN, measured rate", show_rate(where.wan.rate_bit_s)
    yield "WAN, measured round trip", show_seconds(where.wan.rtt_s)
    yield "WAN, MTU", f"{where.wan.mtu} bytes"
    if where.wan.delay_s is not None:
        yield "WAN, one-way delay as set", show_seconds(where.wan.delay_s)
    if where.wan.loss is not None:
        yield "WAN, loss as set", f"{where.wan.loss:.2%}"
    if report.probe:
        yield "Prober's own largest delay", show_seconds(report.probe.late_s)
    yield from ((name, version) for name, version in where.versions.items())
    if where.revision:
        yield "Revision", where.revision


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _cells(texts: Sequence[str], scope: str | None = None) -> str:
    if scope:
        return "".join(f'<th scope="{scope}">{escape(text)}</th>' for text in texts)
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _time(value: Seconds | None) -> str:
    return NONE if value is None else show_seconds(value)
