"""A user's folder of images, one sub-folder per class."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from tracking.errors import UserError
from trainables.problems.dataset import Array, Dataset, SourceConfig, labelled, stream
from trainables.problems.image_files import Files, count, no_empty_class, parts_of
from trainables.problems.images import as_array, see_through
from trainables.problems.partition import held_out

SHOWN = 5  # file names in one message
READING = 2  # how files become arrays; part of the fingerprint, so that what was read otherwise is never taken for it
DARK = 64  # of 255; 12 bits in a file of 16 reach 16


class Images(NamedTuple):
    """What was read of one part.

    Args:
        x: (B, C, H, W) uint8.
        y: class indices, (B,).
        unreadable: the files that could not be read.
        why: what must hold of the first that holds numbers nobody can make an image of; empty where none does.
        see_through: files that are transparent in places.
    """

    x: Array
    y: Array
    unreadable: list[Path]
    why: str
    see_through: list[Path]


class Config(SourceConfig):
    """Your own images: `path/CLASS/*`, or `path/train/CLASS/*` with `path/test/CLASS/*`.

    Classes are numbered in the order of their names. A folder `val` beside `train` is the test set where there is no
    `test`; where there is, its images join those of `train`, of which all splits but the test set are drawn (with
    other classes it is left out, and that is noted). Hidden files and folders are left out.

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
        parts, left_out = parts_of(self.path)
        classes = tuple(parts[0])
        read = [self._read(files) for files in parts]
        no_empty_class(classes, [part.y for part in read])
        notes = left_out + self._notes(read, sum(map(count, parts)))
        (x, y, *_), *test = read
        if test:
            return labelled(x, y, test[0].x, test[0].y, classes, notes)
        tested = max(len(classes), round(self.test_share * len(y)))
        pool, chosen = held_out(y, tested, stream("folder", "test", seed))
        return labelled(x[pool], y[pool], x[chosen], y[chosen], classes, notes)

    def may_share(self, other: SourceConfig) -> bool:
        """Whether one folder is, or lies in, the other."""
        if not isinstance(other, Config):
            return False
        one, two = (Path(source.path).expanduser().resolve() for source in (self, other))
        return one.is_relative_to(two) or two.is_relative_to(one)

    def fingerprint(self) -> str:
        """Names, sizes and times of all images, and how they are read: a changed folder is another problem."""
        paths = [path for part in parts_of(self.path)[0] for files in part.values() for path in files]
        stats = [(path, path.stat() if path.exists() else path.lstat()) for path in paths]
        text = "\n".join([f"{READING}", *(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)])
        return sha256(text.encode()).hexdigest()

    def _read(self, files: Files) -> Images:
        images, labels, unreadable, clear, why = [], [], [], [], ""
        for label, paths in enumerate(files.values()):
            for path in paths:
                try:
                    # By a file, not by its path: of that Pillow maps some turned TIFFs in the wrong shape.
                    with path.open("rb") as file, Image.open(file) as image:
                        array, seen = as_array(image, self.size, self.grey), see_through(image)
                except Exception as error:  # whatever a decoder falls over
                    unreadable.append(path)
                    why = why or (f"{error.rule}, not {error.got}" if isinstance(error, UserError) else "")
                    continue
                images.append(array)
                labels.append(label)
                clear += [path] if seen else []
        shape = (0, 1 if self.grey else 3, self.size, self.size)
        x = np.stack(images) if images else np.zeros(shape, np.uint8)
        return Images(x, np.asarray(labels, np.int64), unreadable, why, clear)

    def _notes(self, read: list[Images], total: int) -> tuple[str, ...]:
        """What a person should know about what was read.

        Args:
            total: files.
        """
        bad = [path for part in read for path in part.unreadable]
        clear = [path for part in read for path in part.see_through]
        notes = self._unreadable(bad, total, next((part.why for part in read if part.why), ""))
        if clear:
            notes += (f"{self._named(clear, total)} are transparent in places, which were read as white",)
        if (brightest := max(int(part.x.max()) for part in read)) < DARK:
            notes += (f"the images are dark: the brightest pixel of all has {brightest} of 255; of 16 bits that are "
                      "used in part only, save the part that is used",)
        return notes

    def _named(self, paths: list[Path], total: int) -> str:
        """How many, and the first of them."""
        root = Path(self.path).expanduser()
        named = ", ".join(str(path.relative_to(root)) for path in paths[:SHOWN]) + ", ..." * (len(paths) > SHOWN)
        return f"{len(paths)} of {total} images ({named})"

    def _unreadable(self, bad: list[Path], total: int, why: str) -> tuple[str, ...]:
        """A note naming the files that were left out; an error if they are too many."""
        if not bad:
            return ()
        told = f"{self._named(bad, total)} cannot be read" + (f" ({why})" if why else "")
        if len(bad) > self.max_unreadable * total:
            rule = f"at most {self.max_unreadable:.1%} of the images may be unreadable"
            hint = "repair or remove these files, or raise `max_unreadable` of the source in a recipe of your own"
            raise UserError(rule, told, hint)
        return (f"{told}; they are left out",)
