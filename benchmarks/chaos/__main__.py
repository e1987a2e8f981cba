"""Inject faults, one to a move, and write down what became of it: `python -m benchmarks.chaos`."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.chaos.faults import FAULTS, Fault, Healing, Trial, clock_environment, set_clock_back
from benchmarks.chaos.house import CLOUDS, ENDED, LONGEST, House, Move
from intercloud.errors import IntercloudError
from intercloud.units import Seconds, show_seconds

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
RESUMES = 3
"""Times that a run is resumed; more would be stuck."""


Draw = tuple[Fault, str, float]
"""A fault, the phase in which it is injected, and the seconds after that began."""


@dataclass
class Sample:
    """One fault and what became of it. copies: of each server, in the end; tcp_broken: connections; stuck: no end.

    outage_s: the longest time that a client got no answer of a server, the move's own blackout included.
    witness: of a fault that was not survived, what could still be seen then.
    """

    fault: str
    phase: str
    delay_s: float
    injected: bool = False
    ended: str = "refused"
    message: str = ""
    resumed: int = 0
    copies: dict[str, int] = field(default_factory=dict)
    writes_acknowledged: int = 0
    writes_lost: int | None = None
    tcp_broken: int = 0
    outage_s: float | None = None
    fault_cuts: bool = False
    leftovers: list[str] = field(default_factory=list)
    stuck: bool = False
    took_s: float = 0.0
    witness: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was lost, left or stuck."""
        one_each = bool(self.copies) and set(self.copies.values()) == {1}
        unbroken = self.fault_cuts or self.tcp_broken == 0
        return one_each and self.writes_lost == 0 and unbroken and not self.leftovers and not self.stuck


SHORT = (
    ("program killed at a step's begin", "landing", 0.1),
    ("program killed at a moment", "memory", 1.0),
    ("program killed at a moment", "switchover", 0.05),
    ("program killed at a moment", "switchover", 0.28),
    ("controller killed", "switchover", 0.1),
    ("hypervisor of the target killed", "switchover", 0.1),
    ("channel at the target killed", "memory", 0.25),
    ("WAN cut for 1 s", "memory", 0.1),
    ("database full", "disks", 0.0),
)
"""Kind, phase and delay of the faults that every change is tested with."""


def choose(kinds: Sequence[Fault], seed: int) -> Iterator[Draw]:
    """Every kind in each of its phases and delays, in a random order; then more of them, for ever."""
    every = [(f, phase, delay) for f in kinds for phase in f.phases for delay in f.delays]
    dice = random.Random(seed)
    yield from dice.sample(every, len(every))
    while True:
        yield dice.choice(every)


def disturb(house: House, fault: Fault, phase: str, delay: float) -> Sample:
    """Move the cluster, inject one fault, let everything come to an end, and ask what is there."""
    sample = Sample(fault.name, phase, delay, fault_cuts=fault.cuts)
    source = house.home()
    assert source is not None
    target = next(cloud for cloud in CLOUDS if cloud != source)
    began = time.monotonic()
    with house.probe() as probe:
        environment = clock_environment(house.folder) if fault.inject is set_clock_back else {}
        words = ("migrate", "--source", source, "--target", target, "--output", "json", "--strategy", fault.strategy)
        move = Move(house.command(*words), environment)
        healing = None
        if move.wait_phase(phase):
            time.sleep(delay)
            healing = Healing(fault.inject(Trial(house, move, source, target)), fault.lasts)
            sample.injected = True
        report = move.end()
        if healing:
            healing.wait()
        note(sample, report, move.lines)
        (guarded if house.guard else resume)(house, sample)
        if sample.ended == "cut off":  # killed when all was done
            sample.ended = newest(house)
        seen = probe.stop()
    sample.took_s = time.monotonic() - began
    sample.writes_acknowledged, sample.writes_lost, sample.tcp_broken = seen.acknowledged, seen.lost_writes, seen.broken
    sample.outage_s = max(measure.downtime for measure in seen.udp.values())
    sample.copies = dict(house.running_copies())
    sample.leftovers = house.leftovers()
    sample.message = sample.message.replace(str(house.folder), "…")
    return sample


def note(sample: Sample, report: object, lines: Sequence[str]) -> None:
    """Write down how a move, or a resumed one, has ended."""
    if isinstance(report, dict):
        sample.ended, sample.message = report["status"], report["message"]
    else:
        sample.ended = "cut off"
        sample.message = next((line for line in reversed(lines) if line), "")


def resume(house: House, sample: Sample) -> None:
    """Go on with what was cut off, as an operator would."""
    while waiting := unfinished(house):
        if sample.resumed == RESUMES:
            sample.stuck = True
            return
        sample.resumed += 1
        done = house.run("migrations", "resume", waiting[0], "--output", "json", "--quiet")
        text = done.stdout
        note(sample, json.loads(text) if text.startswith("{") else None, done.stderr.splitlines())


def guarded(house: House, sample: Sample) -> None:
    """Wait until the guards have brought everything to an end by themselves."""
    deadline = time.monotonic() + LONGEST
    while unfinished(house):
        if time.monotonic() > deadline:
            sample.stuck = True
            return
        time.sleep(0.5)


def newest(house: House) -> str:
    """How the newest migration on record stands."""
    return next((run.how for run in house.runs()), "none")


def unfinished(house: House) -> list[str]:
    """Name the migrations that have not ended."""
    return [run.run for run in house.runs() if run.how not in (*ENDED, "error")]


