"""Measure everything side by side: `python -m benchmarks [--quick]`. Needs root; prints tables, keeps every sample.

Writes benchmarks/results/bench-DATE.json and a page of the same name, scenario by scenario: a run that is stopped has
what it has, and --resume goes on with it.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import cutover, moves, page, table
from benchmarks.harness import Scenario, run
from benchmarks.result import PUBLISHED, Machine, Result, from_json, to_json
from benchmarks.stage import Stage, stage
from intercloud.clouds.lab.accel import accelerator
from intercloud.clouds.lab.emulator import emulator
from intercloud.clouds.lab.provider import platform as guests_platform
from intercloud.clouds.run import run as output_of
from intercloud.errors import IntercloudError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUICK = 3
KNOWN = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8")


def main() -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"fewer scenarios, {QUICK} samples each: a first look")
    parser.add_argument("--samples", type=int, metavar="N", help=f"of each cell; default {PUBLISHED}, quick {QUICK}")
    parser.add_argument("--only", metavar="B1,B6", help="these benchmarks alone")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--output", type=Path, metavar="FILE.json", help="default: benchmarks/results/bench-DATE.json")
    where.add_argument("--resume", type=Path, metavar="FILE.json", help="go on with this run: its scenarios are kept")
    options = parser.parse_args()
    chosen = set(KNOWN) if options.only is None else {name.strip().upper() for name in options.only.split(",")}
    if os.geteuid() != 0:
        parser.error("root is needed: labs are made of network namespaces")
    if strange := chosen - set(KNOWN):
        parser.error(f"--only: there is no {', '.join(sorted(strange))}; there are {', '.join(KNOWN)}")
    if options.samples is not None and options.samples < 1:
        parser.error("--samples: at least one is needed")
    if shutil.which("virsh") is None:
        parser.error("libvirt, one of the contenders, is not installed; `make bench` installs it")
    try:
        former = from_json(options.resume.read_text()) if options.resume else None
    except (OSError, ValueError) as error:
        parser.error(f"--resume: {str(error).splitlines()[0]}")
    began = datetime.now(UTC)
    path = options.resume or options.output or RESULTS / f"bench-{began:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = options.samples or (QUICK if options.quick else PUBLISHED)
    with stage() as made:
        result = Result(began, began, revision(), samples, machine(made), ())
        if former is not None:
            if why := unlike(former, result):
                parser.error(f"--resume {path}: {why}")
            result = former
        try:
            for scenario in wanted(made, options.quick, chosen):
                if not result.has(scenario.benchmark, scenario.settings):
                    cells = result.cells + tuple(run([scenario], result.samples))
                    result = replace(result, ended=datetime.now(UTC), cells=cells)
                    path.write_text(to_json(result))
        except KeyboardInterrupt:
            sys.stderr.write("stopped; what was measured is kept\n")
    if not result.cells:
        sys.stderr.write("nothing was measured\n")
        return 1
    path.with_suffix(".html").write_text(page.render(result))
    print(table.render(result))
    print(f"\nevery sample: {path}\npage: {path.with_suffix('.html')}")
    return 0


def unlike(former: Result, now: Result) -> str | None:
    """Say why a run cannot be gone on with as if it had not been stopped, and what to do; None if it can."""
    if former.machine != now.machine:
        return "it was made on another machine, or with other versions; begin a new one"
    if former.samples != now.samples:
        return f"it has {former.samples} samples of each cell; say --samples {former.samples}"
    code = ("src", "benchmarks", ":!benchmarks/results")
    if _git("diff", "--quiet", former.revision or "", "--", *code).returncode:
        return f"it measured revision {former.revision}, and the code is another one now; begin a new one"
    return None


def wanted(made: Stage, quick: bool, chosen: Collection[str]) -> Iterator[Scenario]:
    """Choose the scenarios. Those of the network alone come first: no guest runs then."""
    yield from (each for each in cutover.scenarios(quick) if each.benchmark in chosen)
    players = moves.Players(made)
    yield from (each for each in moves.scenarios(players, quick) if each.benchmark in chosen)


def machine(made: Stage) -> Machine:
    """Describe this computer, and what takes part."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    runs = emulator(made.spec.cache)
    versions = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "qemu": guests_platform(runs).hypervisor,
        "open vswitch": _version("ovs-vswitchd"),
        "libvirt": _version("libvirtd"),
    }
    return Machine(
        os.cpu_count() or 1,
        next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"),
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        str(accelerator(made.spec.cache)),
        versions,
    )


def _version(program: str) -> str:
    try:
        return output_of([program, "--version"]).splitlines()[0].split()[-1]
    except IntercloudError:
        return "not installed"


def revision() -> str | None:
    """Name what was measured."""
    return _git("describe", "--always", "--dirty").stdout.strip() or None


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
