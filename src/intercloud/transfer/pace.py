"""How fast a guest writes its memory, as its hypervisor measures it (calc-dirty-rate, QEMU 5.2 and later)."""

import time
from typing import cast

from intercloud.errors import MonitorError
from intercloud.transfer.qmp import Qmp
from intercloud.units import MIB

SAMPLE = 1
"""Seconds that the hypervisor watches the guest's pages."""


def measure_dirty_rate(monitor: Qmp) -> None:
    """Let the hypervisor begin to measure; the guest runs on."""
    monitor.execute("calc-dirty-rate", calc_time=SAMPLE)


def read_dirty_rate(monitor: Qmp) -> float:
    """Return bytes a second, waiting for the end of the measurement; it is begun if it was not."""
    deadline = time.monotonic() + SAMPLE + 10
    while time.monotonic() < deadline:
        answer = monitor.execute("query-dirty-rate")
        if answer["status"] == "measured":
            return cast("int", answer["dirty-rate"]) * MIB
        if answer["status"] == "unstarted":
            measure_dirty_rate(monitor)
        time.sleep(0.1)
    raise MonitorError(f"{monitor.name}: the hypervisor did not finish measuring how fast the guest writes")
