"""Arrays that live once per node: written to disk by whoever comes first, mapped read-only by everybody.

Processes on one node that map the same file share its pages, so n trials cost the memory of one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CACHE_VARIABLE = "INVSEARCH_CACHE"
FORMAT = 4  # of the files and of what is in them; part of every key, so that old caches are never misread

Arrays = dict[str, NDArray[Any]]


def cached(cache: Path, key: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
    """Named arrays, made at most once per node and key, as read-only memory maps.

    Whoever holds the lock builds in a temporary folder and renames it: readers see everything or nothing, and
    a killed builder leaves nothing that looks finished.

    Args:
        cache: a folder on this node; made if missing.
        key: a file name that stands for the content, see `content_key`.
        make: called when the key is not there yet; the arrays must not be empty (an empty file has no map).
    """
    folder = cache / key
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f"{key}.lock"):
            if not folder.is_dir():
                _build(folder, make)
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}


def cache_folder() -> Path:
    """Where this node keeps prepared data: INVSEARCH_CACHE, else below the user's own cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/invsearch").expanduser().resolve()


def content_key(*parts: Any) -> str:
    """SHA-256 over JSON parts and the format version, as 32 hexadecimal digits."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:32]


def _build(folder: Path, make: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
    for leftover in folder.parent.glob(f"{folder.name}.partial-*"):  # of a builder that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        for name, array in make().items():
            np.save(partial / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # released when the handle closes, also when the process dies
        yield
