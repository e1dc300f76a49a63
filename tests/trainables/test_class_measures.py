"""Divergence per class against closed forms, literal loops, and a planted pairing fault."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import kl_div, softmax

from tracking.record import NotFiniteError
from trainables.class_measures import class_measures, summary
from trainables.invariance import class_invariance, common_sampler, fitted_temperature, planted_sampler, size_slope
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.problem import Action, Split
from trainables.problems.spec import ProblemSpec

X = torch.linspace(-2, 2, 12, dtype=torch.float64)[:, None]
Y = torch.arange(12) % 3


def logits(x: Tensor) -> Tensor:
    return torch.stack((x[:, 0], -x[:, 0], torch.zeros_like(x[:, 0])), 1)


def shifted(x: Tensor, generator: Generator) -> Tensor:
    return x + torch.rand(len(x), 1, generator=generator, dtype=x.dtype)


def test_a_nuisance_that_does_nothing_has_no_divergence_and_a_wrong_pairing_has() -> None:
    still = class_invariance(logits, X, Y, lambda x, _: x, 3, Generator(), 3)
    assert not still.ekld.any() and not still.scaled.any() and float(still.divergence.max()) < 1e-15
    assert still.consistency.tolist() == [1.0, 1.0, 1.0]
    mixed = class_invariance(logits, X, Y, lambda x, _: x.roll(3, 0), 3, Generator(), 3)
    assert float(mixed.ekld.min()) > 0.1


def test_a_constant_classifier_has_no_divergence() -> None:
    constant = class_invariance(lambda x: torch.ones(len(x), 3), X, Y, shifted, 5, Generator().manual_seed(0), 3)
    assert not constant.ekld.any()


def test_the_divergence_is_that_of_a_literal_loop() -> None:
    """KL(p(x) || p(x')) by torch's own function, image by image and draw by draw."""
    found = class_invariance(logits, X, Y, shifted, 4, Generator().manual_seed(1), 3, temperature=2.0)
    generator, by_hand = Generator().manual_seed(1), torch.zeros(4, 12, dtype=torch.float64)
    for _ in range(4):
        moved = shifted(X, generator)
        for i in range(12):
            p, q = (softmax(logits(z[i : i + 1])[0], -1) for z in (X, moved))
            warm_p, warm_q = (softmax(logits(z[i : i + 1])[0] / 2, -1) for z in (X, moved))
            middle = (p + q) / 2
            by_hand[0, i] += kl_div(q.log(), p, reduction="sum") / 4
            by_hand[1, i] += kl_div(warm_q.log(), warm_p, reduction="sum") / 4
            by_hand[2, i] += sum(kl_div(middle.log(), one, reduction="sum") for one in (p, q)) / 8
            by_hand[3, i] += float(p.argmax() == q.argmax()) / 4
    for values, expected in zip(found, by_hand, strict=True):
        assert torch.allclose(values, torch.stack([expected[k == Y].mean() for k in range(3)]), atol=1e-12)


def test_a_closed_form() -> None:
    """Two classes with logits (z, 0): from z = 0 to z = log 3 the divergence is log(2 / sqrt 3), as p = (1/2, 1/2)."""
    x, y = torch.zeros(2, 1, dtype=torch.float64), torch.tensor([0, 1])
    found = class_invariance(
        lambda x: torch.cat((x, torch.zeros_like(x)), 1), x, y, lambda x, _: x + math.log(3), 2, Generator(), 2
    )
    assert torch.allclose(found.ekld, torch.full((2,), math.log(2 / math.sqrt(3)), dtype=torch.float64))


def test_the_temperature_of_labels_drawn_at_one_is_found_again() -> None:
    """20,000 labels drawn from softmax(z / 3): the estimate's standard error is below .05, so .3 is six of them."""
    z = 3 * torch.randn(20_000, 4, generator=Generator().manual_seed(0))
    y = torch.multinomial(softmax(z / 3, -1), 1, generator=Generator().manual_seed(1))[:, 0]
    assert fitted_temperature(z, y) == pytest.approx(3.0, abs=0.3)
    assert fitted_temperature(2 * z, y) == pytest.approx(2 * fitted_temperature(z, y), rel=1e-3)


def test_a_split_without_mistakes_has_a_temperature_all_the_same() -> None:
    """The likelihood alone would take the sharpest; an example's worth of prior keeps it where data speak."""
    y = torch.arange(300) % 3
    sure = 5 * torch.eye(3)[y]
    assert 0.2 < fitted_temperature(sure, y) < 1.5


def test_a_diverged_class_is_no_invariant_one(tmp_path: Path) -> None:
    problem = ProblemSpec(label="x", source={"name": "digits"}).build(0, 0, tmp_path)
    test, select = problem.examples(Split.TEST), problem.examples(Split.SELECT)
    known = {x.numpy().tobytes() for x in test.x}

    def nan_on_moved(x: Tensor) -> Tensor:
        moved = torch.tensor([one.numpy().tobytes() not in known for one in x])
        return torch.where(moved[:, None], torch.nan, torch.eye(10)[:1])

    with pytest.raises(NotFiniteError, match="moves its inputs"):
        class_measures(problem, nan_on_moved, test, torch.eye(10)[test.y], (torch.eye(10)[select.y], select.y), 3, 2,
                       Generator().manual_seed(0))


def test_the_slope_is_the_exponent_of_a_power_law() -> None:
    sizes = torch.tensor([1000, 100, 10, 5])
    assert size_slope(3 * sizes.double() ** -0.7, sizes) == pytest.approx(-0.7)
    assert size_slope(torch.tensor([1.0, 2.0]), torch.tensor([5, 5])) is None
    assert size_slope(torch.tensor([1.0, 2.0]), torch.tensor([106, 110])) is None, "noise, and no tail"
    assert size_slope(torch.tensor([2.0, 1.0]), torch.tensor([5, 10])) == pytest.approx(-1.0)
    power = 3 * sizes.double() ** -0.6
    power[0] = 0.0  # one class without any divergence does not turn the line
    assert size_slope(power, sizes) == pytest.approx(-0.6)
    assert size_slope(torch.tensor([1.0, math.nan, 1.0]), torch.tensor([5, 7, 50])) == pytest.approx(0.0)


def test_groups_are_means_over_their_classes_and_the_missing_are_left_out() -> None:
    found = summary(torch.tensor([1.0, 2.0, math.nan, 4.0]), torch.tensor([100, 10, 5, 1]))
    assert found == {"of_0": 1.0, "of_1": 2.0, "of_3": 4.0, "mean": pytest.approx(7 / 3), "head": 1.0,
                     "middle": 2.0, "tail": 4.0}


def test_planted_strengths_are_uniform_over_their_range() -> None:
    """Kolmogorov distance of 4,000 draws below 1.95 / sqrt(4000): passed with probability .999."""
    action = Action("move", "", 2.0, True, lambda x, v: x + 2.0 * v[:, None])
    moved = planted_sampler((action,), {"move": 0.5})(torch.zeros(4000, 1), Generator().manual_seed(0))[:, 0]
    ranks = (moved.sort().values + 0.5) - torch.arange(1, 4001) / 4000
    assert float(ranks.abs().max()) < 1.95 / math.sqrt(4000)


def test_the_scaled_divergence_is_at_the_temperature_of_the_select_split(tmp_path: Path) -> None:
    """Logits that are ten times too sure, and so have a temperature near ten: divided by it, predictions move less."""
    problem = ProblemSpec(label="x", source={"name": "digits"}).build(0, 0, tmp_path)
    test, select = problem.examples(Split.TEST), problem.examples(Split.SELECT)
    means = torch.stack([select.x[select.y == k].mean(0) for k in range(10)])

    def nearest(x: Tensor) -> Tensor:
        return -10 * (x[:, None] - means).square().sum((2, 3, 4))

    tuning = nearest(select.x), select.y
    found = class_measures(problem, nearest, test, nearest(test.x), tuning, 3, 2, Generator().manual_seed(0))
    assert found["classes/temperature"] == pytest.approx(fitted_temperature(*tuning)) and tuning[0].isfinite().all()
    assert found["classes/temperature"] > 3
    assert found["classes/ekld_scaled/mean"] < found["classes/ekld/mean"] / 3


def test_measures_of_a_problem_name_every_class_and_follow_its_sizes(tmp_path: Path) -> None:
    spec = ProblemSpec(
        label="x", source={"name": "digits"},
        wrappers=({"name": "long_tailed", "largest": 60, "ratio": 0.1, "select": 10, "ranges": {"rotation": 60.0}},),
    )
    problem = spec.build(0, 0, tmp_path)
    test, select = problem.examples(Split.TEST), problem.examples(Split.SELECT)

    def mean_grey(x: Tensor) -> Tensor:
        grey = x.mean((1, 2, 3))
        return torch.stack([grey * k for k in range(10)], 1)

    found = class_measures(
        problem, mean_grey, test, mean_grey(test.x), (mean_grey(select.x), select.y), 3, 2, Generator().manual_seed(0)
    )
    sizes = [found[f"classes/size/of_{k}"] for k in range(10)]
    assert sorted(sizes) == sorted(float(n) for n in problem.class_sizes())  # type: ignore[attr-defined]
    assert found["classes/accuracy/of_9"] == 1.0 and found["classes/accuracy/mean"] == pytest.approx(0.1)
    assert 0 < found["classes/ekld/mean"] < 0.1  # a turn loses corners and little grey
    assert all(math.isfinite(value) for value in found.values())
    assert {"classes/ekld/slope", "classes/ekld/head", "classes/ekld/tail"} <= set(found)


TAIL = {"name": "long_tailed", "largest": 60, "ratio": 0.1, "select": 10, "ranges": {"rotation": 60.0}}


@pytest.mark.parametrize("planted", [True, False])
def test_image_i_is_moved_by_the_problems_nuisance_and_compared_with_itself(tmp_path: Path, planted: bool) -> None:
    """Image by image by `class_invariance`, whose pairing is tested above: the first three of every class."""
    wrappers = (TAIL,) if planted else ()
    problem = ProblemSpec(label="x", source={"name": "digits"}, wrappers=wrappers).build(0, 0, tmp_path)
    assert isinstance(problem, ArrayProblem) and problem.planted == planted
    test = problem.examples(Split.TEST)
    means = torch.stack([test.x[test.y == k].mean(0) for k in range(10)])

    def nearest(x: Tensor) -> Tensor:
        return -(x[:, None] - means).square().sum((2, 3, 4))

    outputs = nearest(test.x)
    found = class_measures(problem, nearest, test, outputs, (outputs, test.y), 3, 2, Generator().manual_seed(0))
    clean = problem.untouched(10_000) if planted else test
    bank = problem.transform_bank
    sample = planted_sampler(bank, {"rotation": 60.0}) if planted else common_sampler(bank, {})
    x = torch.cat([clean.x[clean.y == k][:3] for k in range(10)])
    y = torch.arange(10).repeat_interleave(3)
    by_hand = class_invariance(nearest, x, y, sample, 2, Generator().manual_seed(0), 10)
    for name, values in (("ekld", by_hand.ekld), ("js", by_hand.divergence), ("consistency", by_hand.consistency)):
        assert [found[f"classes/{name}/of_{k}"] for k in range(10)] == pytest.approx(values.tolist())


@pytest.mark.parametrize(("planted", "expected"), [({"translate_x": 0.1}, {"translate_x": 0.1}),
                                                   ({"rotation": 20.0}, {"rotation": 20.0}), ({}, {"rotation": 45.0})])
def test_the_nuisance_is_what_was_planted_and_nothing_that_a_source_says_to_be_safe(
    tmp_path: Path, planted: dict[str, float], expected: dict[str, float]
) -> None:
    """Glyphs say that 45 degrees more are safe: nobody planted them, and they stand in where nothing was planted.

    Through the cache, so that what is packed there is seen.
    """
    spec = ProblemSpec.model_validate({
        "label": "x", "source": {"name": "glyphs", "images": 120, "test": 40},
        "wrappers": [{**TAIL, "largest": 10, "ratio": 0.5, "select": 5, "ranges": planted}],
    })
    problem, seen = spec.build(0, 0, tmp_path), []

    def watched(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros(len(x), 4)

    assert isinstance(problem, ArrayProblem) and problem.nuisances == planted
    test, clean = problem.examples(Split.TEST), problem.untouched(3)
    class_measures(problem, watched, test, torch.zeros(40, 4), (torch.zeros(4, 4), torch.arange(4)), 3, 1,
                   Generator().manual_seed(0))
    moved = planted_sampler(problem.transform_bank, expected)(clean.x, Generator().manual_seed(0))
    assert not torch.equal(moved, clean.x) and any(torch.equal(moved, x) for x in seen)


def test_what_the_label_is_made_of_is_no_nuisance(tmp_path: Path) -> None:
    """Rotation is the label: a network that tells the angle and nothing else has no divergence under the rest."""
    turned = {"name": "transform_label", "operation": "rotation", "values": [-30.0, 30.0]}
    spec = ProblemSpec.model_validate({"label": "x", "source": {"name": "digits"}, "wrappers": [turned]})
    problem = spec.build(0, 0, tmp_path)
    moved: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        moved.append(x)
        return torch.zeros(len(x), 2)

    test = problem.examples(Split.TEST)
    outputs, generator = watched(test.x), Generator().manual_seed(0)
    class_measures(problem, watched, test, outputs, (outputs, test.y), 20, 6, generator)
    others = tuple(action for action in problem.transform_bank if action.name != "rotation")
    assert len(others) == len(problem.transform_bank) - 1
    x = torch.cat([test.x[test.y == k][:20] for k in range(2)])
    generator = Generator().manual_seed(0)
    expected = [common_sampler(others, {})(x, generator) for _ in range(6)]
    seen = [images for images in moved if len(images) == len(x)]
    assert all(any(torch.equal(one, images) for images in seen) for one in expected)
