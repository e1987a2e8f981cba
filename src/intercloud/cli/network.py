"""The commands `intercloud network up|status|down`."""

import argparse
import sys
from pathlib import Path

from intercloud import bootstrap
from intercloud.settings import load


def add_commands(command: argparse.ArgumentParser) -> None:
    """Describe them."""
    acts = command.add_subparsers(dest="act_name", required=True, metavar="up|status|down")
    acts.add_parser("up", help="start the controller, and tell it of every border").set_defaults(act=_up)
    acts.add_parser("status", help="show how each border is").set_defaults(act=_status)
    acts.add_parser("down", help="stop the controller; traffic goes on as it does").set_defaults(act=_down)
    for each in acts.choices.values():
        each.add_argument("--config", type=Path, metavar="FILE", help="default: config.json, else the lab's defaults")


def _up(options: argparse.Namespace) -> int:
    bootstrap.network_up(load(options.config), lambda line: sys.stderr.write(f"{line}\n"))
    return 0


def _status(options: argparse.Namespace) -> int:
    lines, good = bootstrap.network_status(load(options.config))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if good else 1


def _down(options: argparse.Namespace) -> int:
    folder = bootstrap.network_down(load(options.config))
    sys.stdout.write(f"the controller is stopped; what it was told is in {folder}\n")
    return 0
