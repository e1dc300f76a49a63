"""One method under two names: tuned with the same draws and trained with the same seeds, it is one method."""

from __future__ import annotations

import random
from typing import Any

import pytest

from search.analysis import rows
from search.row import Averaging, Row, Verdict
from tests.support.journals import Writer
from tests.support.simulation import SLICES, Simulation, comparison
from tracking.journal import Event
from tracking.record import Stage, Status
from trainables.assignment import Assignment, Report
from trainables.method import stable_seed

NAMES = [{"name": "plain"}, {"name": "plain", "label": "plain-again"}, {"name": "augnet"},
         {"name": "augnet", "label": "augnet-again"}]


def trained(assignment: Assignment, index: int) -> Report:
    """A training as it is: of method, settings and seeds, and of no name. Its luck is as large as what settings do."""
    at = stable_seed(assignment.seed, assignment.partition, assignment.method, sorted(assignment.settings.items()))
    luck = random.Random(at).gauss(0.0, 0.02)
    gain = 0.3 if assignment.method == "augnet" else 0.0
    score = 0.6 + gain - 0.2 * abs(float(assignment.settings["learning_rate"]) - 0.1) + luck
    slices = 1 if assignment.stage is Stage.PROBE else SLICES
    done = index + 1 == slices
    cost = 100_000 * (0.1 if assignment.stage is Stage.PROBE else (index + 1) / SLICES)
    return Report(
        uid=assignment.uid, index=index, ready=True, score=score, flops=round(cost),
        status=Status.COMPLETE if done else Status.RUNNING, metrics={"val/score": score, "test/score": score},
        found=assignment.settings if done and assignment.stage is Stage.RERUN and gain else None,
        ledger={} if done else None,
    )


def compared(seed: int, **changes: Any) -> dict[str, Row]:
    head = Writer()
    head.begin(["one", "two"], [row.get("label", row["name"]) for row in NAMES], 5, {})
    events: list[Event] = []
    described = comparison(methods=NAMES, confirm_seeds=5, seed=seed, **changes)
    Simulation(described, events, order=seed, curve=trained).run()
    return {row.method: row for row in rows([*head.events, *events]) if row.problem == "one" and row.way is Stage.RERUN}


def test_twenty_sweeps_of_one_method_under_two_names_find_no_difference() -> None:
    """Real Optuna and ASHA: with draws of their own the names are tuned to different settings, and 5 % is far off."""
    told_apart = 0
    for seed in range(20):
        found = compared(seed)
        for name in ("plain", "augnet"):
            own, other = (found[label].scores[Averaging.NONE] for label in (name, f"{name}-again"))
            assert own == other and len(own) == 5
        assert {found["plain"].verdict, found["plain-again"].verdict} == {Verdict.CONTROL, Verdict.EQUAL}
        told_apart += found["augnet"].verdict is found["augnet-again"].verdict is Verdict.BETTER
    assert told_apart >= 19, "the control: what does differ, by .3, is found"


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_draws_are_the_methods_and_new_with_the_sweeps_seed(sampler: str) -> None:
    chosen = [dict(compared(seed, sampler=sampler)["plain"].tune.best.config) for seed in (0, 1)]  # type: ignore[union-attr]
    assert chosen[0] != chosen[1], "the control: another seed is another tuning"
