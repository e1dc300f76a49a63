"""What every learned augmentation layer must do, whatever it transforms."""

from __future__ import annotations

import copy

import pytest
import torch
from scipy.stats import kstest
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.trainables.modules.augmentation.layers import LAYERS, inputs, made, noise
from tracking.errors import UserError
from trainables.modules.augmentation import AugmentationLayer, Reward, range_reward
from trainables.modules.augmentation.ranged import RangedLayer

every = pytest.mark.parametrize("name", LAYERS)
HARD = {"flip", "gumbel", "composed"}  # hard decisions: their gradient is not the derivative


@every
def test_range_zero_is_the_identity(name: str) -> None:
    layer, x = made(name, 1e-9), inputs(name)
    torch.testing.assert_close(layer(x, noise(layer, len(x))), x, rtol=0, atol=1e-6)
    wide = made(name, 0.9)
    assert float((wide(x, noise(wide, len(x))) - x).detach().abs().max()) > 1e-3, "negative control"


@every
@pytest.mark.parametrize("share", [1e-4, 0.125, 0.99])
def test_no_range_has_a_dead_gradient(name: str, share: float) -> None:
    layer, x = made(name, share), inputs(name, 16)
    loss = layer(x, noise(layer, len(x))).pow(3).sum()
    for gradient in torch.autograd.grad(loss, list(layer.parameters())):
        assert bool(gradient.isfinite().all())
        assert bool((gradient != 0).all()), gradient


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - HARD))
def test_gradients_are_finite_differences(name: str) -> None:
    layer, x = made(name, 0.3), inputs(name)
    eps = noise(layer, len(x))
    names = [parameter for parameter, _ in layer.named_parameters()]

    def loss(*values: Tensor) -> Tensor:
        called = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, eps))
        squares: Tensor = called.square().sum()
        return squares + _reward_at(layer, dict(zip(names, values, strict=True)))

    values = tuple(value.detach().clone().requires_grad_() for value in layer.parameters())
    assert torch.autograd.gradcheck(loss, values, eps=1e-7, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["affine", "lie", "colour"])
def test_strengths_are_uniform_in_their_ranges(name: str) -> None:
    """Kolmogorov-Smirnov at 1e-4 for each of 16 operations; ranges wider by a fifth are rejected."""
    layer = made(name, 0.3)
    assert isinstance(layer, RangedLayer)
    drawn = layer.strengths(noise(layer, 3000), None, torch.float64).detach().numpy()
    for values, one in zip(drawn.T, layer.learned(), strict=True):
        assert kstest(values, "uniform", (one.low, one.high - one.low)).pvalue > 1e-4
        assert kstest(values, "uniform", (1.2 * one.low, 1.2 * (one.high - one.low))).pvalue < 1e-4


def _reward_at(layer: AugmentationLayer, values: dict[str, Tensor]) -> Tensor:
    class Paid(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self) -> Tensor:
            return range_reward(self.layer, Reward.LOG) + range_reward(self.layer, Reward.WEIGHTED_NORM)

    at: Tensor = torch.func.functional_call(Paid(), {f"layer.{name}": value for name, value in values.items()}, ())
    return at


@every
def test_each_input_has_its_own_noise(name: str) -> None:
    layer, x = made(name, 0.5), inputs(name)
    eps, order = noise(layer, len(x)), torch.tensor([2, 0, 1])
    torch.testing.assert_close(layer(x[order], eps[order]), layer(x, eps)[order])
    assert not torch.allclose(layer(x, eps[order]), layer(x, eps)), "negative control"


@every
def test_the_input_is_left_alone_and_the_same_noise_gives_the_same_output(name: str) -> None:
    layer, x = made(name, 0.5), inputs(name)
    before, eps = x.clone(), noise(layer, len(x))
    assert torch.equal(layer(x, eps), layer(x, eps))
    assert torch.equal(x, before)
    assert torch.equal(noise(layer, 3, seed=7), noise(layer, 3, seed=7))
    assert not torch.equal(noise(layer, 3, seed=7), noise(layer, 3, seed=8))


