"""What a worker is sent for a trial that is asked, and what the journal says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search import lines
from search.confirm import search_of
from search.course import Asked
from search.study import ARTEFACTS, Comparison
from search.wanted import Wanted
from tracking.record import Stage
from tracking.storage import Place
from trainables.artefact import SHORT
from trainables.artefact_store import ArtefactStore
from trainables.assignment import FIRST_SEED, PROBE_FRACTION, Assigned, Assignment, Making
from trainables.method import stable_seed

UNIT_ROW = "budget-unit"  # what the plain training that measures the budget's unit is called in the journal
CONFIRM_STAGES = (Stage.RERUN, Stage.REPLAY)


class Jobs:
    """Makes them, from what all trials of a sweep share.

    Args:
        place: of the sweep; checkpoints go below it, artefacts beside it.
        cache: data, once per node; None lets every node decide where.
        wanted: the artefacts.
        data: label of a problem -> the fingerprint that its data must have.
    """

    def __init__(
        self, comparison: Comparison, place: Place, cache: Path | None, wanted: Wanted,
        data: Mapping[str, str] | None = None,
    ) -> None:
        self._comparison, self._place, self._cache, self._wanted = comparison, place, cache, wanted
        self._data = data or {}
        self._problems = {problem.label: problem for problem in comparison.problems}
        self._networks = {method.key: method.network for method in comparison.methods}
        self._store = str(ArtefactStore.beside(place).place)

    def unit(self, problem: str) -> Assignment:
        """The plain training that the problem's budgets are counted in."""
        asked = Asked(f"{problem}/unit", Stage.UNIT, 0, self._comparison.unit())
        return self.assignment(problem, UNIT_ROW, "plain", asked)

    def assignment(self, problem: str, row: str, method: str, asked: Asked) -> Assignment:
        """A trial of a study, or a budget unit."""
        confirm = asked.stage in CONFIRM_STAGES
        # The method is left out: trial i of every method starts from the same weights and order of examples.
        role = "confirm" if confirm else str(asked.stage)
        first = asked.stage is Stage.RERUN and asked.index == FIRST_SEED
        return Assignment(
            uid=asked.uid, stage=asked.stage, problem=self._problems[problem], row=row, method=method,
            settings=asked.settings, index=asked.index,
            seed=stable_seed(self._comparison.seed, problem, role, asked.index),
            partition=search_of(asked.index, self._comparison.confirm_seeds) if confirm else 0,
            protocol=self._comparison.protocol(self._networks.get(row, "")),
            fraction=PROBE_FRACTION if asked.stage is Stage.PROBE else 1.0,
            artefacts=dict(self._wanted.needs.get((problem, row), {})), store=self._store,
            exports=str(self._place / "exports" / problem / row) if first else "",
            place=self._checkpoints(asked.uid), cache=self._cache, data=self._data.get(problem),
            **lines.fields(self._place, asked.uid, asked.line),
        )

    def making(self, key: str, before: int) -> Making:
        """The making of an artefact.

        Args:
            before: how often it was made in this sweep before; above 0 where it was lost since.
        """
        uid = f"{ARTEFACTS}/{key[:SHORT]}" + (f"-{before + 1}" if before else "")
        return Making(
            uid=uid, spec=self._wanted.specs[key], protocol=self._comparison.protocol(), key=key,
            place=self._checkpoints(uid), cache=self._cache, store=self._store,
        )

    def _checkpoints(self, uid: str) -> str:
        return str(self._place / "checkpoints" / uid)


def asked_fields(job: Assigned) -> dict[str, Any]:
    """Of the `asked` event."""
    if isinstance(job, Making):
        return {
            "uid": job.uid, "problem": ARTEFACTS, "method": job.spec.maker, "stage": str(job.stage), "index": 0,
            "seed": job.spec.seed, "partition": 0, "config": job.spec.settings, "key": job.key,
            "label": job.spec.label,
        }
    line = {} if job.generation is None else {"generation": job.generation, "parent": job.parent}
    return {
        "uid": job.uid, "problem": job.problem.label, "method": job.row, "stage": str(job.stage),
        "index": job.index, "seed": job.seed, "partition": job.partition, "config": job.settings, **line,
    }
