"""Policies: what is refused, and what is drawn how often."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Generator, Tensor

from spaces.policies import Policy, PolicyEntry
from spaces.search_free import trivial_augment, trivial_augment_table
from spaces.transforms import Operation
from tests.spaces.draws import FALSE_ALARM, frequencies_fit
from tests.spaces.transform_laws import smooth_image


def entry(
    operation: Operation, weight: float, magnitude: float = 1.0, limit: float | None = None
) -> PolicyEntry:
    return PolicyEntry(operation=operation, weight=weight, magnitude=magnitude, limit=limit)


def test_policy_draws_entries_by_weight_and_the_identity_by_the_rest() -> None:
    weights = torch.tensor([0.3, 0.2, 0.1, 0.4])
    names = (Operation.FLIP_HORIZONTAL, Operation.INVERT, Operation.FLIP_VERTICAL)
    policy = Policy(entries=tuple(entry(n, float(w)) for n, w in zip(names, weights, strict=False)))
    image = smooth_image(1, 1, 4, 4)
    y = policy.draw(image.expand(4000, -1, -1, -1), Generator().manual_seed(0))
    outcomes = torch.cat((image.flip(-1), 1 - image, image.flip(-2), image))
    counts = torch.stack([(y == outcome).flatten(1).all(1).sum() for outcome in outcomes])
    assert counts.sum() == 4000
    assert frequencies_fit(counts, weights)
    # The check tells 0.3 from 0.35 at this sample size.
    assert not frequencies_fit(counts, torch.tensor([0.35, 0.2, 0.1, 0.35]))


def test_strengths_are_uniform_up_to_the_bound_with_both_signs() -> None:
    policy = Policy(entries=(entry(Operation.BRIGHTNESS, 1.0, magnitude=0.5, limit=0.8),))
    x = torch.full((4000, 1, 1, 1), 0.5, dtype=torch.float64)
    v = ((policy.draw(x, Generator().manual_seed(1)) / x - 1) / 0.8).flatten()
    assert stats.kstest(v.numpy(), stats.uniform(-0.5, 1.0).cdf).pvalue > FALSE_ALARM
    assert stats.kstest(v.numpy(), stats.uniform(-0.55, 1.1).cdf).pvalue < FALSE_ALARM


def test_unsigned_strengths_are_positive_and_blends_full(drawn: dict[str, Tensor]) -> None:
    policy = Policy(entries=(entry(Operation.SOLARISE, 0.5, 0.4), entry(Operation.EQUALISE, 0.25, 0.4)))
    policy.draw(smooth_image(2000), Generator().manual_seed(2))
    index, v = drawn["index"], drawn["v"]
    assert (v[index == 1] == 1).all()
    solarise = v[index == 0]
    assert solarise.min() >= 0
    assert 0.39 < solarise.max() <= 0.4


@pytest.mark.parametrize("seed", [0, 1])
def test_the_generator_decides_everything(seed: int) -> None:
    policy = Policy(entries=(entry(Operation.ROTATION, 0.5), entry(Operation.CUTOUT, 0.5)))
    x, table = smooth_image(16), trivial_augment_table(3, 18, 22)
    draws = (lambda g: policy.draw(x, g), lambda g: trivial_augment(x, g, table))
    for draw in draws:
        state = torch.get_rng_state()
        first, again = (draw(Generator().manual_seed(seed)) for _ in range(2))
        assert torch.equal(first, again)
        assert not torch.equal(first, draw(Generator().manual_seed(seed + 1)))
        assert torch.equal(state, torch.get_rng_state())  # not the global generator


def test_images_of_a_batch_are_drawn_independently() -> None:
    policy = Policy(entries=(entry(Operation.ROTATION, 1.0),))
    y = policy.draw(smooth_image(1).expand(20, -1, -1, -1), Generator().manual_seed(0))
    assert len(y.unique(dim=0)) == 20


def test_physical_units() -> None:
    policy = Policy(
        entries=(
            entry(Operation.ROTATION, 0.5, 0.5, limit=60.0),
            entry(Operation.TRANSLATE_X, 0.2, 0.1),
            entry(Operation.INVERT, 0.1),
        )
    )
    assert policy.physical() == pytest.approx(
        {
            "policy/rotation/probability": 0.5,
            "policy/rotation/range_deg": 30.0,
            "policy/translate_x/probability": 0.2,
            "policy/translate_x/range_fraction_of_width": 0.045,
            "policy/invert/probability": 0.1,
        }
    )


def test_several_ranges_of_one_operation_are_summed_and_averaged() -> None:
    ranges = (entry(Operation.ROTATION, 0.3, 0.5, limit=60.0), entry(Operation.ROTATION, 0.1, 0.25, limit=60.0))
    assert Policy(entries=ranges).physical() == pytest.approx({
        "policy/rotation/probability": 0.4, "policy/rotation/range_deg": 0.75 * 30 + 0.25 * 15,
    })
    never = tuple(one.model_copy(update={"weight": 0.0}) for one in ranges)
    assert Policy(entries=never).physical()["policy/rotation/range_deg"] == pytest.approx(22.5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ((), "at least 1 item"),
        ((entry(Operation.ROTATION, 0.7), entry(Operation.HUE, 0.4)), "must sum to 1 at most.* but got 1.1"),
        ((entry(Operation.ROTATION, 0.1), entry(Operation.ROTATION, 0.1)), "but got rotation more than once with the"),
    ],
)
def test_inconsistent_policies_are_refused(entries: tuple[PolicyEntry, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Policy(entries=entries)


@pytest.mark.parametrize("field", [{"weight": 1.1}, {"magnitude": -0.1}, {"limit": 0.0}, {"strength": 1.0}])
def test_entries_out_of_range_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PolicyEntry.model_validate({"operation": "rotation", "weight": 0.5, "magnitude": 0.5} | field)


def test_policy_survives_json() -> None:
    policy = Policy(entries=(entry(Operation.SHEAR_X, 0.25, 0.3, 0.5), entry(Operation.CUTOUT, 0.75)))
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_weights_with_rounding_are_accepted() -> None:
    weights = torch.softmax(torch.randn(20, generator=Generator().manual_seed(0)), 0).tolist()
    policy = Policy(entries=tuple(entry(o, w) for o, w in zip(Operation, weights, strict=True)))
    assert policy.draw(smooth_image(64), Generator().manual_seed(0)).isfinite().all()


def test_colour_entries_are_refused_for_grey_images() -> None:
    with pytest.raises(ValueError, match="hue needs images with 3 channels"):
        Policy(entries=(entry(Operation.HUE, 0.1),)).draw(smooth_image(2, 1), Generator())
