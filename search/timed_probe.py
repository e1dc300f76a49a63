"""A few real slices of one method on one problem, in this process: what a training takes, before anything starts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.study import Comparison
from tracking.record import Stage, Status
from tracking.storage import Place
from trainables import plugins
from trainables.artefact_store import ArtefactStore
from trainables.assignment import PROBE_FRACTION, Assignment, Report
from trainables.harness import Harness
from trainables.making import made
from trainables.method import Finds
from trainables.problems.problem import Kind, Split
from trainables.problems.spec import ProblemSpec

SLICES, SECONDS = 4, 30.0  # of the timed trial: until either is reached
STAND_IN_UPDATES = 2       # of an artefact that is needed
NEVER = 1e9                # seconds between checkpoints: nothing is to be written


@dataclass(frozen=True, slots=True)
class Measured:
    """One training of one method on one problem, as far as a few slices tell.

    Args:
        full_flops: of a whole training; the sweep's own probe finds the same number.
        work_seconds: of a whole training's slices.
        start_seconds: building the trial, and what its first slice takes beyond the others.
        score_seconds: of one report's scoring; `score_flops` likewise.
        final_seconds: of the measurements after the last slice; `final_flops` likewise.
        test_seconds: of what a confirm trial measures at its end beyond that: the test split, and invariance on more
            inputs; `test_flops` likewise.
        ready_share: of the horizon, from which on reports may be judged.
        finds: whether what was found is also trained on its own.
        peak_host_bytes: None where it is not available; `peak_device_bytes` likewise.
    """

    full_flops: int
    work_seconds: float
    start_seconds: float
    score_seconds: float
    score_flops: float
    final_seconds: float
    final_flops: float
    test_seconds: float
    test_flops: float
    ready_share: float
    finds: bool
    peak_host_bytes: int | None
    peak_device_bytes: int | None

    def trial_seconds(self, reports: float, slices: int) -> float:
        """Of a trial that makes so many of its `slices` reports, without the measurements at its end."""
        return self.start_seconds + reports * (self.work_seconds / slices + self.score_seconds)

    def trial_flops(self, reports: float, slices: int) -> float:
        return reports * (self.full_flops / slices + self.score_flops)


def measure(
    comparison: Comparison, problem: ProblemSpec, method: str, settings: dict[str, Any], cache: Path,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Run the sweep's own probe for the FLOPs, and the first slices of a whole training for the seconds.

    Args:
        settings: the method's full configuration, as JSON.

    Raises:
        Exception: whatever the method raises.
    """
    with tempfile.TemporaryDirectory(prefix="invsearch-probe-") as scratch:
        short = _assignment(comparison, problem, method, settings, cache, Path(scratch), PROBE_FRACTION)
        short = short.model_copy(update={"artefacts": _stand_ins(comparison, problem, method, settings, cache, short)})
        probe, probe_reports, _ = _run(short, clock, whole=True)
        timed, reports, built = _run(short.model_copy(update={"fraction": 1.0}), clock, whole=False)
    steps = [Spent.between(a, b) for a, b in zip([None, *reports], reports, strict=False)]
    usual = [step for step, report in zip(steps, reports, strict=True) if report.status is Status.RUNNING][1:]
    steady = _mean(usual or steps[:1])  # neither the first slice nor the last one is like the others
    last = Spent.between(probe_reports[-2] if len(probe_reports) > 1 else None, probe_reports[-1])
    full = round(probe_reports[-1].flops * comparison.horizon / short.horizon)
    if full == 0:
        raise RuntimeError("the probe charged no FLOPs: a method wraps its updates in `meter.unit(...)`")
    passes, more = _confirm_extra(comparison, timed)
    final_seconds, final_flops = max(0.0, last.seconds - steady.seconds), max(0.0, last.flops - steady.flops)
    ready = next((i for i, report in enumerate(probe_reports) if report.ready), len(probe_reports) - 1)
    peaks = timed.meter.ledger()
    return Measured(
        full_flops=full,
        work_seconds=steady.work_seconds / max(1.0, steady.work_flops) * full,
        start_seconds=built + max(0.0, steps[0].work_seconds - steady.work_seconds),
        score_seconds=steady.seconds, score_flops=steady.flops,
        final_seconds=final_seconds, final_flops=final_flops,
        test_seconds=passes * steady.seconds + more * final_seconds,
        test_flops=passes * steady.flops + more * final_flops,
        ready_share=ready / len(probe_reports), finds=isinstance(probe.method, Finds),
        peak_host_bytes=peaks.peak_host_bytes, peak_device_bytes=peaks.peak_device_bytes,
    )


