"""Hard flips and the choice of one operation."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest, chisquare

from spaces.transforms import Operation
from tests.trainables.modules.augmentation.layers import inputs, made, noise
from tracking.errors import UserError
from trainables.modules.augmentation import LearnedAffine, LearnedFlip, Selection, SelectLayer


def test_flips_are_whole_and_as_frequent_as_learned() -> None:
    """p = 0.3 in 2,000 images, at 0.1 % false alarms; and 0.4 is rejected."""
    layer, x = LearnedFlip(start=0.6).double(), inputs("flip", 1).expand(2000, -1, -1, -1)
    out = layer(x, noise(layer, len(x))).detach()
    flipped = (out - x.flip(-1)).abs().amax((1, 2, 3)) < 1e-12
    same = (out - x).abs().amax((1, 2, 3)) < 1e-12
    assert bool((flipped ^ same).all())
    assert binomtest(int(flipped.sum()), 2000, 0.3).pvalue > 1e-3
    assert binomtest(int(flipped.sum()), 2000, 0.4).pvalue < 1e-3


def test_the_gradient_of_a_flip_is_the_difference_it_makes() -> None:
    layer, x = LearnedFlip(start=0.5).double(), inputs("flip", 2000)
    weights = inputs("flip", 2000, seed=3)
    loss = (layer(x, noise(layer, len(x))) * weights).sum()
    (gradient,) = torch.autograd.grad(loss, layer.ranges.logits)
    difference = ((x.flip(-1) - x) * weights).sum()  # d/dp of the expectation, exactly, as the loss is linear
    slope = 0.5 * 0.25  # dp/dlogit at a share of one half
    torch.testing.assert_close(gradient[0], difference * slope)


def test_a_soft_choice_is_a_mixture_and_in_use_one_operation_by_weight() -> None:
    layer, x = made("soft", 0.5), inputs("soft", 1).expand(3000, -1, -1, -1)
    assert isinstance(layer, SelectLayer)
    with torch.no_grad():
        layer.logits.add_(torch.linspace(0, 0.02, 6, dtype=torch.float64))
    layer.eval()
    eps = noise(layer, len(x))
    out = layer(x, eps)
    alone = torch.eye(6, dtype=torch.float64)
    each = torch.stack([layer.layer.augment(x, eps[:, :6], alone[k].expand(len(x), -1)) for k in range(6)])
    near = (each - out).detach().abs().amax((2, 3, 4)) < 1e-12  # (6, B)
    assert bool((near.sum(0) >= 1).all())
    counts = near[:, near.sum(0) == 1].sum(1)
    expected = layer.gates.detach() * counts.sum()
    assert chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-3
    assert chisquare(counts.numpy(), expected.flip(0).numpy()).pvalue < 1e-3, "negative control"
    layer.train()
    mixture = torch.einsum("k,kb...->b...", layer.gates, each)
    torch.testing.assert_close(layer(x, eps), mixture)


def test_a_gumbel_choice_learns_which_operation_lowers_a_loss() -> None:
    """The loss is the squared distance to the input; the operation with the shortest reach should win."""
    torch.manual_seed(0)
    layer = SelectLayer(
        LearnedAffine((Operation.ROTATION, Operation.TRANSLATE_X), start=(0.5, 0.001)), 1.0, Selection.GUMBEL
    ).double()
    x = inputs("affine", 64)
    optimiser = torch.optim.Adam([layer.logits], lr=0.1)
    for step in range(60):
        optimiser.zero_grad()
        (layer(x, noise(layer, len(x), seed=step)) - x).square().sum().backward()
        optimiser.step()
    assert float(layer.gates[1].detach()) > 0.8
    assert not bool(layer.layer.learned()[0].at_cap)


def test_training_by_gumbel_takes_one_operation_per_input() -> None:
    layer, x = SelectLayer(LearnedAffine(start=0.5), mode=Selection.GUMBEL).double(), inputs("affine")
    eps = noise(layer, len(x))
    in_training = layer(x, eps)
    layer.eval()
    torch.testing.assert_close(layer(x, eps), in_training)


def test_what_is_drawn_is_one_operation_also_in_training() -> None:
    """The distribution as it is used: a mixture would be a blend of six images."""
    layer, x = made("soft", 0.5), inputs("soft", 40)
    assert isinstance(layer, SelectLayer) and layer.training
    drawn = layer.draw(x.float(), torch.Generator().manual_seed(0))
    eps = layer.sample(len(x), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn, layer.eval()(x.float(), eps))
    layer.train()
    assert not torch.allclose(drawn, layer(x.float(), eps), atol=1e-3), "negative control"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"0\.001 at least"):
        SelectLayer(LearnedAffine(), 0.0)
    with pytest.raises(UserError, match="each of its operations once"):
        LearnedFlip((Operation.ROTATION,))
