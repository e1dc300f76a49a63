"""Data sets as named arrays and back: what the store writes, facts included."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from trainables.problems.array_view import Rows
from trainables.problems.dataset import POOL, Array, Dataset, Originals
from trainables.problems.problem import LEARNABLE, Kind, Split, Truth
from trainables.problems.store import Arrays

OPTIONAL = ("select", "clean_x", "clean_pool")  # arrays that not every data set has


def columns(rows: Mapping[Split, Rows]) -> Arrays:
    """Splits as arrays named `train_x`, `train_y`, ..."""
    pairs = [(split, axis, array) for split, pair in rows.items() for axis, array in pair._asdict().items()]
    return {f"{split}_{axis}": array for split, axis, array in pairs}


def split_rows(arrays: Arrays) -> dict[Split, Rows]:
    """The inverse of `columns` for train, outer and select."""
    return {split: Rows(arrays[f"{split}_x"], arrays[f"{split}_y"]) for split in POOL}


def clean_columns(clean: Mapping[Split, Array]) -> Arrays:
    """Inputs before nuisances as arrays named `train_clean`, ..."""
    return {f"{split}_clean": array for split, array in clean.items()}


def clean_splits(arrays: Arrays) -> dict[Split, Array]:
    """The inverse of `clean_columns`."""
    return {split: arrays[name] for split in LEARNABLE if (name := f"{split}_clean") in arrays}


def packed(dataset: Dataset) -> Arrays:
    """A data set as named arrays; pool arrays that splits share are written once."""
    distinct = list({id(array): array for array in dataset.pool.values()}.values())
    places = {split: next(i for i, a in enumerate(distinct) if a is dataset.pool[split]) for split in POOL}
    truth = dataset.truth
    facts = {
        "pool": places,
        "kind": dataset.kind,
        "outputs": dataset.outputs,
        "classes": dataset.classes,
        "truth": truth and {"invariant": dict(truth.invariant), "harmful": dict(truth.harmful)},
        "nuisances": dict(dataset.nuisances),
        "limits": dict(dataset.limits),
        "notes": dataset.notes,
        "balanced": dataset.balanced,
        "shuffled": dict(dataset.shuffled),
    }
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    fixed = {"pool_y": dataset.pool_y, "test_x": dataset.test_x, "test_y": dataset.test_y, "facts": text}
    optional = {name: a for name in OPTIONAL if (a := getattr(dataset, name)) is not None}
    return {**fixed, **optional, **{f"pool_{i}": array for i, array in enumerate(distinct)}}


def unpacked(arrays: Arrays) -> Dataset:
    """The inverse of `packed`, over maps; the transform bank is the default one."""
    facts = json.loads(arrays["facts"].tobytes())
    pool = {split: arrays[f"pool_{facts['pool'][split]}"] for split in POOL}
    return Dataset(
        pool=pool,
        pool_y=arrays["pool_y"],
        test_x=arrays["test_x"],
        test_y=arrays["test_y"],
        kind=Kind(facts["kind"]),
        outputs=facts["outputs"],
        classes=tuple(facts["classes"]),
        truth=Truth(**facts["truth"]) if facts["truth"] else None,
        nuisances=facts["nuisances"],
        limits=facts["limits"],
        notes=tuple(facts["notes"]),
        balanced=facts["balanced"],
        shuffled={Split(split): seed for split, seed in facts["shuffled"].items()},
        select=arrays.get("select"),
        clean_x=arrays.get("clean_x"),
        originals=Originals(arrays["clean_pool"], pool) if "clean_pool" in arrays else None,
    )
