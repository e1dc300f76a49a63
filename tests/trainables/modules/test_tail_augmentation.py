"""Which examples are augmented: known chances, and nothing at all where nothing is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from tests.support.toy_problems import regression_toy
from tracking.cost import Meter, Phase
from tracking.errors import UserError
from trainables.method import Context
from trainables.methods import oracle, plain, trivial_augment
from trainables.modules.imbalance import ImbalanceConfig, Sampling
from trainables.modules.networks import builder
from trainables.modules.supervised import Supervised
from trainables.modules.tail_augmentation import Cutoff, Mixing, TailRecipe, kept
from trainables.problems.spec import ProblemSpec

Make = Callable[[], Context]
TAIL = {"name": "long_tailed", "largest": 60, "ratio": 0.1, "select": 10, "order": None}  # 60, 46, 35 ... 6


@pytest.fixture
def make(tmp_path: Path) -> Make:
    problem = ProblemSpec(label="x", source={"name": "digits"}, wrappers=(TAIL,)).build(0, 0, tmp_path)

    def context() -> Context:
        meter = Meter("cpu")
        return Context(
            problem=problem.view(meter), horizon=10, slice_updates=5, seed=3, device=torch.device("cpu"), meter=meter,
            network=builder("mlp"),
        )

    return context


def trained(method: Supervised) -> Tensor:
    while not method.step().done:
        pass
    return torch.cat([p.detach().flatten() for p in method.trunk.network.parameters()])


def test_chances_by_hand() -> None:
    sizes = torch.tensor([100, 60, 20, 10])
    assert kept(sizes, 60, Cutoff.HARD).tolist() == [0, 1, 1, 1]
    assert torch.allclose(kept(sizes, 60, Cutoff.RAMP), torch.tensor([0, 0, 0.8, 1.0]))


def test_classes_without_examples_are_no_end_of_a_ramp() -> None:
    """The others have the chances that they have without them; before, the smallest one's was .8."""
    sizes = torch.tensor([100, 60, 20, 10])
    absent = kept(torch.cat((sizes, torch.tensor([0]))), 60, Cutoff.RAMP)
    assert torch.equal(absent[:4], kept(sizes, 60, Cutoff.RAMP)) and 0 <= float(absent[4]) <= 1


def test_the_published_ramp_of_cifar() -> None:
    """K = 500 on CIFAR-10-LT: 0, 0, 0, 0, 0, .25, .60, .80, .93, 1."""
    sizes = torch.tensor([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50])
    expected = [0, 0, 0, 0, 0, 0.25, 0.60, 0.80, 0.93, 1.0]
    assert kept(sizes, 500, Cutoff.RAMP).tolist() == pytest.approx(expected, abs=0.005)


def test_rows_are_chosen_with_the_chance_of_their_class() -> None:
    """4,000 examples of each class: within 5 standard deviations of half and of all; none of the third."""
    y = torch.arange(3).repeat(4000)
    rows = Mixing(torch.tensor([0.5, 1.0, 0.0]), 0.0).rows(y, 0.0, Generator().manual_seed(0))
    counts = torch.bincount(y[rows], minlength=3).tolist()
    assert abs(counts[0] - 2000) < 5 * 1000**0.5 and counts[1:] == [4000, 0]


def test_the_share_holds_below_a_cutoff_too(make: Make) -> None:
    """Classes of at most 20 with a chance of one half: within 5 standard deviations of 2,000 of 4,000; others never."""
    mixing = Mixing.of(make(), TailRecipe(cutoff=20, replaced=0.5))
    assert mixing is not None
    sizes = make().problem.class_sizes()  # type: ignore[attr-defined]
    small, large = int(sizes.argmin()), int(sizes.argmax())
    y = torch.tensor([small, large]).repeat(4000)
    counts = torch.bincount(y[mixing.rows(y, 0.0, Generator().manual_seed(0))], minlength=10)
    assert abs(int(counts[small]) - 2000) < 5 * 1000**0.5 and counts[large] == 0


