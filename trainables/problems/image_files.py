"""Which image files a user's folder holds, by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tracking.errors import UserError
from trainables.problems.dataset import Array

SUFFIXES = frozenset(Image.registered_extensions())
POOL_FOLDERS, TEST_FOLDERS = ("train", "training"), ("test", "testing")
VALIDATION_FOLDERS = ("val", "valid", "validation")
DEBRIS = "__MACOSX"  # of archives
Files = dict[str, list[Path]]  # class -> images


def parts_of(path: str) -> tuple[list[Files], tuple[str, ...]]:
    """The images of the pool and, where there is one, of the test folder; and a note on what was left out.

    Raises:
        UserError: no such folder, no classes, no images, different classes in train and test.
    """
    folders = folders_of_classes(path)
    parts = [_images(folder) for folder in folders]
    notes = _beside(path, folders)
    if len(parts) == 3:
        *parts, validation = parts
        if set(validation) == set(parts[0]):
            parts[0] = {name: files + validation[name] for name, files in parts[0].items()}
        else:
            notes += (f"`{folders[-1].name}` has other classes than `{folders[0].name}`, and is left out",)
    if not count(parts[0]):
        hint = "expected path/CLASS/IMAGE.png or path/train/CLASS/IMAGE.png"
        raise UserError("the folder must hold images, one sub-folder per class", path, hint)
    if differ := {name for part in parts for name in part if not all(name in other for other in parts)}:
        told = f"not in all of them: {', '.join(sorted(differ))}"
        raise UserError("train and test must have the same classes", told)
    if len(parts[0]) < 2:
        raise UserError("there must be at least two classes", ", ".join(parts[0]), "one sub-folder per class")
    labels = [np.repeat(np.arange(len(part)), [len(files) for files in part.values()]) for part in parts]
    no_empty_class(tuple(parts[0]), labels)
    return parts, notes


def folders_of_classes(path: str) -> list[Path]:
    """Those whose sub-folders are the classes: that of the pool, and of test and validation where there are any.

    Raises:
        UserError: no such folder, nothing but test folders in it, or two folders for one part.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError("`path` must be a folder of images, one sub-folder per class", root, "check the spelling")
    folders = _subfolders(root)
    pool, test, validation = (_one_of(folders, names) for names in (POOL_FOLDERS, TEST_FOLDERS, VALIDATION_FOLDERS))
    if pool is None and folders and all(_named(folder, (*TEST_FOLDERS, *VALIDATION_FOLDERS)) for folder in folders):
        names = ", ".join(folder.name for folder in folders)
        raise UserError("a test folder needs one to learn from beside it", names, f"{root}/train/CLASS/*")
    return [root] if pool is None else [pool, *(part for part in (test, validation) if part)]


def _one_of(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The folder of one of these names; raises UserError where several have one, since only one would be read."""
    found = [folder for folder in folders if _named(folder, names)]
    if len(found) > 1:
        told = ", ".join(folder.name for folder in found)
        raise UserError(f"there may be one folder of {' or '.join(names)}", told, "merge them, or move one elsewhere")
    return found[0] if found else None


def _named(folder: Path, names: Sequence[str]) -> bool:
    return folder.name.lower() in names


def _beside(path: str, folders: Sequence[Path]) -> tuple[str, ...]:
    """A note on sub-folders with images beside those of train and test: nobody reads them."""
    root = Path(path).expanduser()
    others = [] if folders[0] == root else [one for one in _subfolders(root) if one not in folders]
    names = [one.name for one in others if any(_is_image(file, one) for file in one.rglob("*"))]
    return (f"beside `{folders[0].name}` nothing else is read: {', '.join(names)}",) if names else ()


def no_empty_class(classes: tuple[str, ...], labels: Sequence[Array]) -> None:
    """Raises UserError where a class has no image in one of the parts; names all of them."""
    sizes = [np.bincount(y, minlength=len(classes)) for y in labels]
    empty = [name for k, name in enumerate(classes) if any(size[k] == 0 for size in sizes)]
    if empty:
        hint = "add images to these folders (train and test, where both exist), or remove the folders"
        raise UserError("every class must hold readable images", ", ".join(empty), hint)


def count(files: Files) -> int:
    """Images of all classes."""
    return sum(map(len, files.values()))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", DEBRIS)))


def _images(folder: Path) -> Files:
    classes = _subfolders(folder)
    return {path.name: sorted(file for file in path.rglob("*") if _is_image(file, path)) for path in classes}


def _is_image(file: Path, folder: Path) -> bool:
    """By its name; what is hidden, itself or by a folder of its path, is none. A link to nowhere is one, unreadable."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden and (file.is_file() or file.is_symlink())