def _confirm_extra(comparison: Comparison, harness: Harness) -> tuple[float, float]:
    """What a confirm trial's end has beyond a tune trial's.

    Returns:
        The test split's reading, plain and with C copies of either kind, and the divergence per class, in scorings of a
        report; and how much more
        the measured invariance is, for it may have more inputs there.
    """
    problem, most = harness.problem, comparison.invariance_examples
    test = len(problem.examples(Split.TEST).y)
    scored = max(1, len(problem.examples(Split.SELECT, comparison.score_examples).y))
    passes = test / scored
    if problem.kind is Kind.CLASSIFICATION:
        per_class = problem.outputs * comparison.class_images * (1 + comparison.class_draws)
        passes += (2 * comparison.copies * test + per_class) / scored + 1  # select once more, for its temperature
    return passes, max(0.0, min(test, most) / min(scored, most) - 1)


@dataclass(frozen=True, slots=True)
class Spent:
    """Between two reports: the method's work, and the harness's evaluation (`seconds`, `flops`)."""

    work_seconds: float
    work_flops: float
    seconds: float
    flops: float

    @classmethod
    def between(cls, before: Report | None, after: Report) -> Spent:
        names = ("cost/wall_seconds", "cost/flops", "evaluation/wall_seconds", "evaluation/flops")
        return cls(*(after.metrics[n] - (0.0 if before is None else before.metrics[n]) for n in names))


def _mean(steps: list[Spent]) -> Spent:
    columns = zip(*((s.work_seconds, s.work_flops, s.seconds, s.flops) for s in steps), strict=True)
    return Spent(*(sum(column) / len(steps) for column in columns))


def _run(
    assignment: Assignment, clock: Callable[[], float], whole: bool
) -> tuple[Harness, list[Report], float]:
    """The harness, its reports, and the seconds that building took."""
    began = clock()
    harness = Harness(assignment)
    built = clock() - began
    reports = [harness.advance()]
    while reports[-1].status is Status.RUNNING and (whole or (len(reports) < SLICES and clock() - began < SECONDS)):
        reports.append(harness.advance())
    return harness, reports, built


def _assignment(
    comparison: Comparison, problem: ProblemSpec, method: str, settings: dict[str, Any], cache: Path, scratch: Path,
    fraction: float,
) -> Assignment:
    protocol = comparison.protocol().model_copy(update={"checkpoint_seconds": NEVER})
    return Assignment(
        uid=f"{problem.label}/{method}/estimate", stage=Stage.TUNE, problem=problem, row=method, method=method,
        settings=settings, index=0, seed=comparison.seed, partition=0, protocol=protocol, fraction=fraction,
        place=str(scratch), cache=cache, store=str(scratch / "artefacts"),
    )


def _stand_ins(
    comparison: Comparison, problem: ProblemSpec, method: str, settings: dict[str, Any], cache: Path, trial: Assignment
) -> dict[str, str]:
    """What the method needs, hardly trained: a trial that uses it costs the same. Name -> key in the trial's store."""
    needs = plugins.method_config(method).model_validate(settings).needs(problem, comparison.seed)
    store, keys = ArtefactStore(Place.of(trial.store)), {name: spec.key() for name, spec in needs.items()}
    for name, spec in needs.items():
        short = made(spec, cache, updates=STAND_IN_UPDATES)
        store.write(keys[name], spec, short.state, short.ledger)
    return keys
