"""The command `intercloud`: what it takes, what it prints, how it ends.

Exit codes: 0 done; 1 refused, failed or rolled back; 2 the command line or the configuration is wrong.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from intercloud import __version__
from intercloud.cli import lab, migrations, network, plan, report_html, verify
from intercloud.cli.guard import guarded
from intercloud.cli.outcome import complain, deliver
from intercloud.cli.progress import open_progress
from intercloud.errors import ConfigError, IntercloudError
from intercloud.model.report import from_json


def parser() -> argparse.ArgumentParser:
    """Describe the whole command line."""
    top = argparse.ArgumentParser(prog="intercloud", description="Move running clusters of servers between clouds.")
    top.add_argument("--version", action="version", version=f"intercloud {__version__}")
    top.add_argument("--verbose", action="store_true", help="log what is done to stderr")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _migrate(commands.add_parser("migrate", help="move a cluster from one cloud to another"))
    plan.add_command(commands.add_parser("plan", help="say what a migration would do, and what speaks against it"))
    migrations.add_commands(commands.add_parser("migrations", help="what was moved, and what was cut off"))
    migrations.add_resume(commands.add_parser("resume", help="go on with every migration that was cut off"))
    lab.add_commands(commands.add_parser("lab", help="the lab: whole clouds on this computer"))
    network.add_commands(commands.add_parser("network", help="the controller, and the borders of real clouds"))
    verify.add_arguments(commands.add_parser("verify", help="compare the disks of an earlier move once more"))
    page = commands.add_parser("report", help="make the HTML page of a stored report")
    page.add_argument("file", type=Path, metavar="FILE.json")
    page.add_argument("--html", type=Path, metavar="FILE.html", help="default: beside the JSON file")
    page.set_defaults(act=_show_report)
    return top


def _migrate(command: argparse.ArgumentParser) -> None:
    plan.add_move(command)
    command.add_argument("--dry-run", action="store_true", help="change nothing, as: intercloud plan")
    command.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there, and FILE.html")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    command.add_argument(
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,  # any other would take back what is said before the command
        help="log what is done to stderr",
    )
    command.set_defaults(act=_do_migrate)


def _do_migrate(options: argparse.Namespace) -> int:
    if options.dry_run:
        if options.report:
            raise ConfigError("--report", ["a dry run moves nothing that could be reported; leave one of both out"])
        return plan.show(options)
    service, request = plan.open_move(options)
    resume = ["migrations", "resume", request.run]
    resume += ["--config", str(options.config.absolute())] if options.config else []
    guard = guarded(resume) if service.settings.migration.guard else nullcontext()
    with guard, open_progress(sys.stderr, options.quiet) as say:
        report = service.migrate(request, say)
    return deliver(report, options)


def _show_report(options: argparse.Namespace) -> int:
    try:
        report = from_json(options.file.read_bytes())
    except ValueError as error:
        raise ConfigError(str(options.file), [f"not a report: {error}"]) from error
    page = options.html or options.file.with_suffix(".html")
    page.write_text(report_html.render(report), encoding="utf-8")
    sys.stdout.write(f"{page}\n")
    return 0


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
