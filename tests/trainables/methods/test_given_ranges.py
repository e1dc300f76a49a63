"""Ranges, or a policy of AugNet, given in place of a search: asked about before work, and all that is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator

from search.method_spec import MethodSpec
from tests.support.toy_problems import signal_toy
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.method import MethodConfig
from trainables.methods import augerino, augnet, fixed_ranges, instance_ranges, learned_ranges, lila
from trainables.modules.augmentation import LearnedAffine, LieAffine, SelectLayer
from trainables.modules.augmentation.affine import FARTHEST, GENERATORS
from trainables.modules.augmentation.standard import set_widths, standard_layer, widths
from trainables.problems.problem import Kind, View

OF = {
    "learned_ranges": widths(standard_layer(toy_context().problem.shape)),
    "augerino": widths(LieAffine()), "lila": widths(LearnedAffine()),
}
TURNS = {"operation": "rotation", "weight": 1.0, "magnitude": 0.5, "limit": 30.0}
GIVEN = {**{name: {"ranges": ranges} for name, ranges in OF.items()}, "augnet": {"policy": {"entries": [TURNS]}}}


class Measured:
    """Another problem's images, as if their targets were measured."""

    kind = Kind.REGRESSION

    def __init__(self, view: View) -> None:
        self._view = view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


def refused(config: MethodConfig, match: str) -> None:
    toy = toy_context()
    with pytest.raises(UserError, match=match):
        config.fits(toy.problem, toy.network)
    with pytest.raises(UserError, match=match):
        config.build(toy)


def config_of(name: str, **settings: Any) -> MethodConfig:
    return MethodSpec(name=name, settings=settings).config_class().model_validate(settings)


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_leaves_the_training_alone_to_tune(name: str) -> None:
    searched = set(MethodSpec(name=name).space().root)
    assert searched > {"learning_rate", "weight_decay"}
    assert set(MethodSpec(name=name, settings=GIVEN[name]).space().root) == {"learning_rate", "weight_decay"}


@pytest.mark.parametrize("name", OF)
def test_ranges_that_are_not_those_of_the_layer_are_refused_before_work(name: str) -> None:
    toy, ranges = toy_context(), OF[name]
    config_of(name, ranges=ranges).fits(toy.problem, toy.network)
    for wrong in ({}, {"rotation": 0.1}, {**ranges, "foo": 0.1}):
        refused(config_of(name, ranges=wrong), "name each operation once")
    refused(config_of(name, ranges={**ranges, "rotation": 0.0}), "between 0 and its cap")
    refused(config_of(name, ranges={**ranges, "rotation": 1e6}), "between 0 and its cap|means nothing")


def test_strengths_of_generators_end_where_their_exponentials_do() -> None:
    """All six at the farthest are numbers still; a cap may not lie beyond it either."""
    layer, x = LieAffine([FARTHEST] * 6), torch.rand(8, 1, 8, 8, generator=Generator().manual_seed(0))
    set_widths(layer, dict.fromkeys(GENERATORS, FARTHEST))
    corners = torch.randint(2, (8, 6), generator=Generator().manual_seed(1)).float()
    corners[0] = 1.0
    moved = layer.augment(x, corners)
    assert bool(moved.isfinite().all())
    assert bool(torch.autograd.grad(moved.sum(), layer.ranges.logits)[0].isfinite().all())
    with pytest.raises(UserError, match="means nothing"):
        set_widths(layer, {**dict.fromkeys(GENERATORS, 1.0), "scale": 1.01 * FARTHEST})
    with pytest.raises(UserError, match="means nothing"):
        LieAffine([FARTHEST] * 5 + [1e6])


def test_lila_of_real_targets_is_refused_before_work() -> None:
    toy = toy_context()
    view: Any = Measured(toy.problem)
    with pytest.raises(UserError, match="lila needs classes"):
        lila.Config().fits(view, toy.network)
    with pytest.raises(UserError, match="lila needs classes"):
        lila.Config().build(replace(toy, problem=view))


@pytest.mark.parametrize(("limit", "width"), [(30.0, 15.0), (None, 15.0), (180.0, 90.0)])
def test_a_given_policy_is_told_in_its_own_units(limit: float | None, width: float) -> None:
    """None is the operation's own limit, 30 degrees; the layer's is 180."""
    config = config_of("augnet", policy={"entries": [{**TURNS, "limit": limit}]})
    method: Any = config.build(toy_context())
    assert method.describe() == pytest.approx({"rotation/width_deg": width, "rotation/weight": 1.0})
    assert method.policy.physical()["policy/rotation/range_deg"] == pytest.approx(width)


@pytest.mark.parametrize("entries", [
    [{"operation": "flip_horizontal", "weight": 1.0}], [{"operation": "hue", "weight": 1.0}],
    [{"operation": "rotation", "weight": 0.5, "limit": limit} for limit in (10.0, 20.0)],
])
def test_a_policy_that_augnet_could_not_find_is_refused_before_work(entries: list[dict[str, Any]]) -> None:
    refused(config_of("augnet", policy={"entries": entries}), "its operations, each once")


def test_a_temperature_that_is_no_choice_is_refused_where_it_is_written() -> None:
    """At the lowest that is taken a step is a step."""
    for cold in (1e-300, 1e-39, 9e-4):
        with pytest.raises(ValueError, match=r"greater than or equal to 0\.001"):
            augnet.Config(temperature=cold)
        with pytest.raises(UserError, match=r"0\.001 at least"):
            SelectLayer(LearnedAffine(), cold)
    method: Any = augnet.Config(temperature=1e-3, batch_size=8).build(toy_context())
    method.step()
    assert sum(value for name, value in method.describe().items() if "weight" in name) == pytest.approx(1.0)


@pytest.mark.parametrize("module", [learned_ranges, instance_ranges, fixed_ranges])
def test_a_sampling_rate_is_of_signals(module: Any) -> None:
    toy, heard = toy_context(), signal_toy().view()
    with pytest.raises(UserError, match="`sample_rate` is of signals"):
        module.Config(sample_rate=100.0).fits(toy.problem, toy.network)
    module.Config().fits(toy.problem, toy.network)
    signals = {"ranges": {"noise": 0.1}} if module is fixed_ranges else {}
    module.Config(sample_rate=100.0, **signals).fits(heard, toy.network)


def test_augerino_is_of_images() -> None:
    with pytest.raises(UserError, match="augerino needs images"):
        augerino.Config().fits(signal_toy().view(), toy_context().network)
