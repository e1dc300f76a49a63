"""Few-shot, planted nuisance, and the transform as the label or the target: known answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from spaces.transforms import Operation, apply, warp
from tests.support.toy_problems import ImageToy, RegressionToy, SignalToy
from tracking.errors import UserError
from trainables.problems.dataset import POOL, Dataset, WrapperConfig
from trainables.problems.episodes import Config as Episodes
from trainables.problems.few_shot import Config as FewShot
from trainables.problems.long_tailed import Config as LongTailed
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.problem import Kind, Split, Truth
from trainables.problems.spec import ProblemSpec
from trainables.problems.transform_label import Config as TransformLabel
from trainables.problems.transform_target import Config as TransformTarget


@pytest.fixture
def toy() -> Dataset:
    return ImageToy(noise=0).load(0)


def test_few_shot_keeps_n_per_class_and_the_test_set(toy: Dataset) -> None:
    few = FewShot(shots=5).wrap(toy, 0)
    assert np.bincount(few.pool_y).tolist() == [5, 5, 5]
    assert few.test_x is toy.test_x
    noisy = ImageToy().load(0)
    draws = [FewShot(shots=5).wrap(noisy, seed).pool[Split.TRAIN].tobytes() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_few_shot_rows_keep_their_labels() -> None:
    toy = ImageToy().load(0)
    label = {x.tobytes(): y for x, y in zip(toy.pool[Split.TRAIN], toy.pool_y, strict=True)}
    few = FewShot(shots=7).wrap(toy, 3)
    assert all(label[x.tobytes()] == y for x, y in zip(few.pool[Split.OUTER], few.pool_y, strict=True))


@pytest.mark.parametrize("names", [(), ("ell",)])
def test_few_shot_counts_classes_that_have_no_name(toy: Dataset, names: tuple[str, ...]) -> None:
    few = FewShot(shots=5).wrap(replace(toy, classes=names), 0)
    assert np.array_equal(few.pool_y, FewShot(shots=5).wrap(toy, 0).pool_y)
    with pytest.raises(UserError, match=rf"got:  {names[0] if names else 0} \(24\), 1 \(24\), 2 \(24\)"):
        FewShot(shots=25).wrap(replace(toy, classes=names), 0)


def test_few_shot_of_real_targets_counts_them_in_all() -> None:
    toy = RegressionToy().load(0)
    few = FewShot(shots=5).wrap(toy, 0)
    assert len(few.pool_y) == 5 and few.test_x is toy.test_x
    target = {x.tobytes(): y.tobytes() for x, y in zip(toy.pool[Split.TRAIN], toy.pool_y, strict=True)}
    assert all(target[x.tobytes()] == y.tobytes() for x, y in zip(few.pool[Split.TRAIN], few.pool_y, strict=True))
    with pytest.raises(UserError, match=r"real targets \(\d+\)"):
        FewShot(shots=10_000).wrap(toy, 0)


def test_few_shot_of_tasks_is_refused() -> None:
    episodes = ProblemSpec(label="x", source={"name": "digits"}, wrappers=({"name": "episodes", "ways": 3},)).dataset(0)
    with pytest.raises(UserError, match="per class"):
        FewShot(shots=5).wrap(episodes, 0)


def test_nuisance_shifts_signals_by_known_amounts() -> None:
    """A circular shift by whole samples is np.roll; strengths are those of the seed and lie in [-r, r]."""
    plain = SignalToy(noise=0).load(0)
    moved = Nuisance(ranges={"time_shift": 0.25}).wrap(plain, 0)
    assert moved.truth == Truth({"time_shift": 0.25}, {})  # what was planted, not how much more would be safe
    before, after = (np.fft.rfft(data.pool[Split.TRAIN][:, 0]) for data in (plain, moved))
    cycles = plain.pool_y + 1
    rows = np.arange(len(cycles))
    turned = np.angle(after[rows, cycles] / before[rows, cycles])
    shift = -turned / (2 * np.pi * cycles)  # fraction of the length, modulo 1 / cycles
    assert np.allclose(np.abs(after[rows, cycles]), np.abs(before[rows, cycles]), rtol=1e-4)
    one = cycles == 1
    assert np.abs(shift[one]).max() <= 0.25 + 1e-5
    assert np.abs(shift[one]).max() > 0.15  # 24 uniform draws all below 0.6 r: probability 0.6^24 < 1e-5


@pytest.mark.parametrize("wrapper", ["nuisance", "long_tailed", "episodes"])
def test_what_is_planted_stays_within_what_the_source_says_to_be_safe(wrapper: str) -> None:
    """Glyphs turned by up to 45 degrees have 45 left: what is planted is the truth, and no further turn is a nuisance.

    What the source says of an action that was not planted stays.
    """
    source = {"name": "glyphs", "images": 160, "test": 16}
    if wrapper == "episodes":  # wants more classes than glyphs have
        dataset = replace(ProblemSpec(label="x", source={"name": "digits"}).dataset(0), truth=Truth({"rotation": 45.0}))
    else:
        dataset = ProblemSpec(label="x", source=source).dataset(0)
    made = {"nuisance": Nuisance, "long_tailed": partial(LongTailed, largest=10, ratio=0.5, select=5),
            "episodes": partial(Episodes, ways=2)}[wrapper]
    for reach in (30.0, 45.0):
        assert made(ranges={"rotation": reach}).wrap(dataset, 0).truth == Truth({"rotation": reach})
    other = made(ranges={"brightness": 0.2}).wrap(dataset, 0)
    assert other.truth == Truth({"rotation": 45.0, "brightness": 0.2})
    with pytest.raises(UserError, match=r"(?s)safe up to 45 deg.*got:  46.*at most rotation: 45"):
        made(ranges={"rotation": 46.0}).wrap(dataset, 0)


def test_nuisance_on_some_splits_leaves_the_others_untouched(toy: Dataset) -> None:
    moved = Nuisance(ranges={"rotation": 45}, on=(Split.SELECT, Split.TEST)).wrap(toy, 0)
    assert moved.pool[Split.TRAIN] is toy.pool[Split.TRAIN] is moved.pool[Split.OUTER]
    assert not np.array_equal(moved.pool[Split.SELECT], toy.pool[Split.SELECT])
    assert not np.array_equal(moved.test_x, toy.test_x)
    assert np.array_equal(moved.pool_y, toy.pool_y)
    everywhere = Nuisance(ranges={"rotation": 45}).wrap(toy, 0)
    assert everywhere.pool[Split.TRAIN] is everywhere.pool[Split.SELECT]  # stored once
    assert np.array_equal(everywhere.pool[Split.TRAIN], moved.pool[Split.SELECT])  # same strengths per row


def test_flip_nuisance_shows_each_image_or_its_mirror_image(toy: Dataset) -> None:
    moved = Nuisance(ranges={"flip_horizontal": 1.0}).wrap(toy, 0)
    x, y = toy.pool[Split.TRAIN], moved.pool[Split.TRAIN]
    same, mirrored = (x == y).all((1, 2, 3)), (x[..., ::-1] == y).all((1, 2, 3))
    assert (same | mirrored).all()
    asymmetric = ~(x[..., ::-1] == x).all((1, 2, 3))
    # 48 or more fair coins: between 20 % and 80 % heads with probability 1 - 3e-5.
    assert 0.2 < mirrored[asymmetric].mean() < 0.8


def test_affine_nuisances_are_one_warp(toy: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: Any) -> torch.Tensor:
        calls.append(args)
        return warp(*args)

    monkeypatch.setattr("trainables.problems.bank.warp", counted)
    Nuisance(ranges={"rotation": 20, "translate_x": 0.1, "scale": 0.2}, on=(Split.TEST,)).wrap(toy, 0)
    assert len(calls) == 1


def test_images_before_the_nuisance_are_moved_by_the_label_too(toy: Dataset) -> None:
    """A nuisance of brightness, then the turn as the label: what is kept for the harness is turned, not brighter."""
    bright = Nuisance(ranges={"brightness": 0.3}).wrap(toy, 0)
    both = TransformLabel(operation="rotation", values=(0.0, 45.0)).wrap(bright, 0)
    alone = TransformLabel(operation="rotation", values=(0.0, 45.0)).wrap(toy, 0)
    assert both.clean_x is not None and alone.clean_x is None
    assert np.array_equal(both.clean_x, alone.test_x) and not np.array_equal(both.clean_x, both.test_x)


def test_transform_label_is_the_transform_that_was_applied(toy: Dataset) -> None:
    values = (0.0, 45.0, 90.0)
    task = TransformLabel(operation="rotation", values=values).wrap(toy, 0)
    assert task.outputs == 3
    assert task.truth == Truth({}, {"rotation": 45.0})
    assert np.bincount(task.pool_y).tolist() == [24, 24, 24]
    assert task.classes == ("rotation=0", "rotation=45", "rotation=90")
    for split in POOL:
        for label, value in enumerate(values):
            rows = task.pool_y == label
            x = torch.from_numpy(toy.pool[split][rows]).float() / 255
            rotated = apply(Operation.ROTATION, x, torch.ones(len(x)), limit=value) if value else x
            error = (torch.from_numpy(task.pool[split][rows]).float() / 255 - rotated).abs().max()
            assert error <= 0.5 / 255 + 1e-5  # stored in 8 bits


@pytest.mark.parametrize(
    ("operation", "reach", "signed"), [("rotation", 30.0, True), ("gaussian_blur", 0.1, False)]
)
def test_transform_target_is_how_far_it_was_applied(toy: Dataset, operation: str, reach: float, signed: bool) -> None:
    task = TransformTarget(operation=operation, reach=reach).wrap(toy, 0)
    target = task.pool_y[:, 0]
    assert task.kind is Kind.REGRESSION and task.outputs == 1 and task.classes == ()
    assert task.pool_y.dtype == np.float32 and task.pool_y.shape == (72, 1)
    assert task.truth == Truth({}, {operation: pytest.approx(reach / (3 if signed else 12) ** 0.5)})
    assert (target.min() < -0.5) == signed and 0.5 < target.max() <= 1  # else 72 uniform draws miss a quarter: 1e-9
    for split in POOL:
        before = torch.from_numpy(toy.pool[split]).float() / 255
        expected = apply(Operation(operation), before, torch.from_numpy(target), limit=reach)
        assert (torch.from_numpy(task.pool[split]).float() / 255 - expected).abs().max() <= 0.5 / 255 + 1e-5
    expected = apply(Operation(operation), tensor(toy.test_x), torch.from_numpy(task.test_y[:, 0]), limit=reach)
    assert (tensor(task.test_x) - expected).abs().max() <= 0.5 / 255 + 1e-5


def tensor(stored: Any) -> torch.Tensor:
    return torch.from_numpy(stored).float() / 255


def test_images_before_the_nuisance_are_moved_by_the_target_too(toy: Dataset) -> None:
    bright, target = Nuisance(ranges={"brightness": 0.3}).wrap(toy, 0), TransformTarget(operation="rotation")
    both, alone = target.wrap(bright, 0), target.wrap(toy, 0)
    assert both.clean_x is not None and alone.clean_x is None
    assert np.array_equal(both.clean_x, alone.test_x) and not np.array_equal(both.clean_x, both.test_x)


def test_one_target_says_nothing_of_another(toy: Dataset) -> None:
    turned, lit = (TransformTarget(operation=name).wrap(toy, 0).pool_y[:, 0] for name in ("rotation", "brightness"))
    assert abs(np.corrcoef(turned, lit)[0, 1]) < 0.5  # of 72 independent pairs beyond .5 in one of 10^5


def test_targets_are_uniform_and_of_their_seed() -> None:
    draws = [TransformTarget(operation="rotation").wrap(ImageToy().load(0), seed).pool_y for seed in range(40)]
    again = TransformTarget(operation="rotation").wrap(ImageToy().load(0), 0).pool_y
    assert np.array_equal(draws[0], again)
    # 2,880 draws against the distribution function; a false alarm in one of ten thousand.
    assert kstest(np.concatenate(draws)[:, 0], "uniform", (-1, 2)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("wrapper", "said"),
    [
        (Nuisance(ranges={"rotaton": 10}), "did you mean `rotation`"),
        (Nuisance(ranges={"rotation": 120}), "limits: {rotation: 120}"),
        (Nuisance(ranges={"rotation": -3}), r"must lie in \(0, 90\] deg"),
        (Nuisance(ranges={"flip_horizontal": 0.5}), "on or off"),
        (TransformLabel(operation="rotate", values=(0, 1)), "did you mean `rotation`"),
        (TransformLabel(operation="rotation", values=(0, 100)), r"\[-90, 90\]"),
        (TransformTarget(operation="rotate"), "did you mean `rotation`"),
        (TransformTarget(operation="rotation", reach=120), "limits: {rotation: 120}"),
        (TransformTarget(operation="flip_horizontal"), "use `transform_label`"),
    ],
)
def test_bad_wrappers(wrapper: Any, said: str, toy: Dataset) -> None:
    with pytest.raises(UserError, match=said):
        wrapper.wrap(toy, 0)


@pytest.mark.parametrize(
    "label", [TransformLabel(operation="rotation", values=(0, 90)), TransformTarget(operation="rotation")]
)
def test_label_and_nuisance_may_not_be_the_same_transform(toy: Dataset, label: WrapperConfig) -> None:
    nuisance = Nuisance(ranges={"rotation": 10})
    with pytest.raises(UserError, match="cannot be a nuisance too"):
        nuisance.wrap(label.wrap(toy, 0), 0)
    with pytest.raises(UserError, match="cannot be the label too"):
        label.wrap(nuisance.wrap(toy, 0), 0)


@pytest.mark.parametrize("second", [
    TransformLabel(operation="rotation", values=(0, 90)), TransformTarget(operation="rotation"),
])
def test_inputs_are_moved_by_their_label_once(toy: Dataset, second: WrapperConfig) -> None:
    """Twice, each would be elsewhere than its label says; by two transforms the last one is the label."""
    for first in (TransformLabel(operation="rotation", values=(0, 45)), TransformTarget(operation="rotation")):
        with pytest.raises(UserError, match="already cannot become the label"):
            second.wrap(first.wrap(toy, 0), 0)
    lit = TransformTarget(operation="brightness").wrap(toy, 0)
    assert (second.wrap(lit, 0).truth or Truth()).harmful.keys() == {"rotation"}


def test_raised_limit_widens_the_bank_and_admits_the_range() -> None:
    spec = ProblemSpec(
        label="turned",
        source={"name": "toy_images"},
        wrappers=({"name": "nuisance", "ranges": {"rotation": 180}},),
        limits={"rotation": 180},
    )
    dataset = spec.dataset(0)
    assert dataset.truth == Truth({"rotation": 180.0}, {})
    assert dataset.actions()["rotation"].limit == 180


def test_planted_range_does_not_show_in_the_bank() -> None:
    """A method sees the bank: its limits must be the same whatever was planted."""
    plain = ProblemSpec(label="a", source={"name": "toy_images"}).dataset(0)
    nuisance = {"name": "nuisance", "ranges": {"rotation": 60}}
    planted = ProblemSpec(label="b", source={"name": "toy_images"}, wrappers=(nuisance,)).dataset(0)
    assert plain.actions() == planted.actions()


@pytest.mark.parametrize("reach", [float("inf"), float("nan"), 0.0])
def test_a_reach_is_a_positive_number(reach: float) -> None:
    with pytest.raises(ValueError, match="reach"):
        TransformTarget(operation="rotation", reach=reach)
