"""What a method is judged on where a problem is made of tasks: all of them, with supports, and without for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.trials import assignment, finish, logical
from tracking.cost import Phase
from tracking.record import Stage
from trainables.harness import Harness
from trainables.judging import TEST_TASKS, judged, score, structure
from trainables.problems.problem import Batch, Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.tasks import TaskProblem

LAYERS = {"label": "layers", "source": {"name": "layers", "layer": "cyclic16", "tasks": 60, "shots": 2, "queries": 3}}
EPISODES = {
    "label": "episodes", "source": {"name": "digits"}, "shares": (0.4, 0.2, 0.4),
    "wrappers": [{"name": "episodes", "ways": 3, "queries": 2, "ranges": {"rotation": 45.0}}],
}


class Recording:
    """Knows the answer from a support that holds it: y is the first support's target for every query."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        self.shapes.append(tuple(x.shape))
        if support is None:
            return torch.zeros(len(x), 16)
        return support.y[:, :1].expand(-1, x.shape[1], -1)


def problem_of(folder: Path, values: dict[str, Any]) -> TaskProblem:
    built = ProblemSpec(**values).build(0, 0, folder)
    assert isinstance(built, TaskProblem)
    return built


def test_each_query_meets_the_support_of_its_own_task(tmp_path: Path) -> None:
    problem, method = problem_of(tmp_path, LAYERS), Recording()
    parts = [*judged(problem, method, True, Split.TEST, None, torch.device("cpu"))]  # type: ignore[arg-type]
    assert sum(len(part.y) for part in parts) == TEST_TASKS * 3
    supports = [support for support, _ in problem.judged(Split.TEST, TEST_TASKS)]
    for part, support in zip(parts, supports, strict=True):
        expected = support.y[:, :1].expand(-1, 3, -1).flatten(0, 1)
        assert torch.equal(part.predict(part.x), expected)
        assert part.labels == len(support.x) * 5
    mean, finite = score(problem, parts)
    everything = torch.cat([part.predict(part.x) for part in parts]), torch.cat([part.y for part in parts])
    assert finite and mean == pytest.approx(float(problem.score(*everything)), rel=1e-5)


def test_a_method_without_tasks_sees_queries_alone(tmp_path: Path) -> None:
    problem, method = problem_of(tmp_path, LAYERS), Recording()
    part = next(judged(problem, method, False, Split.SELECT, 60, torch.device("cpu")))  # type: ignore[arg-type]
    part.predict(part.x)
    assert method.shapes == [(50 * 3, 16)]
    assert part.labels == 50 * 3, "supports that nobody was given are not read"


@pytest.mark.parametrize(("limit", "queries"), [(60, 50 * 6), (600, 100 * 6), (1000, 200 * 6)])
def test_a_limit_counts_the_queries_of_all_classes(tmp_path: Path, limit: int, queries: int) -> None:
    """Six queries of a task, two of each class; 50 tasks at least, and whole batches of 50."""
    problem = problem_of(tmp_path, EPISODES)
    parts = judged(problem, Recording(), False, Split.SELECT, limit, torch.device("cpu"))  # type: ignore[arg-type]
    assert sum(len(part.y) for part in parts) == queries


def test_outputs_that_are_not_finite_are_found_in_any_part(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, LAYERS)

    class Broken(Recording):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            found = super().predict(x, support).clone()
            if len(self.shapes) == 3:
                found[0, 0, 0] = float("nan")
            return found

    parts = [*judged(problem, Broken(), True, Split.TEST, None, torch.device("cpu"))]  # type: ignore[arg-type]
    assert not score(problem, parts)[1]


def test_a_pattern_is_compared_with_the_planted_one(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, LAYERS)

    class Sharing(Recording):
        def __init__(self, pattern: Tensor | None) -> None:
            super().__init__()
            self.known = pattern

        def pattern(self) -> Tensor | None:
            return self.known

    truth = problem.pattern()
    assert truth is not None
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    right, partly, wrong = (structure(problem, Sharing(u)) for u in (truth @ noise[:16], truth[:, :15], noise))  # type: ignore[arg-type]
    one = pytest.approx(1, abs=1e-5)
    assert right == {"min_cosine": one, "energy": one, **{f"cosine_{k}": one for k in range(1, 17)}}
    assert partly == {"min_cosine": 0.0, "energy": one, **{f"cosine_{k}": one for k in range(1, 16)}}
    angles = [wrong[f"cosine_{k}"] for k in range(1, 17)]
    assert angles == sorted(angles, reverse=True) and angles[-1] == wrong["min_cosine"]
    assert wrong["min_cosine"] < 0.3 and wrong["energy"] < 0.2
    assert structure(problem, Sharing(None)) == structure(problem, Recording()) == {}  # type: ignore[arg-type]
    assert structure(problem_of(tmp_path, EPISODES), Sharing(truth)) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "settings"), [("maml", {}), ("msr", {}), ("plain", {}), ("random_policy", {})])
@pytest.mark.parametrize("problem", [LAYERS, EPISODES], ids=["layers", "episodes"])
def test_trials_run_to_their_test_and_are_the_same_each_time(
    tmp_path: Path, problem: dict[str, Any], method: str, settings: dict[str, Any]
) -> None:
    if (problem, method) == (LAYERS, "random_policy"):
        pytest.skip("policies are for images")
    reports = []
    for run in ("one", "two"):
        harness = Harness(assignment(tmp_path / run, method, Stage.RERUN, problem=problem, settings=settings))
        reports.append(finish(harness))
    last = reports[0][-1]
    assert [logical(report) for report in reports[0]] == [logical(report) for report in reports[1]]
    assert "test/score" in last.metrics and "test/score_own_copies" not in last.metrics
    assert ("invariance/rotation/agreement" in last.metrics) is (problem is EPISODES)
    assert harness.meter.ledger().phases[Phase.SELECT].label_reads > 0
