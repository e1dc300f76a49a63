"""Policies without a search: what they draw, what they are told, what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from spaces.policies import Policy
from spaces.transforms import Operation
from tests.support.toy_problems import signal_toy
from tracking.cost import Meter
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps, with_view
from trainables.method import MethodConfig
from trainables.methods import fixed_policy, oracle, plain, rand_augment, random_policy, uniform_policy
from trainables.modules.frozen import ThroughPolicy
from trainables.modules.policy_space import OPERATIONS, search_limit
from trainables.problems.digits import Config as Digits
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.spec import in_memory

FALSE_ALARM = 1e-6  # of each statistical check, had the seed not been fixed


def policy_of(config: MethodConfig, seed: int = 0) -> Policy:
    method = config.build(toy_context(seed))
    assert isinstance(method, ThroughPolicy)
    return method.policy


def test_a_longer_plain_training_is_the_one_with_the_longer_horizon() -> None:
    """Schedule and all: extra epochs are no second warm-up."""
    base = replace(toy_context(), horizon=8, slice_updates=4)
    longer, whole = plain.Config(length=2.0).build(base), plain.Config().build(replace(base, horizon=16))
    for method in (longer, whole):
        assert sum(1 for _ in steps(method)) == 4
    x = base.problem.labelled().x
    assert torch.equal(longer.predict(x), whole.predict(x))


def test_uniform_gives_every_choice_the_same_weight_up_to_its_limit() -> None:
    entries = policy_of(uniform_policy.Config()).entries
    assert [entry.operation for entry in entries] == list(OPERATIONS)
    assert all(entry.weight == pytest.approx(1 / 10) and entry.magnitude == 1.0 for entry in entries)
    assert entries[0].limit == 180.0


def test_random_policies_are_uniform_on_the_simplex_and_differ_by_seed() -> None:
    """The weight of one of ten is Beta(1, 9), its bound uniform; a seed draws the same one twice."""
    drawn = [policy_of(random_policy.Config(), seed) for seed in range(300)]
    weights, bounds = ([getattr(p.entries[0], name) for p in drawn] for name in ("weight", "magnitude"))
    assert stats.kstest(weights, stats.beta(1, 9).cdf).pvalue > FALSE_ALARM
    assert stats.kstest(bounds, stats.uniform().cdf).pvalue > FALSE_ALARM
    assert stats.kstest(weights, stats.beta(1, 4).cdf).pvalue < FALSE_ALARM  # negative control
    assert policy_of(random_policy.Config(), 7) == drawn[7]
    method = random_policy.Config().build(toy_context(7))
    assert policy_of(method.found(), 8) == drawn[7], "what was drawn is replayed under another seed"  # type: ignore[attr-defined]


def test_fixed_policy_normalises_over_the_operations_that_fit() -> None:
    config = fixed_policy.Config(
        operations=(Operation.ROTATION, Operation.BRIGHTNESS), rotation_weight=0.6, rotation_bound=0.25,
        brightness_weight=0.2, identity_weight=0.2,
    )
    rotation, brightness = policy_of(config).entries
    assert (rotation.weight, brightness.weight) == (pytest.approx(0.6), pytest.approx(0.2))
    assert policy_of(config).physical()["policy/rotation/range_deg"] == pytest.approx(45.0)
    assert set(config.space.names) == {
        "learning_rate", "weight_decay", "identity_weight",
        *(f"{operation}_{what}" for operation in OPERATIONS for what in ("weight", "bound")),
    }


def test_rand_augment_reads_its_two_numbers() -> None:
    x = toy_context().problem.unlabelled(Generator().manual_seed(0), 64)
    weak, strong = (
        rand_augment.Config(operations=n, magnitude=m).build(toy_context()).sample(x, Generator().manual_seed(1))
        for n, m in ((1, 3), (3, 30))
    )
    assert (strong - x).square().mean() > 4 * (weak - x).square().mean()


def test_the_oracle_draws_what_the_nuisance_planted() -> None:
    """Against the wrapper itself: copies of one digit, turned; told apart by their distance from the upright one."""
    dataset = Digits().load(0)
    image = dataset.test_x[:1].repeat(500, axis=0)
    copies = replace(dataset, test_x=image, test_y=dataset.test_y[:1].repeat(500))
    turned = torch.from_numpy(Nuisance(ranges={"rotation": 45.0}).wrap(copies, 0).test_x).float() / 255
    x = torch.from_numpy(image).float() / 255
    context = with_view(toy_context(), in_memory(dataset, 0, 0).view(Meter("cpu")))

    def distances(y: Tensor) -> list[float]:
        found: list[float] = (y - x).square().flatten(1).mean(1).tolist()
        return found

    def told(reach: float) -> list[float]:
        return distances(oracle.Config(ranges={"rotation": reach}).build(context).sample(x, Generator().manual_seed(0)))

    assert stats.ks_2samp(distances(turned), told(45.0)).pvalue > FALSE_ALARM
    assert stats.ks_2samp(distances(turned), told(20.0)).pvalue < FALSE_ALARM  # negative control


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (oracle.Config(ranges={"rotatoin": 3.0}), "must name actions of the bank"),
        (oracle.Config(ranges={"rotation": 500.0}), r"must lie in \[0, 90\]"),
        (fixed_policy.Config(**{f"{o}_weight": 0.0 for o in OPERATIONS}, identity_weight=0.0), "must be positive"),  # type: ignore[arg-type]
        (fixed_policy.Config(operations=(Operation.INVERT,)), "weights for the standard operations only"),
        (uniform_policy.Config(operations=(Operation.HUE,)), "must fit the images"),
    ],
)
def test_what_does_not_fit_is_told_before_any_work_and_by_a_training(config: MethodConfig, said: str) -> None:
    context = toy_context()
    with pytest.raises(UserError, match=said):
        config.build(context)
    with pytest.raises(UserError, match=said):
        config.fits(context.problem, context.network)


@pytest.mark.parametrize("module", [uniform_policy, random_policy, fixed_policy, rand_augment])
def test_signals_are_refused_in_the_users_words(module: object) -> None:
    context = with_view(toy_context(), signal_toy().view())
    with pytest.raises(UserError, match="needs images"):
        module.Config().build(context)  # type: ignore[attr-defined]


def test_limits_are_those_of_the_searched_space() -> None:
    assert search_limit(Operation.ROTATION) == 180.0
