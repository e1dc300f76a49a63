"""Whether a task asks an extractor for more than it was trained on, and what is left of its invariance there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from spaces.descriptors import Family
from trainables.contract_toy import toy_context
from trainables.method import Context
from trainables.methods import descriptor, hyperinvariances
from trainables.modules.reach import Reach, reaches
from trainables.problems.bank import standard_bank

FAMILY = Family.model_validate({"factors": ("rotation", "brightness"), "limits": {"brightness": 0.95}})


class Pixels:
    """An extractor whose features are the pixels themselves."""

    family, reference = FAMILY, None

    def finish(self, response: Tensor, descriptors: Tensor) -> Tensor:
        return response.flatten(1)[None].expand(len(descriptors), -1, -1)


class Sums(Pixels):
    """The total, and the sum of squares, of every image: a shift of a black border leaves both."""

    def finish(self, response: Tensor, descriptors: Tensor) -> Tensor:
        flat = response.flatten(1)
        return torch.stack((flat.sum(-1), flat.square().sum(-1)), -1)[None].expand(len(descriptors), -1, -1)


def task(extractor: Any, x: Tensor, **limits: float) -> Any:
    problem = SimpleNamespace(shape=tuple(x.shape[1:]), transform_bank=standard_bank(tuple(x.shape[1:]), limits))
    context = SimpleNamespace(problem=problem, device=torch.device("cpu"))
    return SimpleNamespace(extractor=extractor, images=x, context=context, respond=lambda x: x)


def images() -> Tensor:
    return torch.rand(12, 1, 10, 10, generator=Generator().manual_seed(1))


def by_hand(x: Tensor, degrees: float) -> float:
    """Image by image: the centred cosine of an image and the image turned, its share of the width being the seed's."""
    turn = {action.name: action for action in standard_bank((1, 10, 10), {"rotation": 180.0})}["rotation"]
    mean = x.flatten(1).mean(0)
    cosines = []
    for image, share in zip(x, torch.rand(len(x), generator=Generator().manual_seed(0)), strict=True):
        turned = turn.apply(image[None], (2 * share - 1)[None] * degrees / 180.0)
        a, b = image.flatten() - mean, turned.flatten() - mean
        cosines.append(float(a @ b / (a.norm() * b.norm())))
    return sum(cosines) / len(cosines)


def test_what_is_left_is_measured_over_both_ranges() -> None:
    x = images()
    (found,) = reaches(task(Pixels(), x, rotation=180.0))
    assert (found.action, found.unit, found.trained, found.asked) == ("rotation", "deg", 60.0, 180.0) and found.raised
    assert found.within == pytest.approx(by_hand(x, 60.0), abs=1e-5)
    assert found.reached == pytest.approx(by_hand(x, 180.0), abs=1e-5)
    assert found.within > found.reached + 0.1
    assert found.warning is not None and "trained to 60" in found.warning
    assert "goes to 180 deg of rotation" in found.warning
    assert f"{found.reached:.2f}, within what was trained {found.within:.2f}" in found.warning


def test_a_bank_as_it_is_by_default_is_measured_but_nothing_is_said() -> None:
    """Every problem has it: 90 degrees, where extractors are trained to 60."""
    (found,) = reaches(task(Pixels(), images()))
    assert found.asked == 90.0 and not found.raised and found.warning is None


def test_nothing_is_beyond_what_was_trained() -> None:
    assert reaches(task(Pixels(), images(), rotation=60.0)) == ()


def test_an_extractor_that_ignores_it_anyway_gives_no_warning() -> None:
    """A single bright pixel near the middle: no turn takes it out of the image, and sums know nothing of places."""
    x = torch.zeros(3, 1, 11, 11)
    x[:, 0, 5, 5] = torch.tensor([0.2, 0.6, 1.0])
    (found,) = reaches(task(Sums(), x, rotation=180.0))
    assert found.raised and found.reached > 0.95 and found.warning is None


class Entries(Pixels):
    """Pixels as far as the first entry is on, and their sums as far as it is off."""

    def finish(self, response: Tensor, descriptors: Tensor) -> Tensor:
        flat = response.flatten(1)
        return torch.stack([torch.cat((row[0] * flat, (1 - row[0]) * flat.sum(-1, keepdim=True)), -1)
                            for row in descriptors])


def test_it_is_measured_with_everything_on() -> None:
    (found,), (same,) = (reaches(task(extractor(), images(), rotation=180.0)) for extractor in (Entries, Pixels))
    assert found.reached == pytest.approx(same.reached, abs=1e-5)


def test_a_small_loss_is_not_worth_a_word() -> None:
    worth, not_worth = (Reach("rotation", "deg", 60.0, 180.0, 0.9, 0.9 - lost, True) for lost in (0.11, 0.09))
    assert worth.warning is not None and not_worth.warning is None


def test_an_extractor_that_knows_nothing_of_its_own_images_is_warned_of_all_the_same() -> None:
    context = raised(scale=3.0)
    extractor = context.artefacts["extractor"]
    bare = replace(extractor, read=lambda: {**extractor.state, "reference": None})
    method = finished(descriptor.Config(), replace(context, artefacts={"extractor": bare}))
    assert method.task.extractor.reference is None
    assert any("bank goes to 3" in text for text in method.warnings())


def test_an_unsigned_action_is_drawn_from_zero_on() -> None:
    blur = Family.model_validate({"factors": ("blur",)})
    extractor = type("Blurred", (Pixels,), {"family": blur})()
    (found,) = reaches(task(extractor, images(), gaussian_blur=0.4))
    shares = torch.rand(12, generator=Generator().manual_seed(0))
    action = {a.name: a for a in standard_bank((1, 10, 10), {"gaussian_blur": 0.4})}["gaussian_blur"]
    assert not action.signed
    x, mean = images().flatten(1), images().flatten(1).mean(0)
    moved = action.apply(images(), shares).flatten(1)
    assert found.reached == pytest.approx(float(torch.cosine_similarity(x - mean, moved - mean).mean()), abs=1e-5)


def raised(**limits: float) -> Context:
    """The toy task, whose bank goes further."""
    context = toy_context()
    return replace(context, problem=_Wider(context.problem, limits))


class _Wider:
    def __init__(self, view: Any, limits: dict[str, float]) -> None:
        self._view, self.transform_bank = view, standard_bank(view.shape, limits)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


@pytest.mark.parametrize("config", [descriptor.Config(), hyperinvariances.Config()])
def test_the_methods_say_it_and_the_card_has_it(config: Any, tmp_path: Path) -> None:
    method, usual = finished(config, raised(scale=3.0)), finished(config, toy_context())
    card = json.loads((tmp_path / method.export(tmp_path)["descriptor"]).read_text())
    told = {row["action"]: row for row in card["reach"]}
    warning = Reach(**told["scale"]).warning
    assert warning is not None and warning in method.warnings() and not told["rotation"]["raised"]
    assert not [text for text in usual.warnings() if "bank goes to" in text]


def finished(config: Any, context: Context) -> Any:
    method = config.build(context)
    while not method.step().done:
        pass
    return method
