"""Contenders' plans on connections of our own: written beforehand, sent and timed as the controller does it."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.cutover.changes import Form, Plan, Step, loose
from intercloud.control.fabric import FlowChange, Verb
from intercloud.control.messages import Cutover
from intercloud.control.openflow_app import Batch, Switch
from intercloud.control.pipeline import Flow
from intercloud.control.urgency import urgent

_ANSWER_S = 30.0
_BARRIERS = 5


@dataclass(frozen=True)
class Sending:
    """A step, ready to be sent."""

    batches: Mapping[str, Batch]
    pause_s: float


class Raw:
    """Sends plans to switches. Everything that it sends or waits for raises ControlError."""

    def __init__(self, switches: Mapping[str, Switch]) -> None:
        self._switches = switches
        self._bundles: dict[tuple[str, tuple[Flow, ...]], Batch] = {}

    def prepare(self, plan: Plan) -> Callable[[], Cutover]:
        """Write all messages of a plan; what is returned sends them, as often as it is called."""
        sendings = [self._write(step) for step in plan]
        return lambda: self._send(sendings)

    def _urgent(self) -> AbstractContextManager[None]:
        return urgent(switch.receiver for switch in self._switches.values())

    def barriers(self) -> Mapping[str, float]:
        """Seconds of a bare barrier's round trip, for each switch: the median of several."""
        with self._urgent():
            return {
                site: statistics.median(switch.barrier().wait(_ANSWER_S) for _ in range(_BARRIERS))
                for site, switch in self._switches.items()
            }

    def _write(self, step: Step) -> Sending:
        batches = {site: self._bundle(site, flows) for site, flows in step.flows.items() if flows}
        if step.form is not Form.BUNDLE:
            batches = {site: Batch(loose(each.data, step.form), each.ids) for site, each in batches.items()}
        return Sending(batches, step.pause_s)

    def _bundle(self, site: str, flows: tuple[Flow, ...]) -> Batch:
        # Kept: contenders differ in little but the form, and a message takes 0.2 ms to write.
        if (site, flows) not in self._bundles:
            self._bundles[site, flows] = self._switches[site].prepare(FlowChange(Verb.ADD, flow) for flow in flows)
        return self._bundles[site, flows]

    def _send(self, sendings: list[Sending]) -> Cutover:
        spent: dict[str, float] = defaultdict(float)
        with self._urgent():
            started = time.monotonic()
            for sending in sendings:
                time.sleep(sending.pause_s)
                replies = {site: self._switches[site].send(batch) for site, batch in sending.batches.items()}
                for site, reply in replies.items():
                    spent[site] += reply.wait(_ANSWER_S)
            return Cutover(started, time.monotonic(), dict(spent), {})
