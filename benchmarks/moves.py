"""Moves of the whole demo cluster there and back, in a lab of its own: what clients see, as medians and as each sample.

    make bench                                       both tunnels, idle and with hot sets, 10 moves each
    .venv/bin/python benchmarks/moves.py --help

A sample that fails is a sample. Compare ratios between machines, never milliseconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from intercloud.clouds.lab import demo

LAB = "bench"
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MOVE_TIMEOUT = 300.0
Report = dict[str, object]
ROWS: dict[str, tuple[str, Callable[[dict], float | None]]] = {  # type: ignore[type-arg]
    "TCP connections broken": ("", lambda r: r["probe"]["tcp"]["broken"]),
    "writes lost": ("", lambda r: r["probe"]["writes"]["lost"]),
    "HTTP requests failed": ("", lambda r: r["probe"]["http"]["failed"]),
    "UDP packets lost": ("", lambda r: r["probe"]["udp"]["lost"]),
    "UDP packets duplicated": ("", lambda r: r["probe"]["udp"]["duplicated"]),
    "longest blackout of a server": ("ms", lambda r: 1e3 * max(s["blackout_s"] for s in r["servers"])),
    "its ratio to the limit": ("", lambda r: max(s["ratio_to_limit"] for s in r["servers"])),
    "split window": ("ms", lambda r: 1e3 * r["split_window_s"]),
    "split window / longest blackout": ("", lambda r: r["split_window_s"] / max(s["blackout_s"] for s in r["servers"])),
    "split window / limit": ("", lambda r: r["split_window_s"] / r["servers"][0]["limit_s"]),
    "reconfiguration, all switches": ("ms", lambda r: 1e3 * r["reconfiguration_s"]),
    "reconfiguration / barrier, worst switch": (
        "",
        lambda r: max(
            time / r["barrier_rtt_s"][site]
            for site, time in r["reconfiguration_per_switch_s"].items()
            if r["barrier_rtt_s"].get(site)
        ),
    ),
    "migration time": ("s", lambda r: r["migration_time_s"]),
    "bytes sent / bytes that had to be": (
        "",
        lambda r: sum(s["bytes_sent"] for s in r["servers"]) / sum(s["unique_bytes"] for s in r["servers"]),
    ),
    "load average": ("", lambda r: r["environment"]["load"][0]),
}


class Bench:
    """A lab, the command, and the samples so far."""

    def __init__(self, folder: str) -> None:
        self.config = Path(folder, "config.json")
        self.config.write_text(
            json.dumps({"lab": {"name": LAB}, "migration": {"state": f"{folder}/runs", "keep_seeds": False}})
        )

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run intercloud on the lab."""
        command = [sys.executable, "-m", "intercloud.cli.main", *words, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=MOVE_TIMEOUT, check=False)

    def up(self, *words: str) -> None:
        """Bring the lab up with these settings."""
        done = self.run("lab", "up", *words)
        if done.returncode:
            sys.exit(f"bench: {done.stderr}")

    def heat(self, mib: int) -> None:
        """Let every server rewrite a hot set for ever (0: stop)."""
        demo.heat(f"ic-{LAB}-office--client", mib)

    def move(self, source: str, target: str) -> Report:
        """Move once; a failure is a sample too."""
        done = self.run("migrate", "--source", source, "--target", target, "--output", "json", "--quiet")
        if not done.stdout:
            return {"status": "refused", "message": done.stderr}
        report: dict = json.loads(done.stdout)  # type: ignore[type-arg]
        if report["probe"]:
            report["probe"].pop("streams")  # hundreds of gaps each; the figures stay
        return report


def measure(bench: Bench, options: argparse.Namespace) -> list[dict[str, object]]:
    """Measure every cell; prints a line for each move."""
    cells: list[dict[str, object]] = []
    for tunnel in options.tunnels.split(","):
        bench.up("--tunnel", tunnel, "--wan-delay", options.wan_delay)
        for hot in map(int, options.hot.split(",")):
            bench.heat(hot)
            samples = []
            for number in range(options.moves):
                source, target = ("lab-a", "lab-b") if number % 2 == 0 else ("lab-b", "lab-a")
                samples.append(bench.move(source, target))
                what = f"{tunnel}, hot set {hot} MiB, move {number + 1}"
                print(f"{what}: {brief(samples[-1])}", file=sys.stderr, flush=True)
            if options.moves % 2:
                bench.move("lab-b", "lab-a")
            cells.append({"tunnel": tunnel, "hot_mib": hot, "wan_delay": options.wan_delay, "samples": samples})
        bench.heat(0)
    return cells


def brief(sample: Report) -> str:
    """One line of one sample."""
    if sample["status"] != "completed":
        return f"{sample['status']}: {sample['message']}"
    words = ("UDP packets lost", "split window", "longest blackout of a server")
    return ", ".join(f"{word} {ROWS[word][1](sample):.0f} {ROWS[word][0]}".strip() for word in words)


def table(cells: Iterable[dict[str, object]]) -> str:
    """Medians with their ranges, a column for each cell."""
    cells = list(cells)
    heads = [f"{c['tunnel']}, hot {c['hot_mib']} MiB, {c['wan_delay']}" for c in cells]
    lines = ["| median (range) | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    good = [[s for s in c["samples"] if s["status"] == "completed"] for c in cells]  # type: ignore[attr-defined]
    counts = [f"{len(g)} of {len(c['samples'])}" for g, c in zip(good, cells, strict=True)]  # type: ignore[arg-type]
    lines.append("| moves completed | " + " | ".join(counts) + " |")
    for name, (unit, figure) in ROWS.items():
        shown = []
        for samples in good:
            values = [value for sample in samples if (value := figure(sample)) is not None]
            shown.append(spread(values) if values else "-")
        lines.append(f"| {name}{f', {unit}' if unit else ''} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """'3.2 (1.0-7.5)'."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def main() -> None:
    """Measure, print the table, keep every sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--moves", type=int, default=10)
    parser.add_argument("--tunnels", default="vxlan,gre")
    parser.add_argument("--hot", default="0,2", help="hot sets in MiB, one cell each")
    parser.add_argument("--wan-delay", default="5ms")
    options = parser.parse_args()
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="intercloud-") as folder:
        bench = Bench(folder)
        try:
            cells = measure(bench, options)
        finally:
            bench.run("lab", "down")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"moves-{began:%Y%m%d-%H%M%S}.json"
    content = {"version": 1, "began": began.isoformat(), "cpus": os.cpu_count(), "cells": cells}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(table(cells))
    print(f"\nevery sample: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
