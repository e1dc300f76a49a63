"""One estimate of LILA by hand: whose labels, of how many examples, how far the ranges move, what is charged."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.methods.test_lila import SMALL
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.methods import lila
from trainables.modules.kronecker import signs
from trainables.modules.marginal_likelihood import Evidence, evidence
from trainables.modules.networks import builder
from trainables.problems.problem import LEARNABLE

BLOCK, COPIES, HORIZON = 6, 2, 20
RATE = 0.2  # Adam's


def method_at(cursor: int, **settings: Any) -> Any:
    made: Any = lila.Config.model_validate({**SMALL, **settings}).build(replace(toy_context(), horizon=HORIZON))
    made.trunk.cursor = cursor
    return made


def test_an_estimate_is_of_a_block_with_its_own_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges next to nothing: every copy is its image."""
    method = method_at(0, initial_range=1e-6)
    x, y = method._context.problem.draw(method._search.clone_state(), BLOCK, *LEARNABLE)
    assert method._config.batch_size != BLOCK and not torch.equal(y, y.flip(0)), "or nothing would be told apart"
    seen: list[tuple[Tensor, Tensor]] = []

    def told(network: Any, copies: Tensor, labels: Tensor, examples: int, probes: Tensor) -> Evidence:
        seen.append((copies.detach(), labels))
        return evidence(network, copies, labels, examples, probes)

    monkeypatch.setattr(lila, "evidence", told)
    method._widen()
    copies, labels = seen[0]
    assert torch.equal(labels, y)
    torch.testing.assert_close(copies, x.unsqueeze(1).expand(-1, COPIES, *x.shape[1:]), rtol=0, atol=1e-3)


def test_an_estimate_ascends_the_marginal_likelihood_at_the_precision_it_went_to() -> None:
    method = method_at(0)
    order, noise = method._search.clone_state(), method._noise.clone_state()
    x, y = method._context.problem.draw(order, BLOCK, *LEARNABLE)
    layer, many = copy.deepcopy(method.layer), x.repeat_interleave(COPIES, 0)
    probes = signs(order, BLOCK, 3, torch.device("cpu"))
    copies = layer.augment(many, layer.sample(len(many), noise)).view(BLOCK, COPIES, *x.shape[1:])
    found = evidence(copy.deepcopy(method.trunk.network), copies, y, method._examples, probes)
    start = method._precision.clone()
    value = found.value((start * found.best_precision(start)).sqrt())
    (expected,) = torch.autograd.grad(value, [layer.ranges.logits])
    seen: list[Tensor] = []
    method._adam.update = lambda gradients, scale: seen.extend(gradients)
    assert float(method._widen()) == pytest.approx(float(value.detach()), rel=1e-5)
    torch.testing.assert_close(-seen[0], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("learning_rate", [0.1, 0.3])
@pytest.mark.parametrize(("cursor", "share"), [(0, 1.0), (10, 0.5), (15, 0.1464)])
def test_ranges_come_to_rest_with_the_network(
    cursor: int, share: float, learning_rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam's first step, at the share of its learning rate that the network has of its own, whatever that is."""
    method = method_at(cursor, learning_rate=learning_rate, augmentation_learning_rate=RATE)
    logits = method.layer.ranges.logits
    slopes = torch.tensor([1.0, -1.0, 2.0, -0.5, 0.1, -3.0])
    monkeypatch.setattr(lila, "evidence", lambda *_: Evidence(
        (logits * slopes).sum(), torch.tensor(9.0), torch.ones(1), method._examples,
    ))
    before = logits.detach().clone()
    method._widen()
    torch.testing.assert_close(logits.detach() - before, RATE * share * slopes.sign(), rtol=1e-3, atol=1e-6)


def test_an_estimate_is_charged_as_three_passes_of_its_copies() -> None:
    """And that is about what its operations grow by with its block, those of an update being one pass of each."""
    flops: list[tuple[int, int]] = []
    for size in (8, 16):  # eigenvalues cost the same for any block
        toy = replace(toy_context(), network=builder("small_cnn"), horizon=HORIZON)
        settings = {**SMALL, "block": size, "batch_size": size, "copies": 4}
        method: Any = lila.Config.model_validate(settings).build(toy)
        method._widen()
        method._update()
        phases = toy.meter.ledger().phases
        update, estimate = phases[Phase.TRAIN], phases[Phase.SEARCH]
        assert update.examples == 4 * size and estimate.examples == 3 * 4 * size
        flops.append((update.flops, estimate.flops))
    (few, little), (many, much) = flops
    assert 2 * (many - few) < much - little < 4 * (many - few)


@pytest.mark.parametrize("coupling", [nn.BatchNorm2d(4), nn.Dropout(0.5)])
def test_networks_that_couple_examples_or_draw_are_refused(coupling: nn.Module) -> None:
    """Factors are of examples that do not know of each other; a replay knows of none."""
    def network(shape: tuple[int, ...], outputs: int) -> nn.Module:
        pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs))
        return nn.Sequential(nn.Conv2d(shape[0], 4, 3), copy.deepcopy(coupling), *pooled)

    toy, config = toy_context(), lila.Config.model_validate(SMALL)
    for ask in (lambda: config.fits(toy.problem, network), lambda: config.build(replace(toy, network=network))):
        with pytest.raises(UserError, match="the network of the marginal likelihood must give the same loss"):
            ask()
    ranges = config.build(toy).found().ranges  # type: ignore[attr-defined]
    config.model_copy(update={"ranges": ranges}).fits(toy.problem, network)
