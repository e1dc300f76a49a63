"""The papers' head: targets of any scale, and more labels than it looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.imbalanced import imbalanced_context
from tracking.cost import Meter
from trainables.contract_toy import _toy, toy_context
from trainables.contract_trace import steps
from trainables.methods import config_class
from trainables.methods.hyperinvariances import Config, HyperInvariances
from trainables.modules import amortised
from trainables.modules.imbalance import ImbalanceConfig, ImbalanceRule, Loss, Sampling, Weighting
from trainables.modules.report_card import SpecialisedNetwork
from trainables.problems.dataset import Array
from trainables.problems.problem import Kind, Problem, Split
from trainables.problems.spec import in_memory
from trainables.problems.target_units import units_of


def real(scale: float, offset: float) -> Problem:
    """The toy with two real targets: where the bar is, and how far from the middle, in units of their own."""

    def targets(y: Array) -> Array:
        where = y.astype(np.float64) - 1
        return (offset + scale * np.stack((where, 10 * np.abs(where)), 1)).astype(np.float32)

    toy = _toy()
    return in_memory(replace(
        toy, pool_y=targets(toy.pool_y), test_y=targets(toy.test_y), kind=Kind.REGRESSION, outputs=2, classes=()
    ), 0, 0)


def trained(problem: Problem, epochs: int = 60) -> HyperInvariances:
    meter = Meter("cpu")
    method = Config(epochs=epochs).build(replace(toy_context(), problem=problem.view(meter), meter=meter))
    assert isinstance(method, HyperInvariances)
    for _ in steps(method):
        pass
    return method


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 50.0), (1000.0, 0.0), (0.001, 0.0)])
def test_r_squared_knows_no_scale_and_no_offset(scale: float, offset: float) -> None:
    """Up to the rounding of targets that lie 50 standard deviations from zero."""
    scores = []
    for problem in (real(1.0, 0.0), real(scale, offset)):
        x, y = problem.examples(Split.TEST)
        scores.append(float(problem.score(trained(problem).predict(x), y)))
    assert scores[0] > 0.5
    assert scores[1] == pytest.approx(scores[0], abs=2e-3)


def test_what_is_exported_predicts_in_the_targets_units(tmp_path: Path) -> None:
    problem = real(20.0, 300.0)
    method = trained(problem, 5)
    method.export(tmp_path)
    network = SpecialisedNetwork(method.task.extractor, method._descriptor.detach(), method._head())
    network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    x, _ = problem.examples(Split.TEST)
    units = units_of(problem)
    assert units is not None
    torch.testing.assert_close(network(x), units.own(method.predict(x)))
    assert float(network(x)[:, 0].mean()) == pytest.approx(300, abs=20)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-6, 0.0), (1.0, 1e5)])
def test_a_wrong_network_is_not_exported_whatever_the_units(
    scale: float, offset: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = trained(real(scale, offset), 5)
    bake = type(method.task.extractor).bake
    monkeypatch.setattr(type(method.task.extractor), "bake", lambda self, descriptor: bake(self, 1 - descriptor))
    with pytest.raises(RuntimeError, match="must equal"):
        method.export(tmp_path)
    assert not list(tmp_path.iterdir())



RULES = (
    ImbalanceConfig(sampling=Sampling.BALANCED), ImbalanceConfig(weighting=Weighting.EFFECTIVE),
    ImbalanceConfig(loss=Loss.LDAM),
)


@pytest.mark.parametrize("name", ["hyperinvariances", "descriptor"])
def test_where_a_descriptor_is_given_nobody_is_told_of_a_choice(name: str) -> None:
    """The extractor of the toy has hardly been trained: its entries do nothing."""
    config: Any = config_class(name)
    searched = config().build(toy_context())
    given = {key.removeprefix("descriptor/"): 0.5 for key in searched.describe() if key.startswith("descriptor/")}
    for method, choices in ((searched, 1), (config(descriptor=given).build(toy_context()), 0)):
        told = [word for word in method.warnings() if word.startswith("entries that do nothing")]
        assert len(told) == choices


@pytest.mark.parametrize("rule", RULES)
def test_of_many_labels_the_rare_ones_are_kept(rule: ImbalanceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 900, 90 and 6 labels the 120 that are looked at hold one of the rarest, if any; under a rule all six."""
    monkeypatch.setattr(amortised, "MOST_LABELS", 120)
    loaded = []
    for config in (Config(epochs=1), Config(epochs=1, imbalance=rule)):
        method: Any = config.build(imbalanced_context(sizes=(600, 60, 4)))
        method.step()
        loaded.append(torch.bincount(method.task.targets.labels, minlength=3).tolist())
    assert loaded[0][2] < 6 and loaded[1] == [57, 57, 6]


def test_weights_and_margins_are_of_the_labels_that_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the 57, 57 and 6 had been all there are; and where all are looked at nothing changes."""
    monkeypatch.setattr(amortised, "MOST_LABELS", 120)
    y = torch.tensor([0, 1, 2])
    outputs = torch.tensor([[0.3, -0.2, 0.5]]).expand(3, -1)
    for rule in RULES[1:]:
        method: Any = Config(epochs=1, imbalance=rule).build(imbalanced_context(sizes=(600, 60, 4)))
        method.step()
        small = ImbalanceRule(imbalanced_context(sizes=(38, 38, 4)), rule)
        torch.testing.assert_close(method._rule.loss(outputs, y, 1.0), small.loss(outputs, y, 1.0))
        whole = ImbalanceRule(imbalanced_context(), rule)
        before = whole.loss(outputs, y, 1.0)
        whole.count(imbalanced_context().problem.labelled().y)
        assert torch.equal(whole.loss(outputs, y, 1.0), before)
