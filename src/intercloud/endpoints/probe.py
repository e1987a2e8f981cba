"""The process that plays the clients: `<prefix> python -m intercloud.endpoints.probe --config JSON`.

It runs where clients are, for example in the office's network namespace, and speaks to endpoints.observer: one line
`ready` on stdout when every target has answered, then, after a line or the end of stdin, the result as JSON.
It ends with 1 and a line on stderr when a target does not answer in time; it ends when its parent does.
"""

import argparse
import os
import select
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from intercloud.endpoints.downtime import Samples, measure
from intercloud.endpoints.http import HttpProber
from intercloud.endpoints.result import CONFIG, RESULT, ProbeConfig, ProbeResult
from intercloud.endpoints.tcp import TcpProber
from intercloud.endpoints.udp import UdpProber
from intercloud.units import Seconds

PRIORITY = -10


def main() -> int:
    """Run one probe."""
    parser = argparse.ArgumentParser(prog="intercloud.endpoints.probe")
    parser.add_argument("--config", required=True)
    config = CONFIG.validate_json(parser.parse_args().config)
    with suppress(OSError):  # the guests must not slow down the clock that they are measured with
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    return Probing(config).run()


class Probing:
    """All probers of one run, each in its own thread."""

    def __init__(self, config: ProbeConfig) -> None:
        self._config = config
        self._udp = UdpProber(config)
        self._tcp = TcpProber(config, config.stream) if config.stream else None
        self._http = HttpProber(config, config.web) if config.web else None
        self._probers = [prober for prober in (self._udp, self._tcp, self._http) if prober]
        self._stop = Event()

    def run(self) -> int:
        """Probe from ready to stop and print the result; gives the exit code."""
        threads = [Thread(target=prober.run, args=(self._stop,)) for prober in self._probers]
        for thread in threads:
            thread.start()
        silent = self._await_answers()
        begin = time.monotonic()
        self._udp.pace.late = 0.0
        if not silent:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.readline()
        end = time.monotonic()
        self._stop.set()
        for thread in threads:
            thread.join()
        if silent:
            sys.stderr.write(f"no answer within {self._config.ready_within:g} s from {', '.join(silent)}\n")
            return 1
        sys.stdout.write(RESULT.dump_json(self._result(begin, end)).decode() + "\n")
        return 0

    def _await_answers(self) -> list[str]:
        """Wait for the first answer of every target; gives those that are still silent in the end."""
        deadline = time.monotonic() + self._config.ready_within
        while silent := [name for prober in self._probers for name in prober.silent()]:
            if time.monotonic() > deadline or select.select([sys.stdin], [], [], 0.02)[0]:
                break
        return silent

    def _result(self, begin: float, end: float) -> ProbeResult:
        streams = {f"udp {name}": samples for name, samples in self._udp.samples(begin).items()}
        udp = {name: measure(streams[f"udp {name}"]) for name in self._config.targets}
        if self._tcp:
            streams["tcp"] = self._tcp.samples(begin)
        if self._http:
            streams["http"] = self._http.samples(begin)
        if self._config.samples:
            with Path(self._config.samples).open("w") as file:
                file.writelines(_lines(streams.items()))
        return ProbeResult(
            begin=Seconds(begin),
            end=Seconds(end),
            udp=udp,
            tcp=measure(streams["tcp"]) if self._tcp else None,
            broken=self._tcp.broken if self._tcp else 0,
            http=measure(streams["http"]) if self._http else None,
            acknowledged=self._http.acknowledged() if self._http else 0,
            lost_writes=self._http.lost_writes() if self._http else None,
            late=Seconds(self._udp.pace.late),
        )


def _lines(streams: Iterable[tuple[str, Samples]]) -> Iterable[str]:
    """Write one line an answer, and one a lost probe: stream, sent, arrived (empty when lost)."""
    for name, samples in streams:
        for number, at in zip(samples.numbers, samples.arrived, strict=True):
            yield f"{name}\t{samples.sent[number]:.6f}\t{at:.6f}\n"
        for number in sorted(set(range(len(samples.sent))) - set(samples.numbers)):
            yield f"{name}\t{samples.sent[number]:.6f}\t\n"


if __name__ == "__main__":
    sys.exit(main())
