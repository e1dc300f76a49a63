"""A user's folder of images, one sub-folder per class."""

from __future__ import annotations

import logging
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from tracking.errors import UserError
from trainables.problems.dataset import Array, Dataset, SourceConfig, labelled, stream
from trainables.problems.images import as_array
from trainables.problems.partition import held_out

SUFFIXES = frozenset(Image.registered_extensions())
POOL_FOLDERS, TEST_FOLDERS = ("train", "training"), ("test", "testing", "val", "valid", "validation")
SHOWN = 5  # file names in one message
Files = dict[str, list[Path]]  # class -> images

log = logging.getLogger(__name__)


class Config(SourceConfig):
    """Your own images: `path/CLASS/*`, or `path/train/CLASS/*` with `path/test/CLASS/*`.

    Args:
        path: the folder.
        size: side of the square images: the shorter side is scaled to it, the centre is kept.
        grey: read as one channel.
        max_unreadable: up to this share, unreadable files are left out with a note; above, it is an error.
        test_share: part of each class held out as the test set where there is no test folder.
    """

    name: ClassVar[str] = "folder"

    path: str
    size: int = Field(default=32, ge=4, le=1024)
    grey: bool = False
    max_unreadable: float = Field(default=0.01, ge=0, le=1)
    test_share: float = Field(default=0.3, gt=0, lt=1)

    def load(self, seed: int) -> Dataset:
        parts = self._files()
        classes = tuple(parts[0])
        read = [self._read(files) for files in parts]
        notes = self._unreadable([path for _, _, bad in read for path in bad], sum(map(_count, parts)))
        self._no_empty_class(classes, [y for _, y, _ in read])
        (x, y, _), *test = read
        if test:
            return labelled(x, y, test[0][0], test[0][1], classes, notes)
        count = max(len(classes), round(self.test_share * len(y)))
        pool, chosen = held_out(y, count, stream("folder", "test", seed))
        return labelled(x[pool], y[pool], x[chosen], y[chosen], classes, notes)

    def may_share(self, other: SourceConfig) -> bool:
        """Whether one folder is, or lies in, the other."""
        if not isinstance(other, Config):
            return False
        one, two = (Path(source.path).expanduser().resolve() for source in (self, other))
        return one.is_relative_to(two) or two.is_relative_to(one)

    def fingerprint(self) -> str:
        """Names, sizes and times of all images: a changed folder is another problem."""
        paths = [path for part in self._files() for files in part.values() for path in files]
        stats = [(path, path.stat()) for path in paths]
        text = "\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)
        return sha256(text.encode()).hexdigest()

    def _files(self) -> list[Files]:
        """The images of the pool and, where there is one, of the test folder.

        Raises:
            UserError: no such folder, no classes, no images, different classes in train and test.
        """
        root = Path(self.path).expanduser()
        if not root.is_dir():
            rule = "`path` must be a folder of images, one sub-folder per class"
            raise UserError(rule, root, "check the spelling")
        folders = {path.name.lower(): path for path in _subfolders(root)}
        pool = next((folders[name] for name in POOL_FOLDERS if name in folders), None)
        test = next((folders[name] for name in TEST_FOLDERS if name in folders), None)
        parts = [_images(pool), _images(test)] if pool and test else [_images(pool or root)]
        if not sum(_count(part) for part in parts[:1]):
            hint = "expected path/CLASS/IMAGE.png or path/train/CLASS/IMAGE.png"
            raise UserError("the folder must hold images, one sub-folder per class", root, hint)
        if len({tuple(part) for part in parts}) > 1:
            differ = ", ".join(sorted(set(parts[0]) ^ set(parts[1])))
            raise UserError("train and test must have the same classes", f"only in one of them: {differ}")
        if len(parts[0]) < 2:
            hint = "one sub-folder per class"
            raise UserError("there must be at least two classes", ", ".join(parts[0]), hint)
        labels = [np.repeat(np.arange(len(part)), [len(f) for f in part.values()]) for part in parts]
        self._no_empty_class(tuple(parts[0]), labels)
        return parts

    def _read(self, files: Files) -> tuple[Array, Array, list[Path]]:
        """Images (B, C, H, W), class indices (B,), and the files that could not be read."""
        images, labels, unreadable = [], [], []
        for label, paths in enumerate(files.values()):
            for path in paths:
                try:
                    with Image.open(path) as image:
                        images.append(as_array(image, self.size, self.grey))
                    labels.append(label)
                except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                    unreadable.append(path)
        shape = (0, 1 if self.grey else 3, self.size, self.size)
        x = np.stack(images) if images else np.zeros(shape, np.uint8)
        return x, np.asarray(labels, np.int64), unreadable

    def _unreadable(self, bad: list[Path], total: int) -> tuple[str, ...]:
        """A note naming the files that were left out; an error if they are too many."""
        if not bad:
            return ()
        root = Path(self.path).expanduser()
        named = ", ".join(str(path.relative_to(root)) for path in bad[:SHOWN])
        told = f"{len(bad)} of {total} images cannot be read: {named}" + (", ..." if len(bad) > SHOWN else "")
        if len(bad) > self.max_unreadable * total:
            rule = f"at most {self.max_unreadable:.1%} of the images may be unreadable"
            hint = "repair or remove these files, or raise `max_unreadable` of the problem's source"
            raise UserError(rule, told, hint)
        log.warning("%s; they are left out", told)
        return (f"{told}; they are left out",)

    def _no_empty_class(self, classes: tuple[str, ...], labels: list[Array]) -> None:
        sizes = [np.bincount(y, minlength=len(classes)) for y in labels]
        empty = [name for k, name in enumerate(classes) if any(size[k] == 0 for size in sizes)]
        if empty:
            hint = "add images to these folders (train and test, where both exist), or remove the folders"
            raise UserError("every class must hold readable images", ", ".join(empty), hint)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> Files:
    return {
        path.name: sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        for path in _subfolders(folder)
    }


def _count(files: Files) -> int:
    return sum(map(len, files.values()))
