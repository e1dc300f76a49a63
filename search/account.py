"""Trials and what they cost, folded from a sweep's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from search.words import on_one_line
from tracking.journal import Event
from tracking.record import Stage, Status

PEAKS = ("peak_host_bytes", "peak_device_bytes")
COUNTS = ("examples", "label_reads", "unlabelled_reads", "evaluation_flops")  # integers in the journal's floats


@dataclass(frozen=True, slots=True)
class Cost:
    """What work cost; None where it was not measured.

    Args:
        flops: the method's own, as decisions use them.
        examples: gradient evaluations.
        label_reads: held-out labels handed out, one as often as it is drawn, to the method and to the harness's
            scoring. Who keeps a label and scores by it many times has read it once.
        unlabelled_reads: images handed out without their labels.
        evaluation_flops: the harness's own work, in no other figure.
        device_energy_joules: by the counter of a GPU that the method had to itself.
        host_energy_estimate_joules: by share of CPU-seconds in what the packages' counters say.
        peak_host_bytes: the highest of all trials, as are `peak_device_bytes`; everything else adds up.
    """

    flops: float = 0
    examples: float | None = 0
    cpu_seconds: float | None = 0.0
    device_seconds: float | None = 0.0
    wall_seconds: float | None = 0.0
    label_reads: float | None = 0
    unlabelled_reads: float | None = 0
    evaluation_flops: float | None = 0
    device_energy_joules: float | None = 0.0
    host_energy_estimate_joules: float | None = 0.0
    peak_host_bytes: float | None = None
    peak_device_bytes: float | None = None

    @classmethod
    def of(cls, metrics: Mapping[str, float], flops: float) -> Self:
        """From a report's flat ledger."""
        found: dict[str, Any] = {}
        for name in NAMES:
            key = "evaluation/flops" if name == "evaluation_flops" else f"cost/{name}"
            value = metrics.get(key)
            found[name] = round(value) if value is not None and name in (*COUNTS, *PEAKS) else value
        return cls(**{**found, "flops": flops})

    def __add__(self, other: Cost) -> Cost:
        """Unknown plus anything is unknown: half of a sum would pass for the whole. Of peaks the highest."""
        values: dict[str, Any] = {}
        for name in NAMES:
            pair = (getattr(self, name), getattr(other, name))
            known = [value for value in pair if value is not None]
            if name in PEAKS:
                values[name] = max(known, default=None)
            else:
                values[name] = sum(known) if len(known) == 2 else None
        return Cost(**values)

    def per(self, count: int) -> Cost:
        """The mean of `count` trainings whose sum this is; peaks stay."""
        return Cost(**{
            name: value if value is None or name in PEAKS else value / count for name, value in self.items()
        })

    def items(self) -> Iterable[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in NAMES)


NAMES = tuple(f.name for f in fields(Cost))


@dataclass(slots=True)
class Trial:
    """One trial, as far as the journal tells.

    Args:
        generation: where trials are bred.
        metrics: of its last sound report.
        score: `val/score` of that report.
    """

    uid: str
    problem: str
    method: str
    stage: Stage
    index: int
    config: Mapping[str, Any]
    generation: int | None = None
    status: Status = Status.RUNNING
    reason: str | None = None
    score: float | None = None
    flops: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def cost(self) -> Cost:
        """Nothing in every unit before the first report: one unknown would blank whole rows, all but their FLOPs."""
        return Cost.of(self.metrics, self.flops) if self.metrics or self.flops else Cost()

    @property
    def why(self) -> str:
        """The reason on one line, with what was given and what is hinted at."""
        return why(self.reason)


def why(reason: str | None) -> str:
    """What a table has room for, without the traceback that follows it."""
    return on_one_line(reason or "") or "no reason given"


def trials(events: Iterable[Event]) -> dict[str, Trial]:
    """uid -> trial, in the order they were asked; a failed report brings its cost and no score."""
    found: dict[str, Trial] = {}
    for event in events:
        match event["kind"]:
            case "asked":
                found[event["uid"]] = Trial(
                    event["uid"], event["problem"], event["method"], Stage(event["stage"]), event["index"],
                    event["config"], event.get("generation"),
                )
            case "result":
                trial = found[event["uid"]]
                failed = event["status"] == Status.FAILED
                # A failed report may not know its cost (the worker could not even begin): then the last one stands.
                if not failed or event["metrics"]:
                    trial.metrics, trial.flops = event["metrics"], event["flops"]
                trial.score = None if failed else event["score"]
            case "ended":
                trial = found[event["uid"]]
                trial.status, trial.reason = Status(event["status"]), event["reason"]
    return found


def total(trials: Iterable[Trial]) -> Cost:
    """Of several trials."""
    return sum((trial.cost for trial in trials), Cost())


def waste(events: Iterable[Event]) -> Cost:
    """Work that came to nothing: reports made again after a crash, and slices that failed and were tried again.

    A report's ledger is cumulative; a repetition begins at the checkpoint, where the ledger stood as in the
    original report before it. Work between a trial's last report and a crash was never seen and left out.
    """
    original: dict[tuple[str, int], Cost] = {}
    last: dict[str, tuple[int, Cost]] = {}  # the latest repetition of a trial
    wasted = Cost()
    for event in events:
        if event["kind"] not in ("result", "repeated", "retry") or not event["metrics"]:
            continue
        uid, index, metrics = event["uid"], event["index"], event["metrics"]
        cost = Cost.of(metrics, event.get("flops", metrics.get("cost/flops", 0)))
        if event["kind"] == "result":
            original[uid, index] = cost
            continue
        follows = uid in last and last[uid][0] == index - 1
        before = last[uid][1] if follows else original.get((uid, index - 1), Cost())
        wasted += _increment(cost, before)
        last[uid] = (index, cost)
        if event["kind"] == "retry":
            del last[uid]  # the next attempt begins at a checkpoint of its own
    return wasted


def _increment(after: Cost, before: Cost) -> Cost:
    """Of the units that a repetition carries; a peak is no increment, and evaluation is not in its event."""
    pairs = {name: (value, getattr(before, name)) for name, value in after.items() if name not in PEAKS}
    return Cost(**{
        name: 0 if new is None or old is None else max(0, new - old) for name, (new, old) in pairs.items()
    })
