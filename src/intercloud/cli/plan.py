"""The command `intercloud plan`, and `intercloud migrate --dry-run`: what would be done, and what speaks against it.

Exit codes: 0 it can be done; 1 something blocks it.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from intercloud import bootstrap
from intercloud.cli import values
from intercloud.cli.text import aligned
from intercloud.migration.plan import Plan
from intercloud.migration.request import Request
from intercloud.model.site import WanPath
from intercloud.model.strategy import Strategy
from intercloud.planning.estimate import Estimate
from intercloud.service import Service
from intercloud.settings import load
from intercloud.units import show_rate, show_seconds


def add_command(command: argparse.ArgumentParser) -> None:
    """Describe it."""
    add_move(command)
    command.set_defaults(act=show)


def add_move(command: argparse.ArgumentParser) -> None:
    """Describe what a plan and a migration both take."""
    command.add_argument("--source", required=True, metavar="CLOUD")
    command.add_argument("--target", required=True, metavar="CLOUD")
    command.add_argument("--cluster", metavar="NAME", help="default: the source's only one")
    command.add_argument("--servers", type=values.names, default=frozenset(), metavar="A,B", help="default: all")
    command.add_argument("--strategy", choices=("auto", *Strategy), default="auto")
    command.add_argument("--config", type=Path, metavar="FILE", help="default: config.json, else the lab's defaults")
    command.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets")


def open_move(options: argparse.Namespace) -> tuple[Service, Request]:
    """Make of the options what they name."""
    service = bootstrap.service(load(options.config))
    cluster = options.cluster or service.only_cluster(options.source)
    return service, Request(options.source, options.target, cluster, options.strategy, options.servers)


def show(options: argparse.Namespace) -> int:
    """Plan and print."""
    service, request = open_move(options)
    plan = service.plan(request)
    sys.stdout.write(f"{plan.to_json(indent=2)}\n" if options.output == "json" else render(plan))
    return 1 if plan.blocking else 0


def render(plan: Plan) -> str:
    """Write a plan for people; ends with a line break."""
    blocking = len(plan.blocking)
    verdict = f"blocked by {blocking} of the findings" if blocking else "can be done"
    lines = [f"{plan.cluster.name}: {plan.source} -> {plan.target}, {plan.strategy}: {verdict}"]
    lines += [f"  {line}" for line in _reasons(plan)]
    found = [("BLOCKS" if finding.blocking else "note", finding.line) for finding in plan.findings]
    lines += ["", *aligned(found or [("nothing was found that speaks against it",)])]
    if plan.estimate:
        lines += ["", *aligned([*_costs(plan.estimate), ("measured", _path(plan.path))])]
    return "\n".join(lines) + "\n"


def _reasons(plan: Plan) -> Iterable[str]:
    """Say how each server moves and why, once for all of which the same is true."""
    for choice in dict.fromkeys(plan.choices.values()):
        names = ", ".join(name for name, each in plan.choices.items() if each == choice)
        yield f"{names}: {choice.strategy}: {choice.why}"


def _costs(costs: Estimate) -> Iterable[tuple[str, str]]:
    yield "copy", f"{show_seconds(costs.copy_s)} {costs.copy_basis}"
    yield "blackout", f"{show_seconds(costs.blackout_s)} {costs.blackout_basis}"


def _path(path: WanPath) -> str:
    tunnel = "" if path.tunnel_mtu is None else f", {path.tunnel_mtu} between the tunnel's ends"
    round_trip = show_seconds(path.rtt)
    return f"WAN {show_rate(path.rate)} of TCP, {round_trip} round trip, packets of {path.mtu} bytes{tunnel}"
