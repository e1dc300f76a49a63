"""Digits and torchvision data against their raw numbers; the signal bank against closed forms."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from sklearn.datasets import load_digits

from tracking.errors import UserError
from trainables.problems.digits import Config as Digits
from trainables.problems.problem import Split
from trainables.problems.signal_bank import signal_bank
from trainables.problems.torchvision_dataset import DATASETS, _images, _targets
from trainables.problems.torchvision_dataset import Config as Torchvision

DATA = Path(__file__).resolve().parents[3].parent / "shared/data"
RAW = DATA / "MNIST/raw"


def test_digits_are_scikit_learns_digits() -> None:
    dataset = Digits(size=8).load(0)
    x, y = load_digits(return_X_y=True)
    known = {(np.round(row / 16 * 255).astype(np.uint8).tobytes(), k) for row, k in zip(x, y, strict=True)}
    pool = zip(dataset.pool[Split.TRAIN], dataset.pool_y, strict=True)
    test = zip(dataset.test_x, dataset.test_y, strict=True)
    assert {(image.tobytes(), k) for image, k in (*pool, *test)} == known
    assert (len(dataset.pool_y), len(dataset.test_y)) == (1097, 700)


def test_digits_test_set_is_stratified_and_seeded() -> None:
    first, again, other = (Digits().load(seed) for seed in (0, 0, 1))
    assert np.array_equal(first.test_x, again.test_x)
    assert not np.array_equal(first.test_x, other.test_x)
    _, y = load_digits(return_X_y=True)
    assert np.abs(np.bincount(first.test_y) - np.bincount(y) * 700 / 1797).max() < 1


def test_digits_upsampling_keeps_the_mean_inside() -> None:
    """Bilinear by two at half-pixel centres: means of 2x2 are the original blurred by (1, 6, 1) / 8."""
    small, large = Digits(size=8).load(0).test_x / 255, Digits(size=16).load(0).test_x / 255
    means = large.reshape(len(large), 1, 8, 2, 8, 2).mean((3, 5))
    kernel = np.array([1, 6, 1]) / 8
    edges = np.pad(small, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = sum(k * edges[..., i : i + 8, :] for i, k in enumerate(kernel))
    expected = sum(k * rows[..., i : i + 8] for i, k in enumerate(kernel))
    assert np.abs(means - expected).max() < 2 / 255  # rounding of both sides to 8 bits


@pytest.mark.skipif(not RAW.is_dir(), reason=f"needs MNIST under {RAW}")
def test_mnist_is_the_raw_files() -> None:
    dataset = Torchvision(dataset="MNIST", root=str(DATA), limit=200).load(0)
    pixels = np.frombuffer((RAW / "t10k-images-idx3-ubyte").read_bytes(), np.uint8)[16:].reshape(-1, 784)
    labels = np.frombuffer((RAW / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8)[8:]
    known = {(image.tobytes(), int(k)) for image, k in zip(pixels, labels, strict=True)}
    assert dataset.shape == (1, 28, 28)
    assert len(dataset.test_y) == len(dataset.pool_y) == 200
    test = zip(dataset.test_x, dataset.test_y, strict=True)
    assert {(image.tobytes(), int(k)) for image, k in test} <= known
    assert np.abs(np.bincount(dataset.test_y) - np.bincount(labels) * 200 / len(labels)).max() <= 1


@pytest.mark.skipif(not RAW.is_dir(), reason=f"needs MNIST under {RAW}")
def test_mnist_resized() -> None:
    assert Torchvision(dataset="MNIST", root=str(DATA), limit=20, size=14).load(0).shape == (1, 14, 14)


@pytest.mark.parametrize("name", DATASETS)
def test_table_of_datasets_fits_torchvision(name: str) -> None:
    parameters = inspect.signature(getattr(torchvision.datasets, name)).parameters
    for choice in DATASETS[name]:
        passed_on = inspect.signature(torchvision.datasets.MNIST).parameters if "kwargs" in parameters else {}
        assert {*choice, "root", "download"} <= {*parameters, *passed_on}


def test_unknown_dataset_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean `MNIST`"):
        Torchvision(dataset="MNITS", root=str(tmp_path)).load(0)
    with pytest.raises(UserError, match="must lie under `root`"):
        Torchvision(dataset="MNIST", root=str(tmp_path), download=False).load(0)


def test_datasets_without_stored_arrays_are_read_item_by_item() -> None:
    class Items(list[Any]):
        """Images of different sizes that come one by one, as Food101 gives them."""

    items = Items((Image.new("RGB", (10 + k, 20), (k, 0, 0)), k % 2) for k in range(6))
    assert _targets(items).tolist() == [0, 1] * 3
    x = _images(items, np.array([1, 4]), size=8)
    assert x.shape == (2, 3, 8, 8)
    assert x[:, 0, 0, 0].tolist() == [1, 4]
    with pytest.raises(UserError, match="common `size`"):
        _images(items, np.array([1, 4]), size=None)


def test_stored_arrays_of_all_layouts_become_channels_first() -> None:
    class Stored:
        def __init__(self, data: Any) -> None:
            self.data, self.targets = data, [0, 1]

        def __len__(self) -> int:
            return 2

    rows = np.array([1])
    grey = torch.arange(2 * 16, dtype=torch.uint8).reshape(2, 4, 4)
    assert np.array_equal(_images(Stored(grey), rows, None), grey.numpy()[1:, None])
    last = np.arange(2 * 48, dtype=np.uint8).reshape(2, 4, 4, 3)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    assert np.array_equal(_images(Stored(last), rows, None), first[1:])
    assert np.array_equal(_images(Stored(first), rows, None), first[1:])


def test_time_shift_by_whole_samples_is_roll() -> None:
    shift = signal_bank({})[0]
    x = torch.randn(4, 2, 16, generator=torch.Generator().manual_seed(0))
    for samples in (-3, 1, 8):
        v = torch.full((4,), samples / 16 / shift.limit)
        assert torch.allclose(shift.apply(x, v), x.roll(samples, -1), atol=1e-5)


def test_time_shifts_add_up_and_amplitudes_multiply() -> None:
    shift, gain, _ = signal_bank({"amplitude": 2.0})
    x = torch.randn(3, 1, 15, generator=torch.Generator().manual_seed(0))  # odd: no Nyquist coefficient
    a, b = torch.tensor([0.1, -0.3, 0.25]), torch.tensor([0.2, 0.05, -0.6])
    assert torch.allclose(shift.apply(shift.apply(x, a), b), shift.apply(x, a + b), atol=1e-5)
    assert torch.allclose(gain.apply(x, torch.full((3,), 0.5)), 2 * x)


def test_signal_bank_gradients_match_finite_differences() -> None:
    x = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v = torch.tensor([0.2, -0.4], dtype=torch.float64, requires_grad=True)
    for action in signal_bank({}):
        assert torch.autograd.gradcheck(lambda v, apply=action.apply: apply(x, v), (v,))
