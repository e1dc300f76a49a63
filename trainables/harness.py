"""Runs one method on one problem and measures it; knows nothing of Ray, so it can be tested and used alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Generator, Tensor

from tracking.cost import Meter, Phase, PhaseCost
from tracking.provenance import device_name
from tracking.record import NotFiniteError, Stage, Status, check_metrics
from tracking.storage import Place
from trainables import invariance, plugins
from trainables.artefact_store import ArtefactStore
from trainables.assignment import FIRST_SEED, Assignment, Device, Report
from trainables.class_measures import class_measures
from trainables.inheritance import bequeath, inherit
from trainables.judging import Judged, judged, outcome, structure
from trainables.judging import score as mean_score
from trainables.keeping import Keeper
from trainables.method import Augments, Context, Describes, Finds, Method, MethodConfig, Slice, stable_seed
from trainables.problems.problem import Batch, Kind, Planted, Problem, Split
from trainables.problems.store import cache_folder
from trainables.problems.target_units import units_of
from trainables.takeaway import take_away


class MisplacedCostError(RuntimeError):
    """A method booked its own work as the harness's evaluation, which no budget pays for."""


class Harness:
    """One trial: build, advance slice by slice, score on select, and at the end measure what is asked.

    A slice's cost is what happens inside `method.step()`; scoring and measuring are charged to the phase
    `select` and kept apart. Continues from the trial's last checkpoint where there is one.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        protocol = assignment.protocol
        self._device = resolve_device(protocol.device)
        self.meter = Meter(self._device)
        self.meter.reset_peaks()
        self.problem: Problem = assignment.problem.build(
            protocol.seed, assignment.partition, assignment.cache or cache_folder(), assignment.data
        )
        self.config: MethodConfig = plugins.method_config(assignment.method).model_validate(assignment.settings)
        self.method: Method = self.config.build(self._context())
        if assignment.inherited:
            inherit(self.method, assignment.inherited, self._device)
        self._select = [*self._judged(Split.SELECT, protocol.score_examples)]
        self._keeper = Keeper(assignment, self.method, self.meter, self._device)
        self._notes: list[str] = []

    def advance(self) -> Report:
        """One slice, scored; the last one carries the final measurements.

        Raises:
            NotFiniteError: an output, the score or a metric is not a finite number.
            ReservedMetricError: the method reported a name that belongs to the harness.
            MisplacedCostError: the method charged its work to the phase `select`.
        """
        if (unsaid := self._keeper.unsaid()) is not None:
            return unsaid
        self._keeper.save_if_due()
        evaluated = self._evaluation()
        clock = self.meter.start()
        piece = self.method.step()
        if piece.phase is Phase.SELECT or self._evaluation() != evaluated:
            raise MisplacedCostError(f"a method may charge any phase but `{Phase.SELECT}`, the harness's own")
        self.meter.stop(clock, piece.phase)
        check_metrics(piece.metrics)
        clock = self.meter.start()
        score = self._score()
        metrics: dict[str, float] = {**piece.metrics, "val/score": score, **self._learned()}
        if piece.done:
            metrics |= self._final()
            if self.assignment.stage is Stage.RERUN and self.assignment.index == FIRST_SEED:
                self._notes = take_away(
                    self.method, self.assignment.exports, tuple(self.problem.shape), units_of(self.problem)
                )
            if self.assignment.bequest:
                bequeath(self.method, self.assignment.bequest)
        self.meter.stop(clock, Phase.SELECT)
        metrics |= self.meter.ledger().metrics()
        report = self._report(piece, score, metrics)
        self._keeper.add(report)
        return report

    def save(self) -> None:
        """Keep the trial's state, unless it is kept already."""
        self._keeper.save()

    def _evaluation(self) -> PhaseCost:
        return self.meter.ledger().phases[Phase.SELECT]

    def _context(self) -> Context:
        artefacts = {
            name: ArtefactStore(Place.of(self.assignment.store)).load(key, self._device)
            for name, key in self.assignment.artefacts.items()
        }
        return Context(
            problem=self.problem.view(self.meter),
            horizon=self.assignment.horizon,
            slice_updates=self.assignment.slice_updates,
            seed=self.assignment.seed,
            device=self._device,
            meter=self.meter,
            network=plugins.network_builder(self.assignment.protocol.network),
            artefacts=artefacts,
            originals=self.problem.originals() if self.config.told and isinstance(self.problem, Planted) else None,
            source=self.assignment.problem.source,
        )

    def _judged(self, split: Split, limit: int | None) -> Iterator[Judged]:
        return judged(self.problem, self.method, self.config.adapts, split, limit, self._device)

    def _score(self) -> float:
        """`val/score` on fixed select examples."""
        shape = (len(self._select), *self._select[0].x.shape)
        with self.meter.unit("score", shape, phase=Phase.SELECT):
            score, finite = mean_score(self.problem, self._select)
        self.meter.read_labels(sum(part.labels for part in self._select), Phase.SELECT)
        if not finite:
            raise NotFiniteError("predict gives outputs that are not finite")
        if not math.isfinite(score):
            raise NotFiniteError(f"val/score must be finite, but got {score}")
        return score

    def _learned(self) -> dict[str, float]:
        if not isinstance(self.method, Describes):
            return {}
        learned = {f"learned/{name}": float(value) for name, value in self.method.describe().items()}
        check_metrics(learned)
        return learned

    def _final(self) -> dict[str, float]:
        """Invariance at the last report; the test split, once, in a confirm trial."""
        if self.assignment.stage in (Stage.UNIT, Stage.PROBE) or self.assignment.bequest:
            return {}
        confirm = self.assignment.stage in (Stage.RERUN, Stage.REPLAY)
        parts = self._judged(Split.TEST, None) if confirm else iter(self._select)
        first = next(parts)  # the others are made when they are judged: together they may be gigabytes
        protocol, bank = self.assignment.protocol, self.problem.transform_bank
        some = None if self.problem.kind is Kind.EPISODIC else protocol.invariance_examples
        # Classes of one task are none of another, and targets of a regression are no classes.
        probed, labels = first.x[:some], first.y[:some] if self.problem.kind is Kind.CLASSIFICATION else None
        with self.meter.unit("invariance", probed.shape, phase=Phase.SELECT):
            measured = invariance.measure(
                first.predict, probed, bank, self.ranges(), protocol.strengths, outcome(self.problem), labels
            )
        final = {f"invariance/{name}": value for name, value in measured.items()}
        final |= {f"learned/sharing/{name}": value for name, value in structure(self.problem, self.method).items()}
        if confirm:
            with self.meter.unit("test", first.x.shape, phase=Phase.SELECT):
                final |= self._test(first, parts)
        return final

    def _test(self, part: Judged, others: Iterator[Judged]) -> dict[str, float]:
        """The test score without averaging, and with C copies of either kind; the same columns for every method."""
        if self.problem.kind is not Kind.CLASSIFICATION:
            return {"test/score": mean_score(self.problem, chain([part], others))[0]}
        predict, score, x, y = part.predict, self.problem.score, part.x, part.y
        plain = predict(x)
        final = {"test/score": float(score(plain, y))} | self._by_class(plain, Batch(x, y), predict)
        protocol, bank = self.assignment.protocol, self.problem.transform_bank
        # A method without a distribution of its own averages copies of the untouched input.
        own = self.method.sample if isinstance(self.method, Augments) else (lambda x, _: x)
        for name, sampler in {"own": own, "common": invariance.common_sampler(bank, self.ranges())}.items():
            generator = Generator().manual_seed(stable_seed(self.assignment.seed, "average", name))
            outputs = invariance.averaged(predict, sampler, x, protocol.copies, generator)
            final[f"test/score_{name}_copies"] = float(score(outputs, y))
        return final

    def _by_class(self, outputs: Tensor, test: Batch, predict: invariance.Predict) -> dict[str, float]:
        """Accuracy and invariance of each class, beside its size."""
        tuned, protocol = self._select[0], self.assignment.protocol
        generator = Generator().manual_seed(stable_seed(self.assignment.seed, "classes"))
        self.meter.read_labels(tuned.labels, Phase.SELECT)
        return class_measures(
            self.problem, predict, test, outputs, (tuned.predict(tuned.x), tuned.y),
            protocol.class_images, protocol.class_draws, generator,
        )

    def ranges(self) -> dict[str, float]:
        """The planted half-widths where there are any: invariance is judged where it was planted."""
        truth = self.problem.truth
        return {} if truth is None else {**truth.harmful, **truth.invariant}

    def _report(self, piece: Slice, score: float, metrics: dict[str, float]) -> Report:
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NotFiniteError(f"metrics must be finite, but got {name} = {value}")
        told = [note for note in (self._keeper.note(), *self._notes) if note is not None]
        extra: dict[str, Any] = {"note": "; ".join(told) or None}
        if piece.done:
            extra["ledger"] = self.meter.ledger().to_json()
            extra["hardware"] = device_name(self._device)
            if isinstance(self.method, Finds):
                extra["found"] = self.method.found().model_dump(mode="json")
        return Report(
            uid=self.assignment.uid,
            index=self._keeper.index,
            status=Status.COMPLETE if piece.done else Status.RUNNING,
            ready=piece.ready,
            score=score,
            flops=sum(c.flops for p, c in self.meter.ledger().phases.items() if p is not Phase.SELECT),
            metrics=metrics,
            **extra,
        )


def resolve_device(device: Device) -> torch.device:
    """`auto` means the GPU that this process was given, else the CPU."""
    if device is Device.AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(str(device))

