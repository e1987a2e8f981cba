"""The command `intercloud`: what it takes, what it prints, how it ends.

Exit codes: 0 done; 1 refused, failed or rolled back; 2 the command line or the configuration is wrong.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from intercloud import __version__, bootstrap
from intercloud.cli import lab, report_html, text, values
from intercloud.cli.progress import open_progress
from intercloud.errors import ConfigError, IntercloudError
from intercloud.migration.request import Request
from intercloud.model.report import Report, Status, from_json, to_json
from intercloud.model.strategy import Strategy
from intercloud.settings import load


def parser() -> argparse.ArgumentParser:
    """Describe the whole command line."""
    top = argparse.ArgumentParser(prog="intercloud", description="Move running clusters of servers between clouds.")
    top.add_argument("--version", action="version", version=f"intercloud {__version__}")
    top.add_argument("--verbose", action="store_true", help="log what is done to stderr")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _migrate(commands.add_parser("migrate", help="move a cluster from one cloud to another"))
    lab.add_commands(commands.add_parser("lab", help="the lab: whole clouds on this computer"))
    page = commands.add_parser("report", help="make the HTML page of a stored report")
    page.add_argument("file", type=Path, metavar="FILE.json")
    page.add_argument("--html", type=Path, metavar="FILE.html", help="default: beside the JSON file")
    page.set_defaults(act=_show_report)
    return top


def _migrate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--source", required=True, metavar="CLOUD")
    command.add_argument("--target", required=True, metavar="CLOUD")
    command.add_argument("--cluster", metavar="NAME", help="default: the source's only one")
    command.add_argument("--servers", type=values.names, default=frozenset(), metavar="A,B", help="default: all")
    command.add_argument("--strategy", choices=("auto", *Strategy), default="auto")
    command.add_argument("--config", type=Path, metavar="FILE", help="default: config.json, else the lab's defaults")
    command.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there, and FILE.html")
    command.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    command.set_defaults(act=_do_migrate)


def _do_migrate(options: argparse.Namespace) -> int:
    service = bootstrap.service(load(options.config))
    cluster = options.cluster or service.only_cluster(options.source)
    request = Request(options.source, options.target, cluster, options.strategy, options.servers)
    with open_progress(sys.stderr, options.quiet) as say:
        report = service.migrate(request, say)
    if options.report:
        write(report, options.report)
    sys.stdout.write(to_json(report) if options.output == "json" else text.render(report))
    if report.status is not Status.COMPLETED:
        complain(report.message, *report.findings)
        return 1
    return 0


def write(report: Report, path: Path) -> None:
    """Write a report as JSON, and as a page beside it."""
    path.write_text(to_json(report), encoding="utf-8")
    path.with_suffix(".html").write_text(report_html.render(report), encoding="utf-8")


def _show_report(options: argparse.Namespace) -> int:
    try:
        report = from_json(options.file.read_bytes())
    except ValueError as error:
        raise ConfigError(str(options.file), [f"not a report: {error}"]) from error
    page = options.html or options.file.with_suffix(".html")
    page.write_text(report_html.render(report), encoding="utf-8")
    sys.stdout.write(f"{page}\n")
    return 0


def complain(*lines: str) -> None:
    """Say what went wrong, one line each."""
    for line in lines:
        sys.stderr.write(f"intercloud: {line}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.ERROR, format="%(name)s: %(message)s")
    try:
        code: int = options.act(options)
        return code
    except ConfigError as error:
        complain(*str(error).splitlines())
        return 2
    except IntercloudError as error:
        complain(str(error), *getattr(error, "__notes__", ()))
        return 1
    except OSError as error:
        complain(f"{error.filename or 'input or output'}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        complain("stopped; nothing had been changed")
        return 1


if __name__ == "__main__":
    sys.exit(main())
