"""A dry run's numbers: exact where they can be, in the right order where they cannot, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.director import Director
from search.estimate import estimate
from search.launch import Options
from search.launch import estimate as dry
from search.spending import Spending
from search.study import Comparison
from search.timed_probe import Measured, measure
from tests.support import toy_problems
from tests.support.simulation import Simulation, comparison, simulated
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Stage
from trainables.assignment import Assignment, Report
from trainables.problems.spec import ProblemSpec

FLOPS = {"plain": 100_000, "trivial_augment": 110_000, "augnet": 150_000}  # as tests.support.simulation has it


def measured(described: Comparison, problem: ProblemSpec, method: str, settings: Any, cache: Path) -> Measured:
    """One FLOP a microsecond; evaluation costs 1000 FLOPs a report."""
    flops = FLOPS[method]
    return Measured(
        full_flops=flops, work_seconds=flops / 1e6, start_seconds=0.0, score_seconds=1e-3, score_flops=1e3,
        final_seconds=0.0, final_flops=0.0, test_seconds=0.0, test_flops=0.0, ready_share=0.0,
        finds=method == "augnet", peak_host_bytes=10**9, peak_device_bytes=None,
    )


def costed(assignment: Assignment, index: int) -> Report:
    """The simulated trial with the same costs in its ledger."""
    report = simulated(assignment, index)
    evaluation = 1000.0 * (index + 1) * (assignment.stage is not Stage.PROBE)
    metrics = {"cost/flops": float(report.flops), "cost/wall_seconds": report.flops / 1e6,
               "evaluation/flops": evaluation, "evaluation/wall_seconds": evaluation / 1e6}
    return report.model_copy(update={"metrics": report.metrics | metrics})


def run(described: Comparison) -> tuple[Spending, Director]:
    events: list[Event] = []
    director = Simulation(described, events, curve=costed).run()
    spending = Spending(described)
    for event in events:
        spending.take(event)
    return spending, director


LIMITED = [
    {"name": "plain", "limits": {"trials": 2}}, {"name": "trivial_augment", "limits": {"flops": 2.5e5}},
    {"name": "augnet", "limits": {"device_seconds": 0.2}},
]


@pytest.mark.parametrize(
    "changes", [{}, {"asha": None}, {"confirm_seeds": 5, "budget": 12.0}, {"methods": LIMITED, "asha": None}]
)
def test_it_is_near_what_a_simulated_sweep_spends(changes: dict[str, Any], tmp_path: Path) -> None:
    described = comparison(parallel_trials=1, **changes)
    found, (spent, _) = estimate(described, 3, tmp_path, measured), run(described)
    assert found.flops == pytest.approx(spent.total.flops, rel=0.15)
    assert found.device_seconds == pytest.approx(spent.total.device_seconds, rel=0.15)
    assert found.trials == pytest.approx(spent.total.asked, rel=0.3)
    for study in found.studies:
        tuned = spent.studies[study.problem, study.method].asked - 1 - study.confirm_trials
        assert tuned <= study.trials_at_most
    assert found.limits == ()


def test_the_limits_of_a_row_end_its_tuning(tmp_path: Path) -> None:
    """Two trainings; as many as a quarter million FLOPs hold, and as .2 seconds."""
    found = estimate(comparison(parallel_trials=1, methods=LIMITED, asha=None), 1, tmp_path, measured).studies[:3]
    assert [study.trials for study in found] == [2, 3, 2]
    assert found[0].trials_at_most == 2 and all(study.failed is None for study in found)
    cut = [{"name": "augnet", "limits": {"device_seconds": 0.05}}]
    (none, _) = estimate(comparison(parallel_trials=1, methods=cut), 1, tmp_path, measured).studies
    assert none.failed == "the row's own limits end its tuning before one training is whole"
    free = estimate(comparison(parallel_trials=1, asha=None), 1, tmp_path, measured).studies[:3]
    assert all(one.trials < other.trials for one, other in zip(found, free, strict=True))


def test_more_slots_are_not_slower_and_cost_the_same(tmp_path: Path) -> None:
    one, many = (estimate(comparison(parallel_trials=1), slots, tmp_path, measured) for slots in (1, 8))
    assert many.wall_seconds < one.wall_seconds
    assert many.flops == one.flops


def test_limits_that_would_stop_it_are_named(tmp_path: Path) -> None:
    limits = {"flops": 1e5, "money": 1e-9, "trials": 10_000}
    found = estimate(comparison(limits=limits, price_per_device_hour=2.0), 2, tmp_path, measured)
    assert [text.split(":")[0] for text in found.limits] == ["flops", "money"]
    assert found.money == pytest.approx(found.device_seconds / 3600 * 2.0)


def test_a_method_that_fails_is_told_and_the_others_are_estimated(tmp_path: Path) -> None:
    def broken(described: Comparison, problem: ProblemSpec, method: str, settings: Any, cache: Path) -> Measured:
        if method == "augnet":
            raise RuntimeError("planted\nsecond line")
        return measured(described, problem, method, settings, cache)

    found = estimate(comparison(), 2, tmp_path, broken)
    failed = [study.failed for study in found.studies if study.failed]
    assert failed == ["RuntimeError: planted"] * 2 and found.flops > 0


def test_a_method_beyond_the_budget_is_told(tmp_path: Path) -> None:
    found = estimate(comparison(budget=1.2), 2, tmp_path, measured)
    assert {study.method for study in found.studies if study.failed} == {"augnet"}


def toy() -> dict[str, Any]:
    return {
        "problems": [{"label": "toy", "source": {"name": "toy_images"}}], "methods": [{"name": "plain"}],
        "network": "mlp", "horizon": 20, "slices": 4, "budget": 2.0, "confirm_seeds": 1, "device": "cpu",
        "invariance_examples": 8, "copies": 2, "strengths": 1, "class_images": 2, "class_draws": 2,
    }


def test_a_real_probe_measures_the_flops_exactly(tmp_path: Path) -> None:
    from tests.support.trials import finish
    from trainables.harness import Harness

    assert toy_problems is not None
    described = Comparison.model_validate(toy())
    settings = described.methods[0].config_class()().model_dump(mode="json")
    found = measure(described, described.problems[0], "plain", settings, tmp_path / "cache")
    whole = finish(Harness(Assignment(
        uid="whole", stage=Stage.RERUN, problem=described.problems[0], row="plain", method="plain", settings=settings,
        index=0, seed=0, partition=0, protocol=described.protocol(), place=str(tmp_path / "trial"),
        cache=tmp_path / "cache",
    )))
    assert found.full_flops == whole[-1].flops
    evaluation = found.score_flops * 4 + found.final_flops + found.test_flops
    assert evaluation == pytest.approx(whole[-1].metrics["evaluation/flops"], rel=0.02)  # averaged copies are made, too
    assert found.work_seconds > 0 and found.score_seconds > 0 and not found.finds


def test_a_row_that_does_not_fit_is_told_in_full_before_anything_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("search.dry_run.estimate")  # it is not reached
    changes = ["methods=[{name: plain}, {name: msr}]", "problems=[{label: digits, source: {name: digits}}]"]
    with pytest.raises(UserError, match="row `msr`"):
        dry("digits", None, changes, [], Options(root=str(tmp_path / "sweeps")), False)
    assert not (tmp_path / "sweeps").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import yaml

    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toy()))
    before = sorted(tmp_path.rglob("*"))
    options = Options(root=str(tmp_path / "sweeps"))
    dry(str(tmp_path / "toy.yaml"), None, ["limits.trials=1"], [], options, True)
    said = json.loads(capsys.readouterr().out)
    assert sorted(tmp_path.rglob("*")) == before
    assert said["plan"]["methods"] == ["plain"] and said["estimate"]["is_estimate"] is True
    assert said["estimate"]["limits"][0].startswith("trials: ")
    dry(str(tmp_path / "toy.yaml"), None, [], [], options, False)
    assert "This is an estimate" in capsys.readouterr().out
    with pytest.raises(UserError, match="64"):
        dry(str(tmp_path / "toy.yaml"), None, ["resources.cpus=64000"], [], options, False)