@every
def test_one_graph_without_breaks(name: str) -> None:
    """Nothing reads a value on the host: a break in the graph raises under `fullgraph`."""
    layer, x = made(name, 0.5), inputs(name)
    eps = noise(layer, len(x))
    torch.compiler.reset()  # one function's graphs for all layers count together otherwise
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, eps), layer(x, eps))


@every
def test_mapped_over_candidates(name: str) -> None:
    """`torch.func.vmap` over stacked parameters is a loop over layers."""
    layers = [made(name, share) for share in (0.1, 0.4, 0.8)]
    x = inputs(name)
    eps = noise(layers[0], len(x))
    stacked, buffers = torch.func.stack_module_state(layers)

    def one(parameters: dict[str, Tensor], held: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layers[0], {**parameters, **held}, (x, eps))

    together = torch.func.vmap(one)(stacked, buffers)
    torch.testing.assert_close(together, torch.stack([layer(x, eps) for layer in layers]))


@every
def test_gradients_are_mapped_over_candidates(name: str) -> None:
    """`vmap` of `grad`, in training and in use, is a loop over layers: nothing reads a value on the host."""
    layers, x = [made(name, share) for share in (0.2, 0.6)], inputs(name)
    eps = noise(layers[0], len(x))
    stacked, buffers = torch.func.stack_module_state(layers)

    def loss(parameters: dict[str, Tensor], held: dict[str, Tensor]) -> Tensor:
        called = torch.func.functional_call(layers[0], {**parameters, **held}, (x, eps))
        cubes: Tensor = called.pow(3).sum()
        return cubes

    for training in (True, False):
        for layer in layers:
            layer.train(training)
        together = torch.func.vmap(torch.func.grad(loss))(stacked, buffers)
        for index, layer in enumerate(layers):
            alone = torch.autograd.grad(layer(x, eps).pow(3).sum(), list(layer.parameters()), materialize_grads=True)
            for (parameter, _), gradient in zip(layer.named_parameters(), alone, strict=True):
                torch.testing.assert_close(together[parameter][index], gradient)


@every
def test_an_average_of_weights_averages_the_free_parameters(name: str) -> None:
    """The average lies between, and is a working layer; torch's own averaging needs no help of ours."""
    layer = made(name, 0.2)
    average = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    average.update_parameters(layer)
    wider = copy.deepcopy(layer)
    wider.load_state_dict(made(name, 0.7).state_dict())
    average.update_parameters(wider)
    assert isinstance(average.module, AugmentationLayer)
    shares = average.module.shares
    assert bool((shares > 0.2 - 1e-6).all()) and bool((shares < 0.7).all())
    assert bool((shares > layer.shares).any())


@every
def test_half_precision_regions_and_what_was_learned(name: str) -> None:
    layer, x = LAYERS[name](), inputs(name).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = layer(x, layer.sample(len(x), Generator().manual_seed(0)))
    plain = layer(x, layer.sample(len(x), Generator().manual_seed(0)))
    torch.testing.assert_close(seen.float(), plain, rtol=0, atol=1e-5)
    learned = layer.learned()
    assert len(learned) == len(layer.shares) == len(layer.gates)
    assert all(one.high <= one.cap and one.low in (-one.high, 0.0, one.high) for one in learned)
    assert not any(one.at_cap for one in learned)
    assert all(one.at_cap for one in made(name, 0.96).learned())
    assert not any(one.at_cap for one in made(name, 0.94).learned())


@every
def test_integers_are_refused(name: str) -> None:

    layer, x = LAYERS[name](), (255 * inputs(name)).to(torch.uint8)
    with pytest.raises(UserError, match="divide 8-bit images by 255"):
        layer(x, layer.sample(len(x), Generator().manual_seed(0)))