def repair(house: House) -> None:
    """Make the lab whole again after a trial; what cannot be repaired is made anew."""
    try:
        house.up()
        if house.home() is not None and not house.leftovers():
            return
    except (SystemExit, IntercloudError, AssertionError):
        pass
    sys.stderr.write("chaos: the lab is made anew\n")
    for path in house.state.glob("runs.sqlite*"):
        path.unlink()
    house.remake()


def run(house: House, plan: Iterable[Draw], count: int, until: float) -> Iterator[Sample]:
    """Make trials until so many faults were injected, or the time is over: some phases do not come in every move."""
    injected = 0
    for fault, phase, delay in plan:
        if injected == count:
            return
        if time.monotonic() > until:
            sys.stderr.write(f"chaos: the time is over after {injected} of {count} faults\n")
            return
        try:
            sample = disturb(house, fault, phase, delay)
        except (SystemExit, IntercloudError, AssertionError, subprocess.SubprocessError) as error:
            # whatever could not be done about a fault is a result too, and none of the good ones
            sample = Sample(
                fault.name, phase, delay, injected=True, ended="trial failed", message=str(error), stuck=True
            )
        injected += sample.injected
        verdict = "good" if sample.good else f"NOT GOOD: {asdict(sample)}"
        if not sample.good:
            sample.witness = house.witness()
        sys.stderr.write(
            f"[{injected}/{count}] {fault.name}, {phase} + {delay:.2f} s: {sample.ended}, resumed {sample.resumed} x,"
            f" {sample.took_s:.0f} s: {verdict}\n"
        )
        sys.stderr.flush()
        yield sample
        if not sample.good:
            repair(house)


def table(samples: Sequence[Sample]) -> str:
    """One line for each kind."""
    heads = ("kind", "faults", "one copy", "writes lost", "TCP broken", "completed", "rolled back", "operator", "left",
             "stuck", "longest outage")  # fmt: skip
    rows = [heads, *(figures(name, [s for s in samples if s.fault == name]) for name in kinds(samples))]
    rows.append(figures("all", list(samples)))
    return "\n".join(
        f"| {' | '.join(row)} |" + ("\n|" + "---|" * len(heads) if number == 0 else "")
        for number, row in enumerate(rows)
    )


def kinds(samples: Sequence[Sample]) -> list[str]:
    """Name the kinds in their order."""
    return list(dict.fromkeys(sample.fault for sample in samples))


def figures(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    """Count."""
    injected = [s for s in samples if s.injected]
    ended = [s.ended for s in injected]
    return (
        name,
        str(len(injected)),
        f"{sum(bool(s.copies) and set(s.copies.values()) == {1} for s in injected)}",
        str(sum(s.writes_lost or 0 for s in injected)) + ("?" if any(s.writes_lost is None for s in injected) else ""),
        str(sum(s.tcp_broken for s in injected if not s.fault_cuts)),
        str(ended.count("completed")),
        str(ended.count("rolled-back")),
        str(sum(each not in ("completed", "rolled-back") for each in ended)),
        str(sum(bool(s.leftovers) for s in injected)),
        str(sum(s.stuck for s in injected)),
        show_seconds(Seconds(max((s.outage_s or 0.0 for s in injected), default=0.0))),
    )


def revision() -> str:
    """Name the commit, with a + when the tree differs from it."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    return subprocess.run(words, capture_output=True, text=True, timeout=10, check=False).stdout.strip() or "unknown"


def main(arguments: Sequence[str] | None = None) -> int:
    """Inject, print the table, keep every sample; 1 when anything was lost, left or stuck."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faults", type=int, default=200, help="how many to inject")
    parser.add_argument("--short", action="store_true", help=f"only {len(SHORT)} chosen faults, three minutes")
    parser.add_argument("--only", default="", metavar="TEXT", help="only kinds whose name contains this")
    parser.add_argument("--guard", action="store_true", help="let each migration's guard resume it, not an operator")
    parser.add_argument("--seed", type=int, default=1, help="which faults are drawn")
    parser.add_argument("--minutes", type=float, default=240.0, help="begin no further fault after this time")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON file")
    options = parser.parse_args(arguments)
    named = {fault.name: fault for fault in FAULTS}
    wanted = [f for f in FAULTS if options.only in f.name]
    short = [(named[name], phase, delay) for name, phase, delay in SHORT] if options.short else []
    if not wanted:
        parser.error(f"no kind has {options.only!r} in its name; there are: {', '.join(f.name for f in FAULTS)}")
    options.results.mkdir(exist_ok=True)
    began = datetime.now(UTC)
    path = options.results / f"chaos-{began:%Y%m%d-%H%M%S}.json"
    facts = {
        "version": 1,
        "revision": revision(),
        "began": began.isoformat(),
        "cpus": os.cpu_count(),
        "seed": options.seed,
        "guard": options.guard,
    }
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="intercloud-") as folder:
        house = House(Path(folder), "short" if options.short else "chaos", guard=options.guard)
        try:
            house.up()
            for sample in run(
                house,
                short or choose(wanted, options.seed),
                len(short) or options.faults,
                time.monotonic() + 60 * options.minutes,
            ):
                samples.append(sample)
                path.write_text(json.dumps(facts | {"samples": [asdict(s) for s in samples]}, indent=1) + "\n")
        finally:
            house.close()
    sys.stdout.write(f"{table(samples)}\n\nevery sample: {path}\n")
    return 0 if all(s.good for s in samples if s.injected) else 1


if __name__ == "__main__":
    sys.exit(main())
