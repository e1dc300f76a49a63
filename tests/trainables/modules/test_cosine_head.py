"""The cosine classifier against a loop, in the networks it is put into, and where it cannot be."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.method import drawn
from trainables.methods.plain import Config
from trainables.modules import networks
from trainables.modules.amortised import ExtractorChoice
from trainables.modules.cosine_head import CosineHead, with_cosine_head
from trainables.modules.imbalance import ImbalanceConfig, Loss
from trainables.program import program

SCALE = 30.0


def test_outputs_are_cosines_times_the_scale() -> None:
    torch.manual_seed(0)
    head, x = CosineHead(5, 3, SCALE).double(), torch.randn(4, 5, dtype=torch.float64)
    outputs = head(x).tolist()
    for b in range(4):
        for k in range(3):
            pairs = list(zip(x[b].tolist(), head.weight[k].tolist(), strict=True))
            lengths = math.sqrt(sum(u * u for u, _ in pairs)) * math.sqrt(sum(v * v for _, v in pairs))
            assert outputs[b][k] == pytest.approx(SCALE * sum(u * v for u, v in pairs) / lengths, rel=1e-9)


def test_only_directions_count() -> None:
    torch.manual_seed(1)
    head, x = CosineHead(5, 3, SCALE), torch.randn(4, 5)
    before = head(x).detach()
    with torch.no_grad():
        head.weight *= torch.tensor([[0.1], [1.0], [50.0]])
    torch.testing.assert_close(head(7 * x).detach(), before)
    assert float(before.abs().max()) <= SCALE * (1 + 1e-6)


def test_dead_features_have_finite_derivatives_of_both_orders() -> None:
    head = drawn(lambda: CosineHead(5, 3, SCALE), seed=0)
    x = torch.zeros(2, 5, requires_grad=True)
    assert not head(x).any()
    (first,) = torch.autograd.grad(head(x).square().sum() + head(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), head.weight)
    assert bool(first.isfinite().all()) and bool(second.isfinite().all())


@pytest.mark.parametrize("name", ["small_cnn", "conv4", "mlp"])
def test_networks_get_the_head_and_keep_the_weights_below_it(name: str) -> None:
    shape, plain = (1, 8, 8), networks.builder(name)
    headed = with_cosine_head(plain, SCALE)
    bare, network, again = (drawn(lambda make=make: make(shape, 5), seed=3) for make in (plain, headed, headed))
    heads = [part for part in network.modules() if isinstance(part, CosineHead)]
    assert len(heads) == 1
    assert float(network(torch.rand(9, *shape)).detach().abs().max()) <= SCALE * (1 + 1e-6)
    ours, theirs = ([*made.state_dict().values()] for made in (network, bare))
    assert len(ours) == len(theirs) - 1, "the linear layer's weight and bias became one weight"
    assert all(torch.equal(a, b) for a, b in zip(ours[:-1], theirs[:-2], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(ours, again.state_dict().values(), strict=True)), "by the seed alone"
    torch.testing.assert_close(heads[0].weight.norm(dim=1), torch.ones(5))


def test_the_recipe_gives_it_to_ldam_alone_and_draws_it_by_the_context() -> None:
    ldam = Config(imbalance=ImbalanceConfig(loss=Loss.LDAM, scale=12.0))
    first, second, other = (ldam.network(toy_context(seed)) for seed in (0, 0, 1))
    (head,) = [part for part in first.modules() if isinstance(part, CosineHead)]
    assert head._scale == 12.0
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal([*first.parameters()][-1], [*other.parameters()][-1])
    assert not [part for part in Config().network(toy_context()).modules() if isinstance(part, CosineHead)]


def test_a_pretrained_trunk_gets_it_in_the_place_of_its_linear_head() -> None:
    plain, ldam = (
        Config(pretrained=ExtractorChoice(), imbalance=ImbalanceConfig(loss=loss)).network(toy_context())
        for loss in (Loss.CROSS_ENTROPY, Loss.LDAM)
    )
    assert isinstance(ldam.get_submodule("head"), CosineHead)
    below, theirs = (dict(made.get_submodule("trunk").named_parameters()) for made in (ldam, plain))
    assert below.keys() == theirs.keys() and all(torch.equal(below[name], theirs[name]) for name in below)


def test_a_network_that_is_one_linear_layer_becomes_the_head() -> None:
    made = with_cosine_head(lambda shape, outputs: nn.Linear(shape[0], outputs), SCALE)((4,), 3)
    assert isinstance(made, CosineHead) and made.weight.shape == (3, 4)


def test_a_network_with_the_head_can_be_taken_away() -> None:
    """The program is compared with the network where it is made."""
    network = with_cosine_head(networks.builder("small_cnn"), SCALE)((1, 8, 8), 5)
    assert program(network, (1, 8, 8))


@pytest.mark.parametrize(
    "last", [nn.Conv1d(1, 3, 1), nn.LayerNorm(3), nn.Linear(3, 4), nn.Bilinear(3, 3, 3)], ids=lambda m: type(m).__name__
)
def test_other_last_layers_are_refused(last: nn.Module) -> None:
    builder = with_cosine_head(lambda shape, outputs: nn.Sequential(nn.Linear(2, 3), last, nn.ReLU()), SCALE)
    with pytest.raises(UserError, match=rf"last layer.*\n?.*{type(last).__name__}"):
        builder((2,), 3)


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(UserError, match="last layer"):
        with_cosine_head(lambda shape, outputs: nn.Flatten(), SCALE)((2,), 3)
