"""AugNet: what the reward and the penalty do; what is found on a planted rotation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support.toy_problems import signal_toy
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import run, steps, with_view
from trainables.methods.augnet import AugNet, Config


def widths(config: Config, horizon: int = 60) -> dict[str, float]:
    method = config.build(replace(toy_context(), horizon=horizon, slice_updates=10))
    assert isinstance(method, AugNet)
    for _ in steps(method):
        pass
    return {name: value for name, value in method.describe().items() if "/width" in name}


def test_reward_widens_and_penalty_narrows() -> None:
    start = widths(Config(augmentation_learning_rate=1e-9))
    wide = widths(Config(reward=5.0, decay=0.0, augmentation_learning_rate=0.1))
    narrow = widths(Config(reward=0.0, decay=5.0, augmentation_learning_rate=0.1))
    assert max(wide[name] / start[name] for name in start) > 2
    assert all(narrow[name] < start[name] for name in start)


def test_one_batch_of_gradient_evaluations_per_update() -> None:
    context = toy_context()
    run(Config(batch_size=16), context)
    phases = context.meter.ledger().phases
    assert phases[Phase.TRAIN].examples == context.horizon * 16
    assert phases[Phase.SEARCH].flops == 0, "joint training has no phase of its own for the search"


def test_starts_from_the_weights_of_plain_training() -> None:
    context = toy_context()
    method = Config().build(context)
    x = context.problem.unlabelled(torch.Generator().manual_seed(0), 4)
    assert torch.equal(method.predict(x), context.build_network()(x))


def test_signals_are_refused_in_the_users_words() -> None:
    with pytest.raises(UserError, match="augnet needs images"):
        Config().build(with_view(toy_context(), signal_toy().view()))
