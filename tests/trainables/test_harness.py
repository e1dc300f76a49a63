"""One trial: what it may not do, that it resumes exactly, what it reads, and what its cost is."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.toy_problems import TestSplitTrap
from tests.support.trials import ROTATED, SIGNALS, assignment, finish
from tracking.cost import Meter, Phase
from tracking.provenance import collect
from tracking.record import NotFiniteError, ReservedMetricError, Stage
from trainables import invariance, methods
from trainables.assignment import FIRST_SEED, Device, Report
from trainables.harness import Harness, MisplacedCostError, resolve_device
from trainables.method import Context
from trainables.modules.networks import mlp
from trainables.problems.problem import Batch, ForbiddenSplitError, Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.target_units import units_of

STAGES_WITHOUT_TEST = (Stage.UNIT, Stage.PROBE, Stage.TUNE)
STAGES_WITH_TEST = (Stage.RERUN, Stage.REPLAY)


def test_an_honest_trial_reports_to_its_end(tmp_path: Path) -> None:
    """Indices, statuses, and everything that the optional members add."""
    reports = finish(Harness(assignment(tmp_path)))
    assert [report.index for report in reports] == [0, 1, 2]
    assert [report.status for report in reports] == ["running", "running", "complete"]
    assert [report.metrics["learned/updates"] for report in reports] == [2, 4, 6]
    assert all(report.metrics["val/score"] == report.score for report in reports)
    assert [report.ledger is None for report in reports] == [True, True, False]
    assert [report.hardware for report in reports] == [None, None, collect()["hardware"]["cpu"]]
    assert reports[-1].found is not None and reports[-1].found["learning_rate"] == 0.05


@pytest.mark.parametrize(
    ("method", "error", "words"),
    [
        ("draws_select", ForbiddenSplitError, "select"),
        ("draws_test", ForbiddenSplitError, "test"),
        ("episode_of_test", ForbiddenSplitError, "test"),
        ("size_of_select", ForbiddenSplitError, "select"),
        ("asks_truth", AttributeError, "truth"),
        ("asks_examples", AttributeError, "examples"),
        ("writes_score", ReservedMetricError, "val/score"),
        ("writes_cost", ReservedMetricError, "cost/flops"),
        ("writes_nan", ValueError, "loss = nan"),
        ("writes_infinity", ValueError, "loss = inf"),
        ("learns_nan", ValueError, "rotation/width_deg = nan"),
        ("predicts_nan", NotFiniteError, "predict"),
        ("names_the_wrong_phase", MisplacedCostError, "select"),
        ("hides_work", MisplacedCostError, "select"),
    ],
)
def test_a_cheat_is_refused(tmp_path: Path, method: str, error: type[Exception], words: str) -> None:
    """At its first slice; the control is the honest method above, from the same base class."""
    with pytest.raises(error, match=words):
        Harness(assignment(tmp_path, method)).advance()


def test_a_score_that_is_not_finite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"label": "r", "source": {"name": "toy_regression"}}
    trial = Harness(assignment(tmp_path, problem=problem, settings={"learning_rate": 0.01}))
    assert math.isfinite(float(trial.advance().metrics["val/score"]))
    monkeypatch.setattr(type(trial.problem), "score", lambda self, outputs, y: torch.tensor(float("inf")))
    with pytest.raises(NotFiniteError, match="val/score"):
        trial.advance()


# What is read, and when


class Spy(TestSplitTrap):
    """Counts who asks for the examples of which split; nothing is forbidden to the harness."""

    __test__ = False

    def __init__(self, problem: Any, counts: Counter[Split]) -> None:
        super().__init__(problem)
        self._counts = counts

    @property
    def truth(self) -> Any:
        return self._problem.truth

    def examples(self, split: Split, limit: int | None = None) -> Batch:
        self._counts[split] += 1
        return self._problem.examples(split, limit)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[Split]:
    """How often each split was handed out in full, in this test."""
    found: Counter[Split] = Counter()
    build = ProblemSpec.build
    monkeypatch.setattr(ProblemSpec, "build", lambda self, *arguments: Spy(build(self, *arguments), found))
    return found


@pytest.mark.parametrize("stage", Stage)
def test_the_test_split_is_read_once_and_in_confirm_only(tmp_path: Path, counts: Counter[Split], stage: Stage) -> None:
    trial = Harness(assignment(tmp_path, stage=stage))
    trial.advance()
    assert counts[Split.TEST] == 0, "nothing is read before the last report"
    last = finish(trial)[-1]
    confirms = stage in STAGES_WITH_TEST
    assert counts[Split.TEST] == int(confirms)
    assert counts[Split.SELECT] == 1
    scores = {"test/score", "test/score_own_copies", "test/score_common_copies"}
    assert {name for name in last.metrics if name.startswith("test/")} == (scores if confirms else set())
    measured = any(name.startswith("invariance/") for name in last.metrics)
    assert measured == (stage not in (Stage.UNIT, Stage.PROBE))


def test_the_spy_sees_a_second_reading(tmp_path: Path, counts: Counter[Split]) -> None:
    """The control: a harness that looks at the test split while it trains would be seen."""
    trial = Harness(assignment(tmp_path))
    trial.problem.examples(Split.TEST, 4)
    finish(trial)
    assert counts[Split.TEST] == 1


def test_the_temperature_is_fitted_on_select_whose_labels_are_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[Tensor] = []

    def spy(outputs: Tensor, y: Tensor) -> float:
        fitted.append(y)
        return 1.0

    monkeypatch.setattr("trainables.class_measures.fitted_temperature", spy)
    trial = Harness(assignment(tmp_path, stage=Stage.RERUN))
    reads = [report.metrics["evaluation/label_reads"] for report in finish(trial)]
    select = trial.problem.examples(Split.SELECT, trial.assignment.protocol.score_examples).y
    assert len(fitted) == 1 and torch.equal(fitted[0], select)
    assert reads[-1] - reads[-2] == 2 * len(select), "once for the score, once for the temperature"


def test_invariance_is_measured_where_it_was_planted(tmp_path: Path) -> None:
    assert Harness(assignment(tmp_path)).ranges() == {"rotation": 30.0}
    assert Harness(assignment(tmp_path, problem=ROTATED | {"wrappers": []})).ranges() == {}


# Cost


def test_cost_is_what_the_method_did(tmp_path: Path) -> None:
    """Against a bare loop with a meter of its own, no harness around."""
    described = assignment(tmp_path, "plain", Stage.RERUN)
    last = finish(Harness(described))[-1]
    meter = Meter("cpu")
    problem = described.problem.build(0, 0, described.cache).view(meter)
    context = Context(problem, 6, 2, described.seed, torch.device("cpu"), meter, mlp)
    method = methods.config_class("plain").model_validate(described.settings).build(context)
    while not method.step().done:
        pass
    bare = meter.ledger().phases[Phase.TRAIN]
    assert (last.metrics["cost/flops"], last.metrics["cost/examples"]) == (bare.flops, bare.examples)
    assert last.flops == bare.flops


def test_evaluation_is_kept_apart(tmp_path: Path) -> None:
    """More scored examples: more evaluation, the same cost; and the ledger's phases say the same."""
    few, many = (_last(tmp_path, score_examples=n) for n in (2, 16))
    for unit in ("flops", "examples"):
        assert few.metrics[f"cost/{unit}"] == many.metrics[f"cost/{unit}"] > 0
    assert 0 < few.metrics["evaluation/flops"] < many.metrics["evaluation/flops"]
    assert many.metrics["cost/label_reads"] - few.metrics["cost/label_reads"] == 3 * (16 - 2)
    assert many.ledger is not None
    assert many.ledger["phases"]["select"]["flops"] == many.metrics["evaluation/flops"]
    assert many.metrics["evaluation/examples"] == 0, "the harness takes no gradients"


