"""How fast a guest writes its memory, as its hypervisor measures it (calc-dirty-rate, QEMU 6.1 and later)."""

import time
from typing import cast

from intercloud.errors import MonitorError
from intercloud.transfer.qmp import Qmp
from intercloud.units import GIB, MIB

SAMPLE = 500
"""Milliseconds that the hypervisor watches the guest's pages, from QEMU 8.2 on; before, it counts in whole seconds."""
LONGEST = 10.0
"""Seconds after which no answer is expected any more."""
PAGES = 4096
"""Pages to watch, where QEMU can be told so many: by lot, so that the part that was written is known within 2 %."""
FEWEST, MOST = 512, 16384
"""Pages of each GiB: what QEMU watches by itself, far too few of a small guest, and the most that it can be told."""


def begin(monitor: Qmp) -> None:
    """Begin to measure, unless that is under way: when SAMPLE is over `measured` tells."""
    if monitor.execute("query-dirty-rate")["status"] != "measuring":
        memory = cast("int", monitor.execute("query-memory-size-summary")["base-memory"])
        monitor.execute("calc-dirty-rate", **sample_time(monitor.release()), sample_pages=sample_pages(memory))


def sample_time(release: tuple[int, int, int]) -> dict[str, object]:
    """Say for how long pages are watched, in words that this QEMU knows."""
    return {"calc_time": SAMPLE, "calc_time_unit": "millisecond"} if release >= (8, 2) else {"calc_time": 1}


def sample_pages(memory: int) -> int:
    """Say how many pages of each GiB are watched. memory: bytes of the guest."""
    return min(MOST, max(FEWEST, PAGES * GIB // memory))


def measure_dirty_rate(monitor: Qmp) -> float:
    """Return bytes a second, after some more than SAMPLE, in which the guest runs on."""
    begin(monitor)
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        time.sleep(0.02)
        if (rate := measured(monitor)) is not None:
            return rate
    raise MonitorError(f"{monitor.name}: the hypervisor did not finish measuring how fast the guest writes")


def last_dirty_rate(monitor: Qmp) -> float:
    """Return bytes a second as they were measured last; measure them if they never were."""
    rate = measured(monitor)
    return measure_dirty_rate(monitor) if rate is None else rate


def measured(monitor: Qmp) -> float | None:
    """Return bytes a second of the last measurement; None while it goes on, or when there was none."""
    answer = monitor.execute("query-dirty-rate")
    return cast("int", answer["dirty-rate"]) * MIB if answer["status"] == "measured" else None
