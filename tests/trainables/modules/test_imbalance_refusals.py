"""What rules for imbalanced classes refuse, before any work and in the user's words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support.toy_problems import regression_toy
from tracking.errors import UserError
from trainables.contract_toy import toy_context, toy_tasks_context
from trainables.contract_trace import WatchedView
from trainables.method import Context
from trainables.methods import plain
from trainables.modules.imbalance import (
    ImbalanceConfig,
    ImbalanceRule,
    Loss,
)
from trainables.problems.problem import View


@pytest.mark.parametrize("settings", [{}, {"loss": "ldam"}, {"loss": "focal"}])
def test_a_delay_of_nothing_is_told(settings: dict[str, str]) -> None:
    """LDAM-DRW is `weighting` with a delay; the loss alone is there from the start."""
    with pytest.raises(ValueError, match="set `sampling` or `weighting`"):
        ImbalanceConfig.model_validate({**settings, "delay": 0.6})
    assert ImbalanceConfig.model_validate({**settings, "weighting": "effective", "delay": 0.6}).delay == 0.6


def view_without_classes() -> View:
    class Bare:
        def __init__(self, view: View) -> None:
            self.kind, self.shape, self.outputs = view.kind, view.shape, view.outputs

    return Bare(toy_context().problem)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "settings", [{"sampling": "balanced"}, {"weighting": "effective"}, {"loss": "ldam"}, {"loss": "focal"}]
)
@pytest.mark.parametrize(
    ("view", "got"),
    [
        (regression_toy().view(), "regression"), (toy_tasks_context().problem, "episodic"),
        (view_without_classes(), "class_sizes"),
    ],
    ids=["regression", "tasks", "a user's view"],
)
def test_a_rule_without_classes_is_refused_before_any_work(settings: dict[str, str], view: View, got: str) -> None:
    network = toy_context().network
    config = plain.Config.model_validate({"imbalance": settings})
    with pytest.raises(UserError, match=rf"imbalanced classes needs a classification problem(.|\n)*{got}"):
        config.fits(view, network)
    with pytest.raises(UserError, match="imbalanced classes"):
        ImbalanceRule(replace(toy_context(), problem=view), config.imbalance)
    plain.Config().fits(view, network)  # nothing is asked of the default
    toy = toy_context()
    config.fits(WatchedView(toy.problem), toy.network)  # type: ignore[arg-type] - a wrapped view has its classes


def test_ldam_asks_for_a_linear_last_layer_before_any_work() -> None:
    context: Context = toy_context()
    config = plain.Config(imbalance=ImbalanceConfig(loss=Loss.LDAM))
    config.fits(context.problem, context.network)
    with pytest.raises(UserError, match="last layer"):
        config.fits(context.problem, lambda shape, outputs: torch.nn.Flatten())


@pytest.mark.parametrize(
    "settings",
    [{"beta": 1.0}, {"beta": -0.1}, {"delay": 1.0}, {"scale": 0.0}, {"gamma": -1.0}, {"loss": "hinge"}, {"x": 1}],
)
def test_settings_outside_their_ranges_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ImbalanceConfig.model_validate(settings)