def test_the_final_measurements_cost_the_method_nothing(tmp_path: Path) -> None:
    probe, rerun = (_last(tmp_path, stage=stage) for stage in (Stage.PROBE, Stage.RERUN))
    assert probe.flops == rerun.flops
    assert probe.metrics["evaluation/flops"] < rerun.metrics["evaluation/flops"]


def _last(tmp_path: Path, **changes: Any) -> Report:
    return finish(Harness(assignment(tmp_path, **changes)))[-1]


# Averaging


def test_common_copies_are_the_same_for_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very same inputs for the same seed, whatever the method; others for another seed."""
    seen: dict[tuple[str, int], list[Tensor]] = {}
    make = invariance.common_sampler

    def noted(key: tuple[str, int]) -> Any:
        def sampler(*arguments: Any) -> Any:
            sample = make(*arguments)

            def keep(x: Tensor, generator: torch.Generator) -> Tensor:
                copies = sample(x, generator)
                seen.setdefault(key, []).append(copies)
                return copies

            return keep

        return sampler

    for key in (("plain", 1), ("trivial_augment", 1), ("plain", 2)):
        monkeypatch.setattr(invariance, "common_sampler", noted(key))
        finish(Harness(assignment(tmp_path, key[0], Stage.RERUN, seed=key[1])))
    first, same, other = (torch.stack(copies) for copies in seen.values())
    assert len(first) == 2
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_method_without_a_distribution_averages_copies_of_itself(tmp_path: Path) -> None:
    plain = _last(tmp_path, method="plain", stage=Stage.RERUN).metrics
    assert plain["test/score_own_copies"] == plain["test/score"]


def test_regression_has_no_copies(tmp_path: Path) -> None:
    problem = {"label": "r", "source": {"name": "toy_regression"}}
    settings = {"learning_rate": 0.01, "batch_size": 8}
    last = _last(tmp_path, stage=Stage.RERUN, problem=problem, method="plain", settings=settings)
    assert {name for name in last.metrics if name.startswith("test/")} == {"test/score"}
    assert all(name.endswith("/change") for name in last.metrics if name.startswith("invariance/"))


def test_what_is_exported_of_regression_answers_in_the_users_units(tmp_path: Path) -> None:
    problem = {"label": "r", "source": {"name": "toy_regression"}}
    exports = tmp_path / "exports"
    trial = Harness(assignment(
        tmp_path, stage=Stage.RERUN, problem=problem, method="plain", index=FIRST_SEED, exports=str(exports)
    ))
    assert finish(trial)[-1].note is None
    units, x = units_of(trial.problem), trial.problem.examples(Split.TEST).x
    assert units is not None
    found, standard = torch.export.load(exports / "model.pt2").module()(x), trial.method.predict(x)
    torch.testing.assert_close(found, units.own(standard))
    assert not torch.allclose(found, standard)  # negative control


def test_signals_are_probed_with_their_own_bank(tmp_path: Path) -> None:
    last = _last(tmp_path, stage=Stage.RERUN, problem=SIGNALS, method="plain")
    assert "invariance/time_shift/agreement" in last.metrics
    assert "invariance/rotation/agreement" not in last.metrics


@pytest.mark.parametrize("device", [Device.CPU, Device.AUTO])
def test_devices(device: Device) -> None:
    expected = "cuda" if device is Device.AUTO and torch.cuda.is_available() else "cpu"
    assert resolve_device(device).type == expected
