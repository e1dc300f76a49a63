"""What artefacts would cost: a few real slices of each, in this process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Container
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from search.study import ARTEFACTS, Comparison
from search.timed_probe import NEVER, SECONDS, SLICES, Spent
from search.wanted import Wanted
from search.words import on_one_line
from tracking.record import Status
from trainables.artefact import SHORT, ArtefactSpec
from trainables.assignment import Making
from trainables.making import MakerHarness


@dataclass(frozen=True, slots=True)
class MakingEstimate:
    """One artefact.

    Args:
        cached: it is in the store already: nothing of it is to be run.
        flops: of its training; 0 where it is cached. `seconds` likewise.
        failed: why nothing can be said.
        damaged: one is in the store that cannot be used: it would be made again.
    """

    key: str
    label: str
    cached: bool = False
    flops: float = 0.0
    seconds: float = 0.0
    failed: str | None = None
    damaged: bool = False

    @property
    def job(self) -> str:
        """Its name among the jobs."""
        return f"{ARTEFACTS}/{self.key[:SHORT]}"


TimedBy = Callable[[Comparison, ArtefactSpec, Path], tuple[float, float]]


def estimate_makings(
    comparison: Comparison, wanted: Wanted, cache: Path, found: Container[str], timed_by: TimedBy | None = None
) -> tuple[MakingEstimate, ...]:
    """Of everything that is wanted.

    Args:
        cache: prepared data.
        found: keys of those that are in the store.
        timed_by: gives the FLOPs and seconds of one making.
    """
    return tuple(
        _estimate(comparison, key, spec, cache, key in found, timed_by or time_making)
        for key, spec in wanted.specs.items()
    )


def time_making(comparison: Comparison, spec: ArtefactSpec, cache: Path) -> tuple[float, float]:
    """FLOPs and seconds of the whole training, from its first slices.

    Raises:
        Exception: whatever the maker raises.
    """
    with tempfile.TemporaryDirectory(prefix="invsearch-probe-") as scratch:
        began = time.perf_counter()
        harness = MakerHarness(Making(
            uid="estimate", spec=spec, key=spec.key(), cache=cache, place=scratch, store=f"{scratch}/{ARTEFACTS}",
            protocol=comparison.protocol().model_copy(update={"checkpoint_seconds": NEVER}),
        ))
        built = time.perf_counter() - began
        with closing(harness):
            reports = [harness.advance()]
            while (
                reports[-1].status is Status.RUNNING and len(reports) < SLICES and time.perf_counter() - began < SECONDS
            ):
                reports.append(harness.advance())
    last = reports[-1]
    share = last.metrics["artefact/progress"]
    steps = [Spent.between(a, b).work_seconds for a, b in zip([None, *reports], reports, strict=False)]
    steady = sum(steps[1:]) / len(steps[1:]) if steps[1:] else steps[0]
    slices = len(reports) / share
    return last.flops / share, built + max(0.0, steps[0] - steady) + slices * steady


def _estimate(
    comparison: Comparison, key: str, spec: ArtefactSpec, cache: Path, cached: bool, timed_by: TimedBy
) -> MakingEstimate:
    if cached:
        return MakingEstimate(key, spec.label, cached=True)
    try:
        flops, seconds = timed_by(comparison, spec, cache)
    except Exception as error:  # whatever a maker raises is what its trial would fail with
        failed = on_one_line(f"{type(error).__name__}: {str(error) or 'no message'}")
        return MakingEstimate(key, spec.label, failed=failed)
    return MakingEstimate(key, spec.label, flops=flops, seconds=seconds)
