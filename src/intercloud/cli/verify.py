"""The command `intercloud verify RUN`."""

import argparse
import os
import sys
from pathlib import Path

from intercloud import bootstrap
from intercloud.settings import load


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Describe it."""
    command.add_argument("run", metavar="RUN", help="a run's name, as its report tells it")
    command.add_argument("--config", type=Path, metavar="FILE", help="default: config.json, else the lab's defaults")
    command.set_defaults(act=_verify)


def _verify(options: argparse.Namespace) -> int:
    os.nice(10)  # the servers have work to do
    good = True
    for finding in bootstrap.service(load(options.config)).verify(options.run):
        sys.stdout.write(f"{finding.disk}: {finding.text}\n")
        sys.stdout.flush()
        good &= finding.good
    return 0 if good else 1
