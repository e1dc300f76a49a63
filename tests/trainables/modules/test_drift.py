"""Drift and idle entries, on the synthetic extractors of `test_control`, whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.test_control import FAMILY, IGNORED, SEPARATE, Synthetic, probe
from trainables.modules.control import Probe, features, invariance
from trainables.modules.drift import drift, inert, probed, rises
from trainables.modules.extractor import Reference
from trainables.modules.reach import LOST

ON = torch.ones(1, 3)


def some(whole: Probe, rows: Tensor) -> Probe:
    return replace(whole, plain=whole.plain[rows], moved=whole.moved[:, rows], theta=whole.theta[rows])


def alike(mix: Tensor) -> tuple[Probe, Tensor]:
    """Images of two kinds, far apart, and which are of the first."""
    whole = probe(mix)
    first = torch.arange(len(whole.plain)) % 2 == 0
    shift = torch.where(first, 5.0, -5.0)[:, None]
    plain, moved = whole.plain.clone(), whole.moved.clone()
    plain[:, 0, :3] += shift
    moved[:, :, 0, :3] += shift
    return replace(whole, plain=plain, moved=moved), first


def test_about_one_centre_it_does_not_matter_what_other_images_there_are() -> None:
    """The mean over all images is that of the means over the two kinds; about centres of their own it is not."""
    whole, first = alike(SEPARATE)
    half = torch.full((1, 3), 0.5)
    centre = features(whole.extractor, whole.plain, half)[0].mean(0)
    parts = [some(whole, first), some(whole, ~first)]
    expected = torch.stack([invariance(part, half, centre) for part in parts]).mean(0)
    torch.testing.assert_close(invariance(whole, half), expected)
    own = torch.stack([invariance(part, half) for part in parts]).mean(0)
    assert (invariance(whole, half) - own).min() > 0.02  # negative control: a kind alone seems to be ignored less


def a_task(reference: Reference | None, mix: Tensor = SEPARATE, offset: float = 0.0) -> Any:
    """What drift and idle entries are asked of."""
    extractor: Any = Synthetic(mix)
    x = torch.randn(100, 1, 4, 8, generator=Generator().manual_seed(1)) + offset
    given = SimpleNamespace(
        family=FAMILY, reference=reference, respond=extractor.respond, finish=extractor.finish, features=7
    )
    problem = SimpleNamespace(transform_bank=(), shape=(1, 4, 8))
    context = SimpleNamespace(device=torch.device("cpu"), problem=problem)
    return SimpleNamespace(extractor=given, images=x, context=context, shared=None)


def test_an_extractor_that_ignores_what_it_did_is_not_told_of() -> None:
    reference = Reference(torch.ones(3), torch.zeros(7))
    assert drift(a_task(reference)) == []
    leaky = drift(a_task(reference, torch.eye(3), offset=0.0)) + drift(a_task(None))
    assert leaky == []


def test_less_invariance_than_in_pre_training_is_told_of_all_factors_in_one_sentence() -> None:
    reference = Reference(torch.tensor([1.0, 1.2, 1.05]), torch.zeros(7))  # the second cannot be reached
    (told,) = drift(a_task(reference))
    assert "than in pre-training (translation 1.00 instead of 1.20): the extractor" in told
    (both,) = drift(a_task(Reference(torch.tensor([1.3, 1.2, 1.05]), torch.zeros(7))))
    assert "(rotation 1.00 instead of 1.30, translation 1.00 instead of 1.20)" in both


@pytest.mark.parametrize(("mix", "idle"), [(SEPARATE, ()), (IGNORED, ("rotation", "translation", "blur"))])
def test_entries_that_do_nothing_are_named(mix: Tensor, idle: tuple[str, ...]) -> None:
    told = inert(a_task(None, mix))
    assert len(told) == bool(idle)
    assert all(f"{name} (+0.00)" in told[0] for name in idle)


def test_an_entry_does_nothing_where_invariance_rises_by_less_than_a_twentieth() -> None:
    """A rise of .06 or .08 is something, one of .04 nothing."""
    mix = torch.diag(torch.tensor([0.25, 0.15, 0.28]))
    rotation, translation, blur = rises(probed(a_task(None, mix))).tolist()
    assert 0.025 < translation < 0.05 < min(rotation, blur) and max(rotation, blur) < 0.1, "else nothing is tested"
    (told,) = inert(a_task(None, mix))
    assert f"translation ({translation:+.2f})" in told and "rotation" not in told and "blur" not in told


class Keeping(Synthetic):
    """With everything on it ignores nothing."""

    def finish(self, response: Tensor, descriptors: Tensor) -> Tensor:
        return super().finish(response, torch.zeros_like(descriptors))


def test_images_of_one_kind_are_measured_about_the_centre_of_pre_training() -> None:
    """They lie far from it and close about their own: about that one invariance seems to be lost."""
    task = a_task(None)
    task.extractor.finish = Keeping(SEPARATE).finish
    task.images[..., 0, :] += 4
    images, centre = probed(task), torch.zeros(7)
    there = invariance(images, ON, centre)[0]
    assert float((there - invariance(images, ON)[0]).max()) > 2 * LOST, "negative control"
    task.extractor.reference = Reference(there, centre)
    assert drift(task) == []
    task.extractor.reference = Reference(there + 1.5 * LOST, centre)
    (said,) = drift(task)  # one sentence for all factors
    assert said.count(" instead of ") == 3, said


def test_what_rises_is_on_less_off() -> None:
    whole = probe(SEPARATE)
    ends = invariance(whole, torch.stack((torch.zeros(3), torch.ones(3))))
    torch.testing.assert_close(rises(whole), ends[1] - ends[0])
    assert rises(whole).min() > 0.05