def test_nothing_is_chosen_before_the_start_and_the_stream_is_the_same_after_it() -> None:
    mixing, y = Mixing(torch.full((2,), 0.5), 0.6), torch.zeros(50, dtype=torch.int64)
    early, never = Generator().manual_seed(0), Generator().manual_seed(0)
    assert len(mixing.rows(y, 0.59, early)) == 0
    never_started = Mixing(torch.full((2,), 0.5), 0.0)
    never_started.rows(y, 0.59, never)
    assert torch.equal(mixing.rows(y, 0.6, early), never_started.rows(y, 0.6, never))


def test_only_small_classes_are_changed(make: Make) -> None:
    """The batch as the network gets it: classes of at most 20 are turned, all others are the stored images."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    class Watched(oracle.Oracle):
        def _mixed(self, mixing: Mixing, source: Tensor, x: Tensor, y: Tensor, progress: float) -> Tensor:
            mixed = super()._mixed(mixing, source, x, y, progress)
            seen.append((x, mixed, y))
            return mixed

    config = oracle.Config(ranges={"rotation": 60.0}, cutoff=20, start=0.5)
    trained(Watched(make(), config))
    sizes = make().problem.class_sizes()  # type: ignore[attr-defined]
    assert len(seen) == 10
    for update, (x, mixed, y) in enumerate(seen):
        small = sizes[y] <= 20
        changed = (x != mixed).flatten(1).any(1)
        assert torch.equal(changed, small & (update >= 5))
    assert any(bool((sizes[y] <= 20).any()) for _, _, y in seen[5:])


def test_nothing_replaced_is_delayed_resampling_bit_for_bit(make: Make) -> None:
    rule = ImbalanceConfig(sampling=Sampling.BALANCED, delay=0.6)
    alone = trained(plain.Config(imbalance=rule).build(make()))
    none = trained(oracle.Config(imbalance=rule, ranges={"rotation": 60.0}, replaced=0.0).build(make()))
    some = trained(oracle.Config(imbalance=rule, ranges={"rotation": 60.0}, start=0.6).build(make()))
    assert torch.equal(alone, none)
    assert not torch.equal(alone, some)


def test_what_is_augmented_is_charged_and_what_is_not_is_not(make: Make) -> None:
    spent = []
    for settings in ({"replaced": 0.0}, {"cutoff": 20}, {"cutoff": 50}, {"replaced": 1.0, "start": 0.5}):
        context = make()
        trained(oracle.Config.model_validate({"ranges": {"rotation": 60.0}, **settings}).build(context))
        spent.append(context.meter.ledger().phases[Phase.TRAIN].flops)
    assert spent[0] < spent[1] < spent[2] and spent[0] < spent[3]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cutoff": 5}, "between 6 and 60.*got: *5"),
        ({"cutoff": 60}, "cutoff: null augments all classes"),
        ({"cutoff": 6, "cutoff_shape": "ramp"}, "between 6 and 60"),
    ],
)
def test_a_cutoff_outside_of_the_class_sizes_is_told(make: Make, settings: dict[str, object], said: str) -> None:
    config = trivial_augment.Config.model_validate(settings)
    context = make()
    with pytest.raises(UserError, match=f"(?s){said}"):
        config.fits(context.problem, context.network)
    trivial_augment.Config(cutoff=6).fits(context.problem, context.network)


def test_a_cutoff_needs_classes_and_a_ramp_a_cutoff(make: Make) -> None:
    context = replace(make(), problem=regression_toy().view())
    with pytest.raises(UserError, match="choose examples by class"):
        TailRecipe(cutoff=20).fits(context.problem, context.network)
    for settings in ({"start": 0.6}, {"replaced": 0.5}):
        with pytest.raises(UserError, match="choose examples by class"):
            TailRecipe.model_validate(settings).fits(context.problem, context.network)
    TailRecipe().fits(context.problem, context.network)
    with pytest.raises(ValueError, match="a ramp ends at a `cutoff`"):
        TailRecipe(cutoff_shape=Cutoff.RAMP)
