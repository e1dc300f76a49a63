"""Data sets of torchvision as their files lie on disk, written here small: what is read is what was written."""

from __future__ import annotations

import csv
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from numpy.typing import NDArray
from PIL import Image

from tracking.errors import UserError
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.torchvision_dataset import Config as Torchvision

Images = NDArray[np.uint8]
IDX = {"KMNIST": "{part}", "FashionMNIST": "{part}", "EMNIST": "emnist-balanced-{word}"}
PARTS = {"train": ("train", 60), "t10k": ("test", 20)}


def drawn(count: int, *shape: int) -> tuple[Images, NDArray[np.int64]]:
    """Random images, and labels 0 to 4 in turn."""
    generator = np.random.default_rng(count)
    return generator.integers(0, 256, (count, *shape), dtype=np.uint8), np.arange(count) % 5


def idx_files(root: Path, dataset: str) -> None:
    """As Yann LeCun's, uncompressed, under torchvision's names."""
    raw = root / dataset / "raw"
    raw.mkdir(parents=True)
    for part, (word, count) in PARTS.items():
        x, y = drawn(count, 28, 28)
        stem = IDX[dataset].format(part=part, word=word)
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">iiii", 2051, count, 28, 28) + x.tobytes())
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, count) + y.astype(np.uint8).tobytes())


def cifar100_files(root: Path) -> None:
    """Python pickles of rows of 3,072 bytes."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for word, count in PARTS.values():
        x, y = drawn(count, 3, 32, 32)
        rows = {"data": x.reshape(count, -1), "fine_labels": y.tolist()}
        (folder / word).write_bytes(pickle.dumps(rows))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"thing {k}" for k in range(5)]}))


def gtsrb_files(root: Path, sizes: tuple[int, ...] = (24, 32, 40)) -> None:
    """Signs as .ppm of different sizes: a folder per class, and a table of the test images."""
    base = root / "gtsrb"
    training, final = base / "GTSRB/Training", base / "GTSRB/Final_Test/Images"
    final.mkdir(parents=True)
    for k in range(3):
        (training / f"{k:05d}").mkdir(parents=True)
        for i in range(12):
            side = sizes[i % len(sizes)]
            Image.fromarray(np.full((side, side, 3), 80 * k + i, np.uint8)).save(training / f"{k:05d}/{i:05d}.ppm")
    with (base / "GT-final_test.csv").open("w") as file:
        table = csv.DictWriter(file, ["Filename", "ClassId"], delimiter=";")
        table.writeheader()
        for i in range(9):
            Image.fromarray(np.full((sizes[0], sizes[0], 3), 80 * (i % 3), np.uint8)).save(final / f"{i:05d}.ppm")
            table.writerow({"Filename": f"{i:05d}.ppm", "ClassId": i % 3})


@pytest.mark.parametrize("dataset", IDX)
def test_idx_files(dataset: str, tmp_path: Path) -> None:
    idx_files(tmp_path, dataset)
    found = Torchvision(dataset=dataset, root=str(tmp_path), download=False).load(0)
    (x, y), (test_x, test_y) = drawn(60, 28, 28), drawn(20, 28, 28)
    assert np.array_equal(found.pool[Split.TRAIN], x[:, None]) and np.array_equal(found.pool_y, y)
    assert np.array_equal(found.test_x, test_x[:, None]) and np.array_equal(found.test_y, test_y)
    assert found.outputs == 5


def test_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision checks the files' digests, which these have not."""
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    cifar100_files(tmp_path)
    found = Torchvision(dataset="CIFAR100", root=str(tmp_path), download=False).load(0)
    x, y = drawn(60, 3, 32, 32)
    assert np.array_equal(found.pool[Split.TRAIN], x) and np.array_equal(found.pool_y, y)
    assert found.classes == tuple(f"thing {k}" for k in range(5))


def test_signs_of_mixed_sizes(tmp_path: Path) -> None:
    gtsrb_files(tmp_path)
    found = Torchvision(dataset="GTSRB", root=str(tmp_path), size=28, download=False).load(0)
    assert found.pool[Split.TRAIN].shape == (36, 3, 28, 28) and found.test_x.shape == (9, 3, 28, 28)
    assert np.array_equal(found.pool_y, np.repeat(np.arange(3), 12))
    grey = found.pool[Split.TRAIN].reshape(36, -1)
    assert np.array_equal(grey.min(1), grey.max(1))
    assert np.array_equal(grey[:, 0], 80 * found.pool_y + np.tile(np.arange(12), 3))  # each image under its label
    assert np.array_equal(found.test_x[:, 0, 0, 0], 80 * found.test_y)
    with pytest.raises(UserError, match="size"):
        Torchvision(dataset="GTSRB", root=str(tmp_path), download=False).load(0)


def test_a_long_tail_of_one_of_them(tmp_path: Path) -> None:
    """By name, through the wrapper, to a problem that is trained on."""
    idx_files(tmp_path, "KMNIST")
    tail = {"name": "long_tailed", "tail": "exponential", "largest": 8, "ratio": 0.25, "order": None, "select": 2}
    spec = ProblemSpec.model_validate({
        "label": "kuzushiji", "source": {"name": "torchvision", "dataset": "KMNIST", "root": str(tmp_path)},
        "wrappers": [tail],
    })
    problem = spec.build(0, 0, tmp_path / "cache")
    sizes = np.bincount(np.concatenate([problem.examples(split)[1].numpy() for split in (Split.TRAIN, Split.OUTER)]))
    assert sizes.tolist() == [int(8 * 0.25 ** (k / 4)) for k in range(5)]
    assert np.bincount(problem.examples(Split.SELECT)[1].numpy()).tolist() == [2] * 5
