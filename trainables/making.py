"""Runs one maker, measures it, and puts what it made into the store; knows nothing of Ray."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tracking.cost import Ledger, Meter, Phase, PhaseCost
from tracking.energy import Unread
from tracking.errors import StorageError
from tracking.provenance import collect
from tracking.record import NotFiniteError, Status, check_metrics
from tracking.storage import Place
from trainables.artefact import Artefact, ArtefactSpec
from trainables.artefact_store import ArtefactStore, Manifest, packed, unpacked
from trainables.assignment import Making, Report
from trainables.harness import MisplacedCostError, resolve_device
from trainables.keeping import Keeper
from trainables.maker import Maker, MakerContext, pool_of
from trainables.method import Slice, State, Warns
from trainables.problems.store import cache_folder
from trainables.ranks import Ranks
from trainables.team import ALONE, Team

SLICES = 50  # reports of one making, at most
PATIENCE_SECONDS, FIRST_PAUSE_SECONDS = 60.0, 0.5  # for a store that does not take what was made
PROGRESS = "artefact/progress"  # of the horizon, in (0, 1]


class MakerHarness:
    """One making: build, advance slice by slice, and at the end keep the result.

    A slice's cost is what happens inside `maker.step()`, and in the last one inside `maker.result()` too; all of it
    is pre-training. Continues from the last checkpoint where there is one, and then makes the same, bit for bit.
    """

    def __init__(self, making: Making) -> None:
        self.making = making
        device = resolve_device(making.protocol.device)
        several = making.protocol.making_workers > 1
        self.meter = Meter(device, Unread() if several else None)  # no counter is the share of all processes
        self.meter.reset_peaks()
        self._ranks = Ranks(making, device) if several else None
        try:
            self.maker = built(making, self.meter, device, ALONE if self._ranks is None else self._ranks.team)
            self._keeper = Keeper(making, self.maker, self.meter, device)
            if self._ranks is not None:
                self._ranks.load(self.maker.state_dict(), self.meter.state_dict())
        except BaseException:
            self.close(failed=True)
            raise

    def advance(self) -> Report:
        """One slice; the last one puts what was made into the store first.

        Raises:
            NotFiniteError: a metric, or a number in what was made, is not finite.
            ReservedMetricError: the maker reported a name that belongs to the harness.
            MisplacedCostError: the maker charged its work to another phase, or no work at all.
            StorageError: the store did not take what was made, for as long as the patience lasts.
            LostRankError: another process of the team ended without a word.
        """
        if (unsaid := self._keeper.unsaid()) is not None:
            if unsaid.status is not Status.RUNNING:
                self.close()
            return unsaid
        self._keeper.save_if_due()
        try:
            report = self._slice()
        except BaseException:
            self.close(failed=True)
            raise
        self._keeper.add(report)
        return report

    def _slice(self) -> Report:
        clock = self.meter.start()
        piece = self._step()
        result = self.maker.result() if piece.done else None
        self.meter.stop(clock, Phase.PRETRAIN)
        if piece.done:
            self.close()
        check_metrics(piece.metrics)
        ledger = self.meter.ledger()
        _check_phase(piece, ledger)
        manifest = None if result is None else self._keep(result, ledger)
        return self._report(piece, ledger, manifest)

    def _step(self) -> Slice:
        """By all processes, charged for what each has cost."""
        if self._ranks is None:
            return self.maker.step()
        with self._ranks.step() as costs:
            piece = self.maker.step()
        for cost in costs:
            self.meter.charge(Phase.PRETRAIN, cost)
        return piece

    def close(self, failed: bool = False) -> None:
        """Other processes end, where there are any; called by itself once all is made or something fails."""
        if self._ranks is not None:
            self._ranks.close(failed)

    def save(self) -> None:
        """Keep the trial's state, unless it is kept already."""
        self._keeper.save()

    def _keep(self, result: State, ledger: Ledger) -> Manifest:
        """Into the store; hours of work do not end with a storage that is away for a moment."""
        _check_finite(result)
        store, provenance = ArtefactStore(Place.of(self.making.store)), collect()
        until, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                return store.write(self.making.key, self.making.spec, result, ledger, provenance)
            except StorageError:
                if time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
            pause *= 2

    def _report(self, piece: Slice, ledger: Ledger, manifest: Manifest | None) -> Report:
        updates = (self._keeper.index + 1) * _slice_updates(self.making.spec.config().horizon)
        notes = [self._keeper.note(), *(self.maker.warnings() if piece.done and isinstance(self.maker, Warns) else ())]
        progress = 1.0 if piece.done else min(1.0, updates / self.making.spec.config().horizon)
        return Report(
            uid=self.making.uid, index=self._keeper.index,
            status=Status.COMPLETE if piece.done else Status.RUNNING, ready=False, score=None,
            flops=ledger.phases[Phase.PRETRAIN].flops,
            metrics={**piece.metrics, PROGRESS: progress, **ledger.metrics()},
            ledger=ledger.to_json() if piece.done else None,
            note="; ".join(note for note in notes if note is not None) or None,
            artefact=None if manifest is None else {
                "key": manifest.key, "sha256": manifest.sha256, "size": manifest.size, "ledger": manifest.ledger,
            },
        )


def made(
    spec: ArtefactSpec, cache: Path, updates: int | None = None, device: torch.device | str = "cpu"
) -> Artefact:
    """Make an artefact in this process, and keep it nowhere: for tests and for looking ahead.

    Args:
        cache: prepared data.
        updates: a shorter training than the configuration's own: what is made has the same form and is of no use.
    """
    device = torch.device(device)
    meter = Meter(device)
    maker = _built(spec, cache, meter, device, updates)
    clock = meter.start()
    while not maker.step().done:
        pass
    data = packed(maker.result())
    meter.stop(clock, Phase.PRETRAIN)
    return Artefact(spec.key(), spec, meter.ledger(), lambda: unpacked(data, device))


def built(making: Making, meter: Meter, device: torch.device, team: Team) -> Maker:
    """The maker of one process of the team."""
    return _built(making.spec, making.cache or cache_folder(), meter, device, None, team)


def _built(
    spec: ArtefactSpec, cache: Path, meter: Meter, device: torch.device, updates: int | None, team: Team = ALONE
) -> Maker:
    config = spec.config()
    problem = spec.source.build(spec.data_seed, 0, cache)
    horizon = updates or config.horizon
    return config.build(MakerContext(
        problem=pool_of(problem, meter, spec.source.label), horizon=horizon, slice_updates=_slice_updates(horizon),
        seed=spec.seed, device=device, meter=meter, team=team,
    ))


def _slice_updates(horizon: int) -> int:
    return -(-horizon // SLICES)


def _check_phase(piece: Slice, ledger: Ledger) -> None:
    elsewhere = [str(p) for p, cost in ledger.phases.items() if p is not Phase.PRETRAIN and cost != PhaseCost()]
    if piece.phase is not Phase.PRETRAIN or elsewhere:
        raise MisplacedCostError(f"a maker charges its work to `{Phase.PRETRAIN}`, but got {elsewhere or piece.phase}")
    if piece.done and ledger.phases[Phase.PRETRAIN].flops == 0:
        raise MisplacedCostError("a maker wraps its updates in `meter.unit(...)`, but no FLOPs were charged")


def _check_finite(value: Any, path: str = "result") -> None:
    """Raises NotFiniteError with the first place that holds a number which is none."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise NotFiniteError(f"what was made must be finite, but {path} is not")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _check_finite(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check_finite(inner, f"{path}[{index}]")
