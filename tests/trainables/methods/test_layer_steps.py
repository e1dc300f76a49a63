"""One update of every method that trains a layer with the network, against its objective written out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from trainables.contract_toy import toy_context
from trainables.method import MethodConfig
from trainables.methods import augerino, augnet, learned_ranges
from trainables.modules.augmentation import Ranges
from trainables.problems.problem import LEARNABLE

SIZE = 16


def shares(layer: Any) -> Tensor:
    """(Q,) by a layer's free parameters, in order."""
    return torch.cat([part.logits.sigmoid() for part in layer.modules() if isinstance(part, Ranges)])


def augnets(layer: Any, config: augnet.Config) -> Tensor:
    """- reward || mu w ||_2 + decay (|| mu ||^2 + || a ||^2) / 2."""
    mu, w = shares(layer), (layer.logits / config.temperature).softmax(0)
    penalty = (mu.square().sum() + layer.logits.square().sum()) / 2
    return config.decay * penalty - config.reward * (mu * w).square().sum().sqrt()


def augerinos(layer: Any, config: augerino.Config) -> Tensor:
    """- reward || 2 r ||_2, r = 5 softplus(theta)."""
    return -config.reward * (2 * 5 * softplus(layer.ranges.logits)).square().sum().sqrt()


def logarithms(layer: Any, config: learned_ranges.Config) -> Tensor:
    """- reward sum_k log s_k."""
    return -config.reward * shares(layer).log().sum()


CASES: list[tuple[MethodConfig, Callable[[Any, Any], Tensor]]] = [
    (augnet.Config(batch_size=SIZE, decay=0.3), augnets),
    (augnet.Config(batch_size=SIZE, temperature=0.1, augmentation_learning_rate=0.02), augnets),
    (augerino.Config(batch_size=SIZE), augerinos),
    (learned_ranges.Config(batch_size=SIZE), logarithms),
]
IDS = ["augnet", "augnet-warm", "augerino", "learned_ranges"]


def begun(config: MethodConfig) -> Any:
    """Its method, with ranges and choices apart from each other and from where they start."""
    method: Any = config.build(toy_context())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in method.layer.named_parameters():
            apart = 0.005 if name == "logits" else 0.5  # a choice at a temperature of .01 is soon made
            parameter += apart * torch.randn(parameter.shape, generator=generator)
    method._patience = None  # or the layer would wait for the network
    return method


def by_hand(method: Any, paid: Callable[[Any], Tensor]) -> list[Tensor]:
    """d (CE + paid) / d parameter for the next batch; draws from copies of the method's streams."""
    x, y = method._context.problem.draw(method._order.clone_state(), SIZE, *LEARNABLE)
    layer = copy.deepcopy(method.layer)
    moved = layer(x, layer.sample(SIZE, method._noise.clone_state()))
    loss = cross_entropy(copy.deepcopy(method.trunk.network)(moved), y)
    return list(torch.autograd.grad(loss + paid(layer), list(layer.parameters())))


@pytest.mark.parametrize(("config", "paid"), CASES, ids=IDS)
def test_an_update_descends_the_objective_by_adams_first_step(config: Any, paid: Callable[[Any, Any], Tensor]) -> None:
    """The whole gradient as written out, not the loss's alone; each parameter moves by its own learning rate."""
    method = begun(config)
    expected = by_hand(method, lambda layer: paid(layer, config))
    unpaid = by_hand(method, lambda layer: 0.0 * shares(layer).sum() + 0.0 * sum(p.sum() for p in layer.parameters()))
    update, seen = method._adam.update, []
    method._adam.update = lambda gradients, **rest: (seen.append(gradients), update(gradients, **rest))
    before = [parameter.detach().clone() for parameter in method.layer.parameters()]
    method._update()
    rate = config.augmentation_learning_rate
    for k, (name, parameter) in enumerate(method.layer.named_parameters()):
        (place,) = [j for j, one in enumerate(method._learned) if one is parameter]
        gradient = seen[0][place]
        torch.testing.assert_close(gradient, expected[k], rtol=1e-3, atol=1e-6)
        assert not torch.allclose(gradient, unpaid[k], rtol=0.02, atol=1e-6), "negative control"
        step = rate * config.temperature if name == "logits" else rate
        torch.testing.assert_close(parameter.detach(), before[k] - step * gradient.sign(), rtol=0, atol=step * 1e-2)


def test_a_reward_of_augerino_ends_at_the_published_width() -> None:
    """At half-widths beyond 5 the objective is the loss alone."""
    config = augerino.Config(batch_size=SIZE)
    method = begun(config)
    method.layer.ranges.set_widths([6.0] * 6)
    expected = by_hand(method, lambda layer: 0.0 * layer.ranges.logits.sum())
    seen: list[Any] = []
    method._adam.update = lambda gradients, **rest: seen.append(gradients)
    method._update()
    torch.testing.assert_close(seen[0][0], expected[0], rtol=1e-3, atol=1e-6)
