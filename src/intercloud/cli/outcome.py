"""How the end of a migration is told: report on stdout and in files, what went wrong on stderr, exit code."""

import argparse
import sys
from pathlib import Path

from intercloud.cli import report_html, text
from intercloud.model.report import Report, Status, to_json


def deliver(report: Report, options: argparse.Namespace, wanted: Status = Status.COMPLETED) -> int:
    """Write a report where the options say; returns the exit code: 0 when it ended as was wanted."""
    if options.report:
        write(report, options.report)
    sys.stdout.write(to_json(report) if options.output == "json" else text.render(report))
    if report.status is not wanted:
        complain(report.message, *report.findings)
        return 1
    return 0


def write(report: Report, path: Path) -> None:
    """Write a report as JSON, and as a page beside it."""
    path.write_text(to_json(report), encoding="utf-8")
    path.with_suffix(".html").write_text(report_html.render(report), encoding="utf-8")


def complain(*lines: str) -> None:
    """Say what went wrong, one line each."""
    for line in lines:
        sys.stderr.write(f"intercloud: {line}\n")
