"""Rules for imbalanced classes: known answers for every part, and what `delay` leaves as it was."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from tests.support.imbalanced import SIZES, Noting, imbalanced_context
from trainables.contract_trace import difference, run
from trainables.methods import augnet, plain, unrolled
from trainables.modules.imbalance import (
    ImbalanceConfig,
    ImbalanceRule,
    Loss,
    Sampling,
    Weighting,
    effective_weights,
    focal,
    margins,
)
from trainables.modules.recipe import RecipeConfig
from trainables.problems.problem import LEARNABLE, Split

BOTH = [train + train // 2 for train in SIZES]  # train + outer: 60, 18, 6


def rule(**settings: object) -> ImbalanceRule:
    return ImbalanceRule(imbalanced_context(), ImbalanceConfig.model_validate(settings))


def chi_square(labels: Tensor, expected: list[float]) -> float:
    """Of counts against probabilities (up to a factor)."""
    wanted = len(labels) * torch.tensor(expected, dtype=torch.float64) / sum(expected)
    return float(((torch.bincount(labels, minlength=len(expected)) - wanted).square() / wanted).sum())


def effective(beta: float, size: int) -> float:
    return (1 - beta) / (1 - beta**size)


# Sampling. The chi-square of three classes has 2 degrees of freedom: above 18.4 with probability 1e-4.

FREQUENCIES = [
    ({}, [float(n) for n in BOTH]),
    ({"sampling": "balanced"}, [1.0, 1.0, 1.0]),
    ({"sampling": "effective", "beta": 0.9}, [n * effective(0.9, n) for n in BOTH]),
]


@pytest.mark.parametrize(("settings", "expected"), FREQUENCIES)
def test_classes_are_drawn_as_often_as_the_rule_says(settings: dict[str, object], expected: list[float]) -> None:
    _, y = rule(**settings).batch(Generator().manual_seed(0), 20_000, 0.0)
    assert chi_square(y, expected) < 18.4
    for _, others in FREQUENCIES:
        assert others == expected or chi_square(y, others) > 100, "the test tells the rules apart"


@pytest.mark.parametrize(("settings", "expected"), FREQUENCIES)
def test_rows_at_hand_are_drawn_as_often(settings: dict[str, object], expected: list[float]) -> None:
    labels = torch.arange(3).repeat_interleave(torch.tensor(BOTH))[torch.randperm(sum(BOTH))]
    made = rule(**settings)
    rows = made.rows(Generator().manual_seed(0), made.chances(labels), 20_000, 0.0)
    assert chi_square(labels[rows], expected) < 18.4
    of_rarest = rows[labels[rows] == 2]  # uniform within a class: 6 rows, 5 degrees of freedom, 1e-4 above 25.7
    counts = torch.bincount(of_rarest, minlength=len(labels))[labels == 2].double()
    assert float(((counts - counts.mean()).square() / counts.mean()).sum()) < 25.7


def test_a_split_is_balanced_by_its_own_sizes_and_absent_classes_are_left_out() -> None:
    made = ImbalanceRule(imbalanced_context(sizes=(30, 6, 0)), ImbalanceConfig(sampling=Sampling.BALANCED), Split.TRAIN)
    _, y = made.batch(Generator().manual_seed(0), 10_000, 0.0)
    counts = torch.bincount(y, minlength=3)
    assert counts[2] == 0 and abs(int(counts[0]) - 5000) < 5 * 50, "within 5 standard deviations: 6e-7"
    _, held_out = made.batch(Generator().manual_seed(0), 9000, 0.0, Split.OUTER)  # there the third class has one
    assert chi_square(held_out, [1.0, 1.0, 1.0]) < 18.4


# Weights and margins.


def test_effective_weights_are_those_worked_out_by_hand() -> None:
    """At beta = 1/2: (1/2) / (1/2), (1/2) / (3/4), (1/2) / (7/8)."""
    expected = torch.tensor([1.0, 2 / 3, 4 / 7, 0.0], dtype=torch.float64)
    torch.testing.assert_close(effective_weights(torch.tensor([1, 2, 3, 0]), 0.5), expected)


@pytest.mark.parametrize("sizes", [[1, 10, 1000], [5000, 5, 50]])
def test_effective_weights_go_from_equal_to_inverse_sizes(sizes: list[int]) -> None:
    n = torch.tensor(sizes)
    assert effective_weights(n, 0.0).tolist() == [1.0, 1.0, 1.0]
    inverse = effective_weights(n, 1 - 1e-10)
    torch.testing.assert_close(inverse * n, torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=0)
    between = torch.tensor([effective(0.9999, size) for size in sizes], dtype=torch.float64)
    torch.testing.assert_close(effective_weights(n, 0.9999), between, rtol=1e-9, atol=0)


@pytest.mark.parametrize("sizes", [(60, 18, 6), (3, 0, 9), (0, 4, 0)])
def test_a_weighted_batch_has_torchs_weighted_mean(sizes: tuple[int, ...]) -> None:
    """Whatever is in it: so the step is as long after the switch as before it, and one rare example cannot blow it."""
    made = rule(weighting="effective", beta=0.9)
    y = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
    z = torch.randn(len(y), 3, generator=Generator().manual_seed(0))
    weights = torch.tensor([effective(0.9, n) for n in BOTH])
    torch.testing.assert_close(made.loss(z, y, 0.0).mean(), cross_entropy(z, y, weight=weights))


def test_margins_are_those_worked_out_by_hand() -> None:
    """Fourth roots of 1/16, 1/81, 1/256 with the smallest class 1; and the smallest class gets the largest margin."""
    assert margins(torch.tensor([1, 16, 81, 256]), 0.5).tolist() == pytest.approx([0.5, 0.25, 0.5 / 3, 0.125])
    assert margins(torch.tensor([160, 10]), 0.6).tolist() == pytest.approx([0.3, 0.6])
    assert margins(torch.tensor([160, 10, 0]), 0.6).tolist() == pytest.approx([0.3, 0.6, 0.6])


# Losses.


def test_ldam_equals_a_loop() -> None:
    generator = Generator().manual_seed(0)
    z, y = 5 * torch.randn(40, 3, generator=generator), torch.randint(3, (40,), generator=generator)
    found = rule(loss="ldam", margin=0.4, scale=10.0).loss(z, y, 0.0)
    for b in range(40):
        logits, label = z[b].double().tolist(), int(y[b])
        logits[label] -= 10.0 * 0.4 * (min(BOTH) / BOTH[label]) ** 0.25
        expected = math.log(sum(math.exp(v) for v in logits)) - logits[label]
        assert float(found[b]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_focal_at_gamma_zero_is_the_cross_entropy_bit_for_bit() -> None:
    z, y = 50 * torch.randn(60, 3, generator=Generator().manual_seed(0)), torch.arange(60) % 3
    assert torch.equal(rule(loss="focal", gamma=0.0).loss(z, y, 0.0), cross_entropy(z, y, reduction="none"))


def test_focal_values_worked_out_by_hand() -> None:
    """p = 1/2, gamma 1: (1/2) ln 2; p = 1/4, gamma 2: (9/16) ln 4."""
    assert float(focal(torch.tensor(2.0).log(), 1.0)) == pytest.approx(0.5 * math.log(2))
    assert float(focal(torch.tensor(4.0).log(), 2.0)) == pytest.approx(9 / 16 * math.log(4))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_focal_has_finite_derivatives_of_both_orders_where_the_answer_is_certain(gamma: float) -> None:
    z = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], requires_grad=True)
    loss = focal(cross_entropy(z, torch.tensor([0, 0]), reduction="none"), gamma).sum()
    (first,) = torch.autograd.grad(loss, z, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), z)
    assert bool(first.isfinite().all()) and bool(second.isfinite().all())


@pytest.mark.parametrize("loss", list(Loss))
def test_weights_multiply_whatever_loss_there_is(loss: Loss) -> None:
    z, y = torch.randn(30, 3, generator=Generator().manual_seed(0)), torch.arange(30) % 3
    bare = rule(loss=loss).loss(z, y, 0.0)
    raw = [effective(0.9, n) for n in BOTH]
    expected = bare * torch.tensor([3 * raw[label] / sum(raw) for label in y.tolist()])  # ten examples of each
    torch.testing.assert_close(rule(loss=loss, weighting="effective", beta=0.9).loss(z, y, 0.0), expected)


def test_held_out_examples_keep_the_problems_loss_and_get_the_weights() -> None:
    z, y = torch.randn(30, 3, generator=Generator().manual_seed(0)), torch.arange(30) % 3
    weighted = rule(weighting="effective").loss(z, y, 0.0)
    assert torch.equal(rule(loss="ldam", weighting="effective").risk(z, y, 0.0), weighted)
    assert torch.equal(rule(loss="focal").risk(z, y, 0.0), cross_entropy(z, y, reduction="none"))


def test_a_weighted_mean_of_what_is_no_loss_stays_in_its_range() -> None:
    right, y = torch.tensor([1.0, 1.0, 0.0, 1.0]), torch.tensor([0, 0, 1, 2])
    raw = torch.tensor([effective(0.9, n) for n in BOTH])[y]
    found = rule(weighting="effective", beta=0.9).mean(right, y, 1.0)
    assert float(found) == pytest.approx(float((raw * right).sum() / raw.sum()))
    assert float(rule().mean(right, y, 1.0)) == 0.75


# The default, and the delay.


def test_the_default_is_the_problems_own_draw_and_loss() -> None:
    context = imbalanced_context()
    made = ImbalanceRule(context, ImbalanceConfig())
    ours, theirs = (Generator().manual_seed(3) for _ in range(2))
    mine, expected = made.batch(ours, 16, 0.5), context.problem.draw(theirs, 16, *LEARNABLE)
    assert all(torch.equal(a, b) for a, b in zip(mine, expected, strict=True))
    assert torch.equal(ours.get_state(), theirs.get_state())
    z = torch.randn(16, 3)
    assert torch.equal(made.loss(z, mine.y, 0.5), context.problem.loss(z, mine.y))


DELAYED = {
    "drs": ImbalanceConfig(sampling=Sampling.BALANCED, delay=0.5),
    "effective sampling": ImbalanceConfig(sampling=Sampling.EFFECTIVE, delay=0.5),
    "drw": ImbalanceConfig(weighting=Weighting.EFFECTIVE, beta=0.99, delay=0.5),
}


@pytest.mark.parametrize("name", DELAYED)
@pytest.mark.parametrize(
    "config", [plain.Config(batch_size=16), augnet.Config(batch_size=16), unrolled.Config(batch_size=16)],
    ids=["plain", "augnet", "unrolled"],
)
def test_nothing_changes_before_the_switch_and_everything_after(config: RecipeConfig, name: str) -> None:
    """10 updates, one per step, the switch at a half: the sixth is the first that the rule changes."""

    def steps(settings: RecipeConfig) -> list[object]:
        trace = run(settings, replace(imbalanced_context(), horizon=10, slice_updates=1))
        return list(zip(trace.states, trace.outputs, trace.slices, strict=True))

    usual, delayed = steps(config), steps(config.model_copy(update={"imbalance": DELAYED[name]}))
    assert [difference(a, b) for a, b in zip(usual[:5], delayed[:5], strict=True)] == [None] * 5
    assert all(difference(a, b) is not None for a, b in zip(usual[5:10], delayed[5:10], strict=True))


def test_delayed_resampling_changes_what_the_batches_hold() -> None:
    """The rarest class is 6 of 84: 7 % of the first half of 40 batches of 32, a third of the second.

    640 labels in each half: within 5 standard deviations (6e-7) of both.
    """
    context = replace(imbalanced_context(), horizon=40, slice_updates=40)
    view = Noting(context.problem)
    config = plain.Config(batch_size=32, imbalance=DELAYED["drs"])
    config.build(replace(context, problem=view)).step()  # type: ignore[arg-type]
    assert [name for name, _ in view.drawn] == ["draw"] * 20 + ["draw_classes"] * 20
    for share, first, last in ((6 / 84, 0, 20), (1 / 3, 20, 40)):
        assert abs(view.share(2, first, last) - share) < 5 * math.sqrt(share * (1 - share) / 640)


def test_a_delay_is_a_share_of_the_horizon_without_rounding() -> None:
    """Shares with no finite binary form: the update k of n with k / n = delay is the first after the switch."""
    for hundredths in range(1, 100):
        made = rule(weighting="effective", beta=0.9, delay=hundredths / 100)
        y = torch.arange(2)
        before, after = (made._weighted(torch.ones(2), y, k / 300) for k in (3 * hundredths - 1, 3 * hundredths))
        assert before.tolist() == [1, 1] and float(after[0]) < 1 < float(after[1])


def test_an_update_costs_the_same_before_the_switch_and_after() -> None:
    """What is counted is the first update of a process, which after a resume is another one."""
    costs = []
    for delay in (0.0, 0.5, 0.95):
        config = plain.Config(imbalance=ImbalanceConfig(weighting=Weighting.EFFECTIVE, loss=Loss.FOCAL, delay=delay))
        costs.append(run(config, replace(imbalanced_context(), horizon=10)).costs)
    assert costs[0] == costs[1] == costs[2]


def test_every_operation_of_every_rule_has_a_flop_formula() -> None:
    for loss in Loss:
        context = imbalanced_context()
        settings = ImbalanceConfig(sampling=Sampling.BALANCED, weighting=Weighting.EFFECTIVE, loss=loss)
        run(plain.Config(imbalance=settings), context)
        assert not context.meter.ledger().uncounted
