"""Copies, their averages, rewards, and a training loop of somebody else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import nll_loss

from spaces.transforms import Operation
from tests.trainables.modules.augmentation.layers import inputs
from tracking.errors import UserError
from trainables.modules.augmentation import (
    Aggregate,
    AugmentationLayer,
    Compose,
    InvariantModel,
    LearnedAffine,
    LearnedColor,
    LearnedFlip,
    Parametrisation,
    Reward,
    SelectLayer,
    range_reward,
)
from trainables.modules.augmentation.invariant_model import averaged
from trainables.modules.networks import mlp

aggregates = pytest.mark.parametrize("aggregate", list(Aggregate))


def model(copies: int = 4, aggregate: Aggregate = Aggregate.LOGPROB, share: float = 0.3) -> InvariantModel:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 12, 5))
    return InvariantModel(trunk, LearnedAffine(start=share), copies, copies, aggregate).double()


@aggregates
@pytest.mark.parametrize("copies", [1, 2, 7])
def test_outputs_are_normalised_for_any_number_of_copies(aggregate: Aggregate, copies: int) -> None:
    made, x = model(copies, aggregate), inputs("affine")
    out = made(x, made.sample(len(x), Generator().manual_seed(0)).double())
    torch.testing.assert_close(out.exp().sum(-1), torch.ones(len(x), dtype=torch.float64))


@aggregates
@pytest.mark.parametrize("copies", [2, 3])
def test_copies_are_averaged_as_they_say(aggregate: Aggregate, copies: int) -> None:
    outputs = torch.randn(copies, 2, 4, generator=Generator().manual_seed(0), dtype=torch.float64)
    p = outputs.softmax(-1)
    product = p.log().mean(0).exp()
    by_hand = {
        Aggregate.LOGPROB: product / product.sum(-1, keepdim=True), Aggregate.PROB: p.mean(0),
        Aggregate.LOGIT: outputs.mean(0).softmax(-1),
    }
    torch.testing.assert_close(averaged(outputs, aggregate).exp(), by_hand[aggregate])
    one = averaged(outputs[:1], aggregate)
    torch.testing.assert_close(one, outputs[0].log_softmax(-1))


def test_the_variance_over_draws_falls_with_the_number_of_copies() -> None:
    """1 / C for a mean of logits; 400 draws, so the ratio of two variances is within 1.6 with 99.9 %."""
    x, variances = inputs("affine", 1), {}
    for copies in (1, 16):
        made = model(copies, Aggregate.LOGIT).eval()
        g = Generator().manual_seed(0)
        with torch.no_grad():
            draws = torch.stack([
                made.trunk(made.augmentation.draw(x.expand(copies, -1, -1, -1), g)).mean(0) for _ in range(400)
            ])
        variances[copies] = float(draws.var(0).mean())
    assert 16 / 1.6 < variances[1] / variances[16] < 16 * 1.6


@aggregates
def test_half_precision_outputs_are_normalised(aggregate: Aggregate) -> None:
    """In bfloat16 itself they sum to one within 7e-3 only."""
    x = inputs("affine").to(torch.bfloat16)
    made = model(8, aggregate).to(torch.bfloat16)
    out = made(x, made.sample(len(x), Generator().manual_seed(0)))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.exp().sum(-1), torch.ones(len(x)), rtol=0, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(8, aggregate).float()
        seen = mixed(inputs("affine").float(), mixed.sample(len(x), Generator().manual_seed(0)))
    torch.testing.assert_close(seen.exp().sum(-1), torch.ones(len(x)), rtol=0, atol=1e-6)


def test_a_step_is_one_graph() -> None:
    """Model and reward: nothing in a training step's loss reads a value on the host."""
    made, x = model(), inputs("affine")
    noise = made.sample(len(x), Generator().manual_seed(0)).double()

    def loss(x: Tensor, noise: Tensor) -> Tensor:
        return nll_loss(made(x, noise), torch.arange(len(x))) - 0.1 * range_reward(made.augmentation)

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    graphed = torch.autograd.grad(compiled(x, noise), list(made.parameters()))
    for one, other in zip(graphed, torch.autograd.grad(loss(x, noise), list(made.parameters())), strict=True):
        torch.testing.assert_close(one, other)


def test_four_copies_are_averaged_in_use_unless_told() -> None:
    made = InvariantModel(nn.Flatten(), LearnedAffine())
    assert (made.copies_train, made.copies_eval) == (1, 4)
    assert made.sample(3, Generator()).shape == (1, 3, 6) and made.eval().sample(3, Generator()).shape == (4, 3, 6)


def test_ranges_near_zero_give_the_trunk() -> None:
    made, x = model(share=1e-9), inputs("affine")
    out = made(x, made.sample(len(x), Generator().manual_seed(0)).double())
    torch.testing.assert_close(out, made.trunk(x).log_softmax(-1), rtol=0, atol=1e-5)


