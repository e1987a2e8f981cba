"""The commands `intercloud migrations list|show|resume|cancel|rollback`, and `intercloud resume` for all of them."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

from intercloud import bootstrap
from intercloud.cli.outcome import deliver
from intercloud.cli.progress import open_progress
from intercloud.cli.text import aligned
from intercloud.migration.migrate import Standing
from intercloud.migration.notes import Record
from intercloud.model.progress import ProgressSink
from intercloud.model.report import Report, Status
from intercloud.service import Service
from intercloud.settings import load
from intercloud.workflow.runs import VERSION


def add_commands(command: argparse.ArgumentParser) -> None:
    """Describe them."""
    acts = command.add_subparsers(dest="act_name", required=True, metavar="list|show|resume|cancel|rollback")
    for name, act, text in (
        ("list", _list, "every migration on record, the newest first"),
        ("show", _show, "one migration, turn by turn"),
        ("resume", _resume, "go on with a migration whose process is gone"),
        ("cancel", _rollback, "the same as rollback"),
        ("rollback", _rollback, "take a migration back, whoever executes it; not after its commit"),
    ):
        each = acts.add_parser(name, help=text)
        each.set_defaults(act=act)
        each.add_argument("--config", type=Path, metavar="FILE", help="default: config.json, else the lab's defaults")
        each.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets")
        if name != "list":
            each.add_argument("run", metavar="RUN")
        if act in (_resume, _rollback):
            each.add_argument("--quiet", action="store_true", help="no progress on stderr")
            each.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there, and FILE.html")
            each.add_argument(
                "--stopped",
                action="append",
                default=[],
                metavar="CLOUD",
                help="you vouch: this migration's servers there, not to be reached or found, are stopped for good",
            )


def add_resume(command: argparse.ArgumentParser) -> None:
    """Describe `intercloud resume`."""
    command.add_argument("--config", type=Path, metavar="FILE", help="default: config.json, else the lab's defaults")
    command.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    command.set_defaults(act=_resume_all, report=None)


def _list(options: argparse.Namespace) -> int:
    found = bootstrap.service(load(options.config)).runs()
    if options.output == "json":
        sys.stdout.write(json.dumps([_plain(each) for each in found], indent=1) + "\n")
        return 0
    rows = [("migration", "cluster", "from", "to", "strategy", "state")]
    rows += [(s.run, s.plan.cluster.name, s.plan.source, s.plan.target, s.plan.strategy, _state(s)) for s in found]
    sys.stdout.write("\n".join(aligned(rows)) + "\n" if found else "no migration is on record\n")
    return 0


def _state(standing: Standing) -> str:
    return f"{standing.how} ({standing.doing})" if standing.doing else standing.how


def _plain(standing: Standing) -> dict[str, object]:
    plan = standing.plan
    return {
        "run": standing.run,
        "cluster": plan.cluster.name,
        "servers": [server.name for server in plan.cluster.servers],
        "source": plan.source,
        "target": plan.target,
        "strategy": plan.strategy,
        "started_at": plan.started_at.isoformat() if plan.started_at else None,
        "state": standing.how,
        "doing": standing.doing,
    }


def _show(options: argparse.Namespace) -> int:
    standing, record = bootstrap.service(load(options.config)).run(options.run)
    turns = [(Record.from_json(text), began, ended) for text, began, ended in record.turns]
    if options.output == "json":
        told = [
            {"action": t.action, "servers": t.servers, "why": t.why, "error": t.error, "began": b.isoformat(),
             "ended": e.isoformat()} for t, b, e in turns
        ]  # fmt: skip
        sys.stdout.write(json.dumps(_plain(standing) | {"turns": told}, indent=1) + "\n")
        return 0
    plan = standing.plan
    servers = ", ".join(server.name for server in plan.cluster.servers)
    lines = [f"{standing.run}: {plan.cluster.name} ({servers}), {plan.source} -> {plan.target}, {plan.strategy}"]
    lines += [f"  {_state(standing)}", ""]
    lines += aligned(
        (
            f"{began.astimezone(UTC):%H:%M:%S}",
            f"{(ended - began).total_seconds():.2f} s",
            turn.action,
            ", ".join(turn.servers),
            f"failed: {turn.error}" if turn.error else turn.why,
        )
        for turn, began, ended in turns
    )
    if not record.ended and standing.doing is None and record.version == VERSION:
        lines += ["", *(f"  intercloud migrations {word} {standing.run}" for word in ("resume", "rollback"))]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _resume(options: argparse.Namespace) -> int:
    return _go_on(options, Status.COMPLETED, lambda service, say: service.resume(options.run, say, options.stopped))


def _rollback(options: argparse.Namespace) -> int:
    return _go_on(options, Status.ROLLED_BACK, lambda service, say: service.rollback(options.run, say, options.stopped))


def _go_on(options: argparse.Namespace, wanted: Status, act: Callable[[Service, ProgressSink], Report | None]) -> int:
    service = bootstrap.service(load(options.config))
    with open_progress(sys.stderr, options.quiet) as say:
        report = act(service, say)
    if report is None:
        sys.stdout.write(f"{options.run}: its process has been told to go back\n")
        return 0
    return deliver(report, options, wanted)


def _resume_all(options: argparse.Namespace) -> int:
    service: Service = bootstrap.service(load(options.config))
    runs = service.unfinished()
    if not runs:
        sys.stdout.write("no migration was cut off\n")
    code = 0
    for run in runs:
        with open_progress(sys.stderr, options.quiet) as say:
            report = service.resume(run, say)
        code = max(code, deliver(report, options))
    return code
