"""What a study that is bred costs beforehand, and where it stands on its way."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from search.estimate import estimate
from search.spending import Spending
from search.status import Standing
from search.study import Comparison
from search.timed_probe import Measured
from tests.support.simulation import SLICES, Simulation, comparison
from tracking.journal import Event
from tracking.record import Stage, Status
from trainables.assignment import Assignment, Report
from trainables.method import stable_seed
from trainables.problems.spec import ProblemSpec

GENERATIONS = 4
PBA = {"name": "pba", "settings": {"generations": GENERATIONS}}


def costed(assignment: Assignment, index: int) -> Report:
    """One FLOP a microsecond; a generation is a quarter of a training, and every report evaluates for 1000 FLOPs."""
    bred_trial = assignment.generation is not None
    slices, whole = SLICES, 1.0
    if assignment.stage is Stage.PROBE:
        slices, whole = 1, 0.1
    elif bred_trial:
        slices, whole = round(SLICES / GENERATIONS), 1 / GENERATIONS
    full = 100_000 if assignment.method == "plain" else 120_000
    flops, done = round(full * whole * (index + 1) / slices), index + 1 == slices
    evaluation = 1000.0 * (index + 1) * (assignment.stage is not Stage.PROBE)
    score = random.Random(stable_seed(assignment.uid, index)).random()
    return Report(
        uid=assignment.uid, index=index, ready=True, score=score, flops=flops, ledger={} if done else None,
        status=Status.COMPLETE if done else Status.RUNNING,
        metrics={"val/score": score, "cost/flops": float(flops), "cost/wall_seconds": flops / 1e6,
                 "evaluation/flops": evaluation, "evaluation/wall_seconds": evaluation / 1e6},
    )


def probed(described: Comparison, problem: ProblemSpec, method: str, settings: Any, cache: Path) -> Measured:
    """What a probe says of the same."""
    flops = 100_000 if method == "plain" else 120_000
    return Measured(
        full_flops=flops, work_seconds=flops / 1e6, start_seconds=0.0, score_seconds=1e-3, score_flops=1e3,
        final_seconds=0.0, final_flops=0.0, test_seconds=0.0, test_flops=0.0, ready_share=0.0, finds=False,
        peak_host_bytes=10**9, peak_device_bytes=None,
    )


@pytest.mark.parametrize("budget", [5.0, 12.0, 20.0])
def test_a_bred_study_is_estimated_as_it_spends(budget: float, tmp_path: Path) -> None:
    described = comparison(methods=[{"name": "plain"}, PBA], parallel_trials=1, budget=budget, asha=None)
    events: list[Event] = []
    Simulation(described, events, curve=costed).run()
    spending = Spending(described)
    for event in events:
        spending.take(event)
    found = estimate(described, 3, tmp_path, probed)
    for study in found.studies:
        if study.method == "pba":
            spent = spending.studies[study.problem, "pba"]
            members = int(budget / 1.2)
            assert study.trials == study.trials_at_most == members * GENERATIONS == spent.asked - 1 - 2
            assert study.flops == pytest.approx(spent.flops, rel=0.02)
            assert study.run_seconds == pytest.approx(spent.device_seconds, rel=0.02)


def test_the_standing_of_a_bred_study_is_that_of_its_latest_generation() -> None:
    described = comparison(methods=[{"name": "plain"}, PBA], budget=20.0, asha=None)
    events: list[Event] = []
    Simulation(described, events, curve=costed).run()
    standing, asked, shares = Standing(), dict[str, Event](), list[float]()
    standing.take({"kind": "sweep", "seq": -1, "time_ms": 0, "comparison": described.model_dump(mode="json")})
    best: dict[int, float] = {}
    for event in events:
        standing.take(event)
        shares.append(standing.share_done)
        if event["kind"] == "asked" and (event["problem"], event["method"]) == ("one", "pba"):
            asked[event["uid"]] = event
        if event["kind"] == "ended" and (trial := asked.get(event["uid"])) and trial["stage"] == "tune":
            score = event["metrics"]["val/score"]
            best[trial["generation"]] = max(score, best.get(trial["generation"], -1.0))
            study = standing.studies["one", "pba"]
            assert (study.generation, study.best) == (trial["generation"], best[trial["generation"]])
    study = standing.studies["one", "pba"]
    assert (study.members, study.tuned, study.generation) == (16, 16 * GENERATIONS, GENERATIONS - 1)
    assert best[1] < best[0], "so what was said during the second generation was not the best so far"
    assert shares == sorted(shares) and shares[-1] == 1.0
    middle = next(i for i, event in enumerate(events) if event.get("generation") == 2)
    assert 0.2 < shares[middle] < 0.8
