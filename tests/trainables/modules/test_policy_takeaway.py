"""What a policy leaves behind: the same policy, the same strengths in torchvision, files that can be looked at."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as f
from torchvision.transforms.v2.functional import to_pil_image

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import TRANSFORMS, Operation, Strength, apply
from tests.spaces.transform_laws import smooth_image
from trainables.contract_toy import toy_context
from trainables.method import Exports
from trainables.methods import random_policy, unrolled
from trainables.modules.policy_pipeline import source
from trainables.modules.policy_takeaway import DRAWS, export, sheet, table

# Largest differences; the blur's kernel is sampled and ours is not, hue turns in another space, cutout is drawn.
LOOSE = {Operation.GAUSSIAN_BLUR: 0.03, Operation.HUE: None, Operation.CUTOUT: None}


def every(weight: float = 1 / 20) -> Policy:
    return Policy(entries=tuple(PolicyEntry(operation=o, weight=weight, magnitude=0.6) for o in Operation))


def module(text: str) -> ModuleType:
    made = ModuleType("augmentation")
    exec(compile(text, "augmentation.py", "exec"), made.__dict__)
    return made


@pytest.mark.parametrize("operation", [o for o in Operation if LOOSE.get(o, 0.0) is not None], ids=str)
def test_torchvision_does_the_same_at_the_same_strength(operation: Operation) -> None:
    mixed = 0.8 * smooth_image(1, 3, 24, 24) + 0.2 * torch.rand(1, 3, 24, 24, generator=Generator().manual_seed(0))
    transform, x = TRANSFORMS[operation], (mixed * 255).round() / 255
    theirs: Callable[[Tensor, float], Tensor] = getattr(module(source(every())), operation.value)
    for v in (0.3, -0.5) if transform.signed else (0.4,):
        v = 1.0 if transform.strength is Strength.BLEND else v
        ours = apply(operation, x, torch.tensor([v]))
        inner = (..., slice(4, -4), slice(4, -4))  # borders are each library's own
        assert_close(ours[inner], theirs(x, v * transform.limit)[inner], rtol=0, atol=LOOSE.get(operation) or 6e-3)
        assert (theirs(x, v * transform.limit) - x).abs().max() > 0.01


def test_the_text_names_what_is_not_quite_ours_and_nothing_else() -> None:
    named = {o for o in Operation if f"# {o} is not quite" in source(every())}
    assert named == {Operation.GAUSSIAN_BLUR, Operation.HUE, Operation.CUTOUT, Operation.POSTERISE, Operation.EQUALISE}
    assert "not quite" not in source(Policy(entries=(PolicyEntry(operation=Operation.ROTATION, weight=1.0),)))


def test_the_pipeline_draws_by_weight_and_within_the_ranges() -> None:
    """Brightness of a grey image tells the factor: within 1 +- 0.3, and left alone in half of the draws."""
    entry = PolicyEntry(operation=Operation.BRIGHTNESS, weight=0.5, magnitude=0.5, limit=0.6)
    made = module(source(Policy(entries=(entry,))))
    torch.manual_seed(0)  # torchvision draws from the global generator
    factors = torch.stack([made.augmentation(torch.full((1, 2, 2), 0.5)).mean() / 0.5 for _ in range(400)])
    changed = (factors - 1).abs() > 1e-6
    assert 0.4 < float(changed.float().mean()) < 0.6  # 4 standard errors
    assert 0.7 <= float(factors.min()) < 0.75 and 1.25 < float(factors.max()) <= 1.3


def test_everything_runs_on_grey_and_colour_images_and_can_be_sent_to_workers() -> None:
    made = module(source(every()))
    torch.manual_seed(0)
    for channels in (1, 3):
        x = smooth_image(1, channels, 16, 20)[0].float()
        for option in made.CHOICE.transforms:
            if channels == 1 and any(str(o) in repr(option) for o in (Operation.HUE, Operation.SATURATION)):
                continue
            assert option(x).shape == x.shape
    assert made.cut(torch.ones(1, 8, 8), 4).sum() < 64
    __import__("sys").modules["augmentation"] = made
    try:
        assert len(pickle.loads(pickle.dumps(made.augmentation)).transforms[-1].transforms) == 21
    finally:
        del __import__("sys").modules["augmentation"]


@pytest.mark.parametrize("operation", list(Operation), ids=str)
def test_bytes_and_pil_images_become_what_floats_become(operation: Operation) -> None:
    """Bytes once were solarised at a threshold that is a share of white: all of them were inverted."""
    entry = PolicyEntry(operation=operation, weight=1.0, magnitude=0.5)
    made = module(source(Policy(entries=(entry,))))
    rough = torch.rand(3, 16, 16, generator=Generator().manual_seed(0))
    wide = ((0.8 * smooth_image(1, 3, 16, 16)[0].float() + 0.2 * rough) * 255).round()
    given = {"floats": wide / 255, "bytes": wide.to(torch.uint8), "PIL": to_pil_image(wide.to(torch.uint8))}
    found = {}
    for kind, x in given.items():
        torch.manual_seed(3)
        found[kind] = made.augmentation(x)
        assert found[kind].dtype == torch.float32 and 0 <= float(found[kind].min()) <= float(found[kind].max()) <= 1
    assert_close(found["bytes"], found["floats"], rtol=0, atol=1e-6)
    assert_close(found["PIL"], found["floats"], rtol=0, atol=1e-6)
    assert (found["floats"] - wide / 255).abs().max() > 1e-3


def test_the_table_has_physical_units_and_the_rest() -> None:
    policy = Policy(entries=(
        PolicyEntry(operation=Operation.INVERT, weight=0.1),
        PolicyEntry(operation=Operation.ROTATION, weight=0.6, magnitude=0.5, limit=90.0),
    ))
    assert table(policy).splitlines()[2:] == [
        "| rotation | 0.600 | -45 to 45 deg |", "| invert | 0.100 | in full |", "| none | 0.300 | |",
    ]


@pytest.mark.parametrize(("operation", "magnitude", "limit", "said"), [
    (Operation.BRIGHTNESS, 0.5, None, "factor 0.55 to 1.45"),
    (Operation.CONTRAST, 1.0, 1.5, "factor 0 to 2.5"),
    (Operation.SATURATION, 0.1, None, "factor 0.91 to 1.09"),
    (Operation.SHARPNESS, 1.0, None, "factor 0.1 to 1.9"),
    (Operation.SCALE, 1.0, None, "factor 0.667 to 1.5"),
    (Operation.SOLARISE, 0.25, None, "threshold 1 to 0.75 of white"),
    (Operation.POSTERISE, 0.5, None, "8 to 6 bits kept"),
    (Operation.TRANSLATE_X, 1.0, None, "-0.45 to 0.45 fraction of width"),
    (Operation.CUTOUT, 0.5, None, "0 to 0.25 fraction of side"),
], ids=lambda value: str(value))
def test_the_table_says_what_one_would_pass_on(
    operation: Operation, magnitude: float, limit: float | None, said: str
) -> None:
    """Factors are around one, thresholds and bits are what is kept; written by hand."""
    entry = PolicyEntry(operation=operation, weight=1.0, magnitude=magnitude, limit=limit)
    assert table(Policy(entries=(entry,))).splitlines()[2] == f"| {operation} | 1.000 | {said} |"


@pytest.mark.parametrize(("operation", "numbers", "of"), [
    (Operation.BRIGHTNESS, (0.25, 1.75), "adjust_brightness"), (Operation.CONTRAST, (0.25, 1.75), "adjust_contrast"),
    (Operation.SOLARISE, (1.0, 0.25), "solarize"), (Operation.POSTERISE, (8, 7), "posterize"),
])
def test_its_numbers_given_to_torchvision_do_what_the_policy_does_at_the_ends(
    operation: Operation, numbers: tuple[float, float], of: str
) -> None:
    entry = PolicyEntry(operation=operation, weight=1.0, limit=0.75)
    told = [float(word) for word in re.findall(r"[\d.]+", table(Policy(entries=(entry,))).splitlines()[2])[1:3]]
    assert tuple(told) == numbers
    x = (smooth_image(1, 3, 24, 24) * 255).round().float() / 255
    far = getattr(f, of)(x, int(told[1]) if operation is Operation.POSTERISE else told[1])
    assert_close(apply(operation, x, torch.tensor([1.0]), limit=0.75), far, rtol=0, atol=6e-3)
    assert (far - x).abs().max() > 0.003


@pytest.mark.parametrize("config", [random_policy.Config(), unrolled.Config()], ids=["control", "search"])
def test_methods_leave_files_that_give_their_policy_again(config: object, tmp_path: Path) -> None:
    method = config.build(toy_context())  # type: ignore[attr-defined]
    while not method.step().done:
        pass
    assert isinstance(method, Exports)
    files = method.export(tmp_path)
    read = Policy.model_validate_json((tmp_path / files["policy"]).read_text())
    assert read == method.found().policy  # type: ignore[attr-defined]
    assert hasattr(module((tmp_path / files["pipeline"]).read_text()), "augmentation")
    with Image.open(tmp_path / files["samples"]) as image:
        assert min(image.size) > 20


def test_a_sheet_shows_each_image_and_then_its_draws() -> None:
    x = smooth_image(2, 1, 8, 8)
    shown = sheet(Policy(entries=(PolicyEntry(operation=Operation.INVERT, weight=1.0),)), x)
    assert torch.equal(shown[0], x[0]) and torch.equal(shown[DRAWS + 1], x[1])
    assert_close(shown[1], 1 - x[0])


@pytest.mark.parametrize(("channels", "there"), [(1, True), (2, False), (3, True), (4, False)])
def test_a_pipeline_is_left_where_torchvision_could_run_it(channels: int, there: bool, tmp_path: Path) -> None:
    """Its colour operations take one channel or three; the policy itself is left for any."""
    policy = Policy(entries=(PolicyEntry(operation=Operation.BRIGHTNESS, weight=1.0, magnitude=0.5),))
    files = export(policy, torch.rand(2, channels, 9, 11, generator=Generator().manual_seed(0)), tmp_path)
    assert ("pipeline" in files) == ("samples" in files) == (tmp_path / "augmentation.py").exists() == there
    assert Policy.model_validate_json((tmp_path / files["policy"]).read_text()) == policy
