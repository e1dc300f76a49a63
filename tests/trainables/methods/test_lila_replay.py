"""What LILA found is trained with as it was found: same copies, same prior, same precision of arithmetic."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from search.method_spec import MethodSpec
from tests.trainables.methods.test_lila import SMALL
from tracking.cost import Meter, Phase
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.methods import lila
from trainables.modules.augmentation import LearnedAffine
from trainables.modules.augmentation.standard import widths
from trainables.modules.marginal_likelihood import averaged_outputs
from trainables.problems.problem import LEARNABLE

FOUND = widths(LearnedAffine(start=0.3))


class Several(nn.Module):
    """Draws nothing: of each image the first copy is the image, the second what lies at the other end of [0, 1]."""

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        return torch.where((torch.arange(len(x)) % 2 == 0)[:, None, None, None], x, 1 - x)


def replay(copies: int) -> tuple[Any, Meter]:
    context = toy_context()
    return lila.Config(ranges=FOUND, copies=copies, batch_size=8).build(context), context.meter


def trained(method: Any) -> Tensor:
    """Its weights at the end."""
    while not method.step().done:
        pass
    return torch.cat([weight.detach().flatten() for weight in method.trunk.network.parameters()])


def test_a_replay_trains_on_outputs_averaged_over_copies_as_its_search_does() -> None:
    """By hand for two copies that are known: the gradient of the first update is that of the mean output."""
    method, _ = replay(2)
    method._augment, seen = Several().draw, []
    before, order = copy.deepcopy(method.trunk.network), method._order.clone_state()
    method.trunk.update = seen.append
    method._update()
    x, y = method._context.problem.draw(order, 8, *LEARNABLE)
    loss = nn.functional.cross_entropy(averaged_outputs(before, torch.stack((x, 1 - x), 1)), y)
    for wanted, gradient in zip(torch.autograd.grad(loss, list(before.parameters())), seen[0], strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_copies_of_a_replay_are_charged() -> None:
    """As many times the examples and, but for the step of the weights, the operations as there are copies."""
    costs = []
    for copies in (1, 4):
        method, meter = replay(copies)
        trained(method)
        costs.append(meter.ledger().phases[Phase.TRAIN])
    assert costs[1].examples == 4 * costs[0].examples
    assert 3.5 * costs[0].flops < costs[1].flops <= 4 * costs[0].flops


def test_a_replay_of_a_search_without_an_estimate_ends_where_the_search_did() -> None:
    """Same ranges, copies and prior, whatever the weight decay was; without the prior that was found it does not."""
    config = lila.Config.model_validate({**SMALL, "burn_in": 0.99, "weight_decay": 0.3})
    search: Any = config.build(toy_context())
    search._precision.fill_(20.0)
    ended, found = trained(search), search.found()
    assert found.prior_decay == pytest.approx(20.0 / search._examples)
    torch.testing.assert_close(trained(found.build(toy_context())), ended, rtol=1e-4, atol=1e-6)
    for other in ({"prior_decay": None}, {"prior_decay": 0.0}):
        moved = trained(found.model_copy(update=other).build(toy_context())) - ended
        assert float(moved.abs().max()) > 1e-3
    assert found.build(toy_context()).found() == found


def test_a_prior_that_was_found_is_on_weights_as_they_are_used() -> None:
    def normed(shape: tuple[int, ...], outputs: int) -> nn.Module:
        layer = nn.Linear(math.prod(shape), outputs)
        return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(layer))

    toy = toy_context()
    method: Any = lila.Config(ranges=FOUND, prior_decay=0.5).build(toy)
    method.trunk.network = normed(toy.problem.shape, toy.problem.outputs)
    layer = method.trunk.network[1]
    size = float(layer.weight.detach().square().sum() + layer.bias.detach().square().sum())
    assert float(method._objective(torch.ones(())).detach()) == pytest.approx(1 + 0.25 * size)


def test_a_prior_without_ranges_and_a_network_without_its_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="`prior_decay` is of a training through ranges"):
        lila.Config(prior_decay=0.1)
    toy, given = toy_context(), lila.Config(ranges=FOUND, prior_decay=0.1)
    given.fits(toy.problem, toy.network)
    bare = lambda shape, outputs: nn.Sequential(nn.Flatten(), nn.RNN(math.prod(shape), outputs))  # noqa: E731
    with pytest.raises(UserError, match="linear or convolution layers"):
        given.fits(toy.problem, bare)
    given.model_copy(update={"prior_decay": None}).fits(toy.problem, bare)


def test_of_what_is_given_nothing_is_tuned() -> None:
    def tuned(**settings: Any) -> set[str]:
        return set(MethodSpec(name="lila", settings=settings).space().root)

    assert tuned() == {"learning_rate", "weight_decay", "augmentation_learning_rate"}
    assert tuned(ranges=FOUND) == {"learning_rate", "weight_decay"}
    assert tuned(ranges=FOUND, prior_decay=0.1) == {"learning_rate"}


def test_a_search_computes_its_updates_in_the_precision_that_is_asked_for_and_its_estimate_in_full() -> None:
    """As a replay does."""
    ends, estimates = {}, []
    for precision in ("full", "mixed"):
        settings = {**SMALL, "precision": precision}
        method: Any = lila.Config.model_validate(settings).build(toy_context())
        estimates.append(float(method._widen()))
        method._update()
        ends[precision] = [weight.detach().clone() for weight in method.trunk.network.parameters()]
    assert estimates[0] == estimates[1]
    gaps = [float((one - other).abs().max()) for one, other in zip(*ends.values(), strict=True)]
    assert 0 < max(gaps) < 0.01


def test_a_search_compiles_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second call on, see `fast_stem`."""
    compiled: list[nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda network: compiled.append(network) or network)
    for wanted in ("off", "on"):
        method: Any = lila.Config.model_validate({**SMALL, "compiling": wanted}).build(toy_context())
        trained(method)
        assert compiled == ([] if wanted == "off" else [method.trunk.network])
