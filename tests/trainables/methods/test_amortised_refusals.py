"""Settings of methods on a pre-trained extractor: what is refused before anything is trained, and what is looked at."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tracking.cost import Meter, Phase
from tracking.errors import UserError
from trainables import methods
from trainables.contract_toy import toy_context
from trainables.modules import amortised
from trainables.modules.amortised import AmortisedTask
from trainables.modules.evaluated import Targets
from trainables.problems.array_view import ArrayView
from trainables.problems.problem import Kind, Split
from trainables.problems.spec import ProblemSpec

DIGITS = ProblemSpec.model_validate({"label": "digits", "source": {"name": "digits"}})


@pytest.mark.parametrize(("method", "settings", "word"), [
    ("unconditional", {"lowest_penalty": -1.0}, "lowest_penalty"),
    ("unconditional", {"lowest_penalty": float("inf")}, "lowest_penalty"),
    ("descriptor", {"default": {"rotation": 1.5}}, "rotation"),
    ("descriptor", {"settings": {"lowest_penalty": float("inf")}}, "lowest_penalty"),
    ("descriptor", {"settings": {"lowest_penalty": 10.0, "highest_penalty": 1.0}}, "from the lowest to the highest"),
    ("unconditional", {"lowest_penalty": 200.0}, "lowest_penalty"),
])
def test_numbers_that_cannot_be_are_refused_at_once(method: str, settings: dict[str, Any], word: str) -> None:
    with pytest.raises((UserError, ValidationError), match=word):
        methods.config_class(method).model_validate(settings)


@pytest.mark.parametrize("settings", [{"false_alarms": 0.5}, {"errors": 0.0}])
def test_what_would_be_overruled_is_refused_where_a_sweep_begins(settings: dict[str, float]) -> None:
    """And read all the same from a record of before: there it did nothing."""
    context, make = toy_context(), methods.config_class("descriptor").model_validate
    with pytest.raises(UserError, match="one level up"):
        make({"settings": settings}).fits(context.problem, context.network)
    fine = make(settings)
    fine.fits(context.problem, context.network)
    assert make(fine.model_dump(mode="json")) == fine


@pytest.mark.parametrize(("settings", "word"), [
    ({"lowest_penalty": 1e-4}, "write `lowest_real: 0.0001`"), ({"highest_penalty": 5e-3}, "lowest_real: 0.01"),
])
@pytest.mark.parametrize("method", ["descriptor", "fixed_descriptor"])
def test_penalties_of_the_other_kind_of_targets_are_told_where_a_sweep_begins(
    method: str, settings: dict[str, float], word: str
) -> None:
    context, made = toy_context(), methods.config_class(method).model_validate({"settings": settings})
    made.fits(context.problem, context.network)
    real = replace(context.problem._description, kind=Kind.REGRESSION)  # type: ignore[attr-defined]
    problem = ArrayView(context.problem._learnable, real)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=word):
        made.fits(problem, context.network)


@pytest.mark.parametrize("targets", [Targets.of_values(torch.arange(5.0)), Targets.of_labels(torch.arange(5), 5)])
def test_what_the_control_tunes_is_what_its_grid_begins_at(
    targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of real targets too, or most of its only tuned range would be one trial again and again."""
    module = import_module("trainables.methods.unconditional")
    monkeypatch.setattr(module, "ClosedForm", lambda context, config, select: select)
    monkeypatch.setattr(module, "best_of", lambda task, descriptors, settings, phase: settings.log_penalties(targets))
    task = SimpleNamespace(extractor=SimpleNamespace(family=SimpleNamespace(factors=(0, 1))))
    for lowest in (1e-6, 1e-4, 1e-1):
        grid: Any = module.Config(lowest_penalty=lowest).build(toy_context())
        assert grid(task, Phase.TRAIN).exp()[[0, -1]].tolist() == pytest.approx([lowest, 100.0])


@pytest.mark.parametrize(("method", "settings", "word"), [
    ("hyperinvariances", {"conditioning": "film"}, "conditioning"), ("hyperinvariances", {"heads": "shared"}, "heads"),
    ("unconditional", {"fixed_entry": 0.0}, "fixed_entry"), ("unconditional", {"sensitivity": 1.0}, "sensitivity"),
])
def test_what_a_row_is_about_cannot_be_set(method: str, settings: dict[str, Any], word: str) -> None:
    made = methods.config_class(method).model_validate({"extractor": {"settings": settings}})
    with pytest.raises(UserError, match=word):
        made.needs(DIGITS, 0)
    assert methods.config_class("descriptor").model_validate({"extractor": {"settings": settings}})
    same = methods.config_class("unconditional").model_validate({"extractor": {"settings": {"fixed_entry": 1.0}}})
    assert same.needs(DIGITS, 0)  # what the row would take anyway


def test_what_a_quality_sets_for_ours_is_not_idle_in_other_rows() -> None:
    """`quick` sets a share of groups with everything on, which corners and one descriptor do not have."""
    context = toy_context()
    for name in ("hyperinvariances", "unconditional"):
        quick = {"quality": "quick", "settings": {"bases": 4} if name == "hyperinvariances" else {}}
        made = methods.config_class(name).model_validate({"extractor": quick})
        made.fits(context.problem, context.network)
        assert made.needs(DIGITS, 0)["extractor"].config()
        asked = methods.config_class(name).model_validate({"extractor": {"settings": {"all_on": 0.9}}})
        with pytest.raises(UserError, match="would do nothing here"):
            asked.fits(context.problem, context.network)


@pytest.mark.parametrize("most", [20, 30])
def test_of_many_labels_those_of_both_splits_are_looked_at(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """In the proportion of the splits, up to 4 standard errors; what only `outer` shows could not be found else."""
    context = toy_context()
    x, _ = context.problem.labelled()
    train, _ = context.problem.labelled(Split.TRAIN)
    assert torch.equal(x[: len(train)], train) and len(x) > most  # train comes first
    monkeypatch.setattr(amortised, "MOST_LABELS", most)
    task = AmortisedTask(replace(context, meter=Meter("cpu")))
    task.load(Phase.SEARCH)
    assert task.images is not None and len(task.targets) == most
    seen = {image.numpy().tobytes() for image in train}
    share, wanted = sum(image.numpy().tobytes() in seen for image in task.images) / most, len(train) / len(x)
    assert abs(share - wanted) < 4 * (wanted * (1 - wanted) / most) ** 0.5
    assert 0 < share < 1
