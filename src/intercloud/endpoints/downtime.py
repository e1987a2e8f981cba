"""From samples to downtime: pure, so that every definition is tested with made-up samples.

Downtime is the longest time in which no probe was answered, minus the probe interval. In a live move packets wait in
a queue rather than get lost, so what counts is when answers *arrive*, not which probes were answered: for each two
consecutive first answers, the time between them minus the time between the two sends that they could have answered
one after the other. With even sends that time is the probe interval. When the prober itself stood still, it is as
long as that stillness, so the prober's own stall is never counted as downtime; it is added to the error instead.

Method's error: the last answer before a blackout may be up to one interval old, and after a blackout that loses
packets the next probe may be up to one interval late. So the true value lies within ± `error` of the one given.
A change of the path's round trip time is part of the value: a client waits for it too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from intercloud.units import Seconds

KEPT_GAPS = 100
BASELINE_ANSWERS = 200
SLOW = 3.0


@dataclass(frozen=True)
class Samples:
    """One stream of probes, numbered from 0.

    sent: when each was sent, ascending; numbers and arrived: for each answer, which probe it answers and when it came;
    interval: the time from one send to the next as intended. All on one monotonic clock, in seconds.
    """

    sent: Sequence[float]
    numbers: Sequence[int]
    arrived: Sequence[float]
    interval: Seconds


@dataclass(frozen=True)
class Gap:
    """A time without answers: from when the next one was due to when it came. error: ± seconds, see the module.

    closed: false where the samples ended before an answer came.
    """

    start: Seconds
    end: Seconds
    error: Seconds
    closed: bool = True

    @property
    def length(self) -> Seconds:
        """Seconds without an answer."""
        return Seconds(self.end - self.start)


@dataclass(frozen=True)
class Measure:
    """What one stream of probes saw. gaps: the longest ones that exceed the interval, in order of time.

    lost: probes without an answer; duplicated: answers beyond the first of each probe.
    brownout: seconds answered, but slower than three times the baseline median, the longest gap left out.
    round_trip: that median, of the stream's first answers; None when there was no answer.
    """

    sent: int
    lost: int
    duplicated: int
    downtime: Seconds
    error: Seconds
    brownout: Seconds
    round_trip: Seconds | None
    interval: Seconds
    gaps: tuple[Gap, ...]


def measure(samples: Samples) -> Measure:
    """Measure one stream; the downtime is that of its longest gap."""
    answers = first_answers(samples)
    gaps = list(find_gaps(samples, answers))
    longest = max(gaps, key=lambda gap: gap.length, default=Gap(Seconds(0), Seconds(0), samples.interval))
    times = [at - samples.sent[number] for at, number in answers]
    baseline = median(times[:BASELINE_ANSWERS]) if times else None
    slow = sum(
        1
        for (at, number), time in zip(answers, times, strict=True)
        if baseline and time > SLOW * baseline and (at <= longest.start or samples.sent[number] >= longest.end)
    )
    kept = sorted((gap for gap in gaps if gap.length > samples.interval), key=lambda gap: gap.length)[-KEPT_GAPS:]
    return Measure(
        sent=len(samples.sent),
        lost=len(samples.sent) - len(answers),
        duplicated=len(samples.numbers) - len(answers),
        downtime=longest.length,
        error=max(longest.error, samples.interval),
        brownout=Seconds(slow * samples.interval),
        round_trip=None if baseline is None else Seconds(baseline),
        interval=samples.interval,
        gaps=tuple(sorted(kept, key=lambda gap: gap.start)),
    )


def first_answers(samples: Samples) -> list[tuple[float, int]]:
    """Give (arrival, number) of the first answer to each probe, in order of arrival."""
    seen = bytearray(len(samples.sent))
    answers = []
    for at, number in sorted(zip(samples.arrived, samples.numbers, strict=True)):
        if not seen[number]:
            seen[number] = True
            answers.append((at, number))
    return answers


def find_gaps(samples: Samples, answers: Sequence[tuple[float, int]]) -> Iterator[Gap]:
    """Find every time in which an answer was due and none came, however short, in order of time."""
    sent = samples.sent
    if not answers:
        if sent:
            yield Gap(Seconds(sent[0]), Seconds(sent[-1]), samples.interval, closed=False)
        return
    fastest = min(at - sent[number] for at, number in answers)
    last, newest = sent[0] + fastest, -1
    for at, number in answers:
        due, pause = _due(samples, last, newest)
        if at > due:
            yield Gap(Seconds(due), Seconds(at), Seconds(pause))
        last, newest = at, max(newest, number)
    if newest + 1 < len(sent):
        due, pause = _due(samples, last, newest)
        if sent[-1] > due:
            yield Gap(Seconds(due), Seconds(sent[-1]), Seconds(pause), closed=False)


def _due(samples: Samples, last: float, newest: int) -> tuple[float, float]:
    """Say when the answer after the one at `last` was due, and how long after it: as long as from send to send."""
    if newest < 0:
        return last, samples.interval
    following = newest + 1
    pause = samples.sent[following] - samples.sent[newest] if following < len(samples.sent) else samples.interval
    return last + pause, pause