class OnesOrZeros(AugmentationLayer):
    """Every copy becomes all ones or all zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor([0.5]))

    def noise_size(self) -> int:
        return 1

    @property
    def shares(self) -> Tensor:
        return self.share

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        return (noise < 0.5).to(x.dtype).view(-1, 1, 1, 1).expand_as(x)


def test_every_copy_has_its_own_noise() -> None:
    """As the published test means it: one copy is all or nothing, ten copies lie between."""
    identity = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.rand(8, 2, 4, 4)
    for copies, inside in ((1, False), (10, True)):
        made = InvariantModel(identity, OnesOrZeros(), copies, copies, Aggregate.LOGIT)
        noise = made.sample(len(x), Generator().manual_seed(0))
        with torch.no_grad():
            augmented = made.augmentation(x.repeat(copies, 1, 1, 1), noise.flatten(0, 1))
            mean = identity(augmented).view(copies, 8, 2).mean(0)
        between = (mean > 0) & (mean < 1)
        assert bool(between.all()) is inside
        assert noise.shape == (copies, 8, 1)


def test_training_and_use_take_their_own_number_of_copies() -> None:
    made = InvariantModel(nn.Flatten(), LearnedAffine(), 2, 5)
    assert len(made.sample(3, Generator())) == 2
    assert len(made.eval().sample(3, Generator())) == 5


def test_groups_keep_weight_decay_off_the_augmentation() -> None:
    """One step of AdamW with zero gradients: the trunk shrinks, the ranges stay."""
    made = model()
    optimiser = torch.optim.AdamW(made.parameter_groups(learning_rate=0.1, weight_decay=0.5))
    everything = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in everything} == {id(parameter) for parameter in made.parameters()}
    before = {name: value.detach().clone() for name, value in made.named_parameters()}
    for parameter in made.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, value in made.named_parameters():
        assert torch.equal(value, before[name]) is name.startswith("augmentation"), name


def test_rewards() -> None:
    """Known values; monotone below the cap, flat above; additive over layers for LOG; any operation counts."""
    affine = LearnedAffine((Operation.ROTATION, Operation.SCALE), start=(0.5, 0.25))
    assert range_reward(affine).item() == pytest.approx(math.log(0.125))
    assert range_reward(affine, Reward.NORM).item() == pytest.approx(math.hypot(0.5, 0.25))
    both = Compose(affine, LearnedFlip(start=0.5))
    assert range_reward(both).item() == pytest.approx(math.log(0.125) + math.log(0.5))
    chosen = SelectLayer(affine, 1.0)
    with torch.no_grad():
        chosen.logits.copy_(torch.tensor([math.log(3), 0.0]))
    assert range_reward(chosen).item() == pytest.approx(0.75 * math.log(0.5) + 0.25 * math.log(0.25))
    chosen = SelectLayer(affine)
    assert range_reward(chosen, Reward.WEIGHTED_NORM).item() == pytest.approx(math.hypot(0.25, 0.125))
    wide = LearnedAffine([Operation.ROTATION], start=0.5, parametrisation=Parametrisation.SOFTPLUS)
    for kind in Reward:
        with torch.no_grad():
            wide.ranges.logits.fill_(-1.0)
        (below,) = torch.autograd.grad(range_reward(wide, kind), wide.ranges.logits)
        with torch.no_grad():
            wide.ranges.logits.fill_(2.0)  # a share of 2.1
        (above,) = torch.autograd.grad(range_reward(wide, kind), wide.ranges.logits)
        assert float(below) > 0 and float(above) == 0
        loss = wide(inputs("affine").float(), torch.full((3, 1), 0.9)).square().sum()
        assert float(torch.autograd.grad(loss, wide.ranges.logits)[0]) != 0, "the loss still moves it back"


def test_in_somebody_elses_training_loop() -> None:
    """Three lines of theirs change; a range that does no harm grows."""
    g = Generator().manual_seed(0)
    x = torch.rand(64, 3, 8, 8, generator=g)
    y = (x.mean((1, 2, 3)) > 0.5).long()
    torch.manual_seed(0)
    made = InvariantModel(mlp((3, 8, 8), 2, 16), Compose(LearnedFlip(), LearnedColor((Operation.HUE,))))
    optimiser = torch.optim.AdamW(made.parameter_groups(learning_rate=1e-2))
    start = made.augmentation.shares.detach().clone()
    losses = []
    for _ in range(30):
        loss = nll_loss(made(x, made.sample(len(x), g)), y) - 0.1 * range_reward(made.augmentation)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert bool((made.augmentation.shares > start).all())


@pytest.mark.parametrize("copies", [(0, 4), (1, 0), (1, -1)])
def test_no_copies_are_refused(copies: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="must be 1 at least"):
        InvariantModel(nn.Flatten(), LearnedAffine(), *copies)


def test_batch_statistics_are_those_of_all_copies() -> None:
    """Documented: C copies of a batch are one batch to the trunk."""
    norm = nn.BatchNorm2d(3, momentum=1.0, affine=False)
    made = InvariantModel(nn.Sequential(norm, nn.Flatten()), LearnedAffine(start=0.5), copies_train=4)
    x = inputs("affine").float()
    noise = made.sample(len(x), Generator().manual_seed(0))
    made(x, noise)
    seen = made.augmentation(x.repeat(4, 1, 1, 1), noise.flatten(0, 1)).detach()
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)))
    assert not torch.allclose(seen.mean((0, 2, 3)), x.mean((0, 2, 3)), atol=1e-3), "negative control"
