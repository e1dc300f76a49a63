"""Any torchvision classification data set by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tracking.errors import UserError, nearest
from trainables.problems.dataset import Array, Dataset, SourceConfig, labelled, stream
from trainables.problems.images import as_array, stacked
from trainables.problems.partition import held_out

_FLAG: tuple[dict[str, Any], ...] = ({"train": True}, {"train": False})
_WORD: tuple[dict[str, Any], ...] = ({"split": "train"}, {"split": "test"})
_VAL: tuple[dict[str, Any], ...] = ({"split": "train"}, {"split": "val"})
_TRAINVAL: tuple[dict[str, Any], ...] = ({"split": "trainval"}, {"split": "test"})
_WHOLE: tuple[dict[str, Any], ...] = ({},)

# How each data set is asked for its pool and its test set; where there is no test set, `test_share` divides.
DATASETS: dict[str, tuple[dict[str, Any], ...]] = {
    "CIFAR10": _FLAG,
    "CIFAR100": _FLAG,
    "Country211": _WORD,
    "DTD": _WORD,
    "EMNIST": ({"train": True, "split": "balanced"}, {"train": False, "split": "balanced"}),
    "EuroSAT": _WHOLE,
    "FGVCAircraft": _TRAINVAL,
    "FashionMNIST": _FLAG,
    "Flowers102": _WORD,
    "Food101": _WORD,
    "GTSRB": _WORD,
    "Imagenette": _VAL,
    "KMNIST": _FLAG,
    "MNIST": _FLAG,
    "Omniglot": ({"background": True},),  # the other part holds other characters
    "OxfordIIITPet": _TRAINVAL,
    "PCAM": _WORD,
    "QMNIST": _FLAG,
    "RenderedSST2": _WORD,
    "SEMEION": _WHOLE,
    "STL10": _WORD,
    "SVHN": _WORD,
    "StanfordCars": _WORD,
    "USPS": _FLAG,
}


class Config(SourceConfig):
    """A torchvision classification data set by its class name; downloaded where there is a network.

    Args:
        dataset: class name in torchvision.datasets, e.g. "MNIST".
        root: the folder that torchvision looks in (MNIST: the one that holds `MNIST/raw`).
        size: side of the square images; needed where the images differ in size, else None keeps them.
        limit: at most so many images in the pool and in the test set each, stratified, by seed.
        test_share: part held out as the test set where the data set has none.
        download: fetch what is missing.
    """

    name: ClassVar[str] = "torchvision"
    def may_share(self, other: SourceConfig) -> bool:
        """Whether both are of one collection, such as MNIST, QMNIST and EMNIST, whose images are NIST's."""
        return isinstance(other, Config) and _collection(self.dataset) == _collection(other.dataset)

    places: ClassVar[frozenset[str]] = frozenset({"root", "download"})

    dataset: str
    root: str
    size: int | None = Field(default=None, ge=4, le=1024)
    limit: int | None = Field(default=None, ge=10)
    test_share: float = Field(default=0.3, gt=0, lt=1)
    download: bool = True

    def load(self, seed: int) -> Dataset:
        if self.dataset not in DATASETS:
            hint = nearest(self.dataset, DATASETS)
            raise UserError("`dataset` must be a classification data set of torchvision", self.dataset, hint)
        opened = [self._open(choice) for choice in DATASETS[self.dataset]]
        targets = [_targets(part) for part in opened]
        rows = [np.arange(len(y)) for y in targets]
        if len(opened) == 1:
            count = round(self.test_share * len(rows[0]))
            rows = list(held_out(targets[0], count, stream("torchvision", "test", seed)))
            opened, targets = opened * 2, targets * 2
        parts = [_Part(*part) for part in zip(opened, targets, rows, strict=True)]
        (pool_x, pool_y), (test_x, test_y) = (
            self._read(part, stream("torchvision", "limit", name, seed))
            for name, part in zip(("pool", "test"), parts, strict=True)
        )
        return labelled(pool_x, pool_y, test_x, test_y, _classes(opened[0], targets))

    def _open(self, choice: dict[str, Any]) -> Any:
        import torchvision.datasets  # heavy: only where the data are made

        make, root = getattr(torchvision.datasets, self.dataset), Path(self.root).expanduser()
        try:
            return make(root, **choice, download=False)
        except (RuntimeError, OSError) as missing:
            if not self.download:
                raise self._missing(missing) from missing
        try:
            return make(root, **choice, download=True)
        except (RuntimeError, OSError, ValueError, TypeError) as failed:  # no network, read-only, no download
            raise self._missing(failed) from failed

    def _missing(self, error: Exception) -> UserError:
        return UserError(
            f"{self.dataset} must lie under `root`, or be downloadable",
            f"root {self.root}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "check `root`, or run once on a machine with a network",
        )

    def _read(self, part: _Part, generator: np.random.Generator) -> tuple[Array, Array]:
        rows = part.rows
        if self.limit is not None and self.limit < len(rows):
            rows = rows[held_out(part.targets[rows], self.limit, generator)[1]]
        return _images(part.data, rows, self.size), part.targets[rows]


class _Part(NamedTuple):
    data: Any
    targets: NDArray[np.int64]
    rows: NDArray[np.int64]


def _targets(data: Any) -> NDArray[np.int64]:
    """Labels without decoding an image where the data set keeps them apart, else by reading every item."""
    for attribute in ("targets", "labels", "_labels"):
        known = getattr(data, attribute, None)
        if known is not None and len(known) == len(data):
            return np.asarray(known, np.int64).reshape(len(data), -1)[:, 0]
    samples = getattr(data, "_samples", None)
    return np.asarray([int(item[1]) for item in (samples if samples is not None else data)], np.int64)


def _images(data: Any, rows: NDArray[np.int64], size: int | None) -> Array:
    """(B, C, H, W) uint8."""
    stored = getattr(data, "data", None)
    if stored is not None and not isinstance(stored, list) and np.asarray(stored).dtype == np.uint8:
        x = _channels_first(np.asarray(stored)[rows])
        if size in (None, x.shape[-1]) and x.shape[-1] == x.shape[-2]:
            return x
    return stacked([as_array(data[int(row)][0], size) for row in rows])


def _channels_first(x: Array) -> Array:
    if x.ndim == 3:
        return x[:, None]
    return x if x.shape[1] in (1, 3) else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _classes(data: Any, targets: list[NDArray[np.int64]]) -> tuple[str, ...]:
    outputs = 1 + max(int(y.max()) for y in targets)
    names = tuple(str(name) for name in getattr(data, "classes", ()))
    return names if len(names) == outputs else tuple(str(k) for k in range(outputs))


def _collection(dataset: str) -> str:
    """What data sets that hold each other's images have in common; else the name."""
    return "NIST" if dataset in ("MNIST", "QMNIST", "EMNIST") else dataset
