"""What MLflow's own views compare: a study's result on its parent run, and the data set that it is about.

Speaks to a client that it is given; imports MLflow when called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tracking.mlflow_rows import numbers, params

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

PREFIX = "result/"
SOURCE_TYPE = "invsearch"  # a problem: a source of images and what was done to it
CONTEXT = "mlflow.data.context"
DATASET_LENGTH = 65_000  # MLflow takes 65,535 of a source or a profile


def result_params(row: Mapping[str, Any]) -> dict[str, str]:
    """Axes of the parallel-coordinates view: what the run is, and the configuration that was chosen."""
    own = {"problem": row["problem"], "method": row["method"]}
    return params(own) | params({"chosen": row["chosen"]} if row.get("chosen") else {})


def result_points(row: Mapping[str, Any], time_ms: int) -> list[tuple[str, float, int, int]]:
    """Points of the parent run: name, value, time, step."""
    found = numbers({f"{PREFIX}{name}": value for name, value in row["metrics"].items()})
    return [(name, value, time_ms, 0) for name, value in found.items()]


def dataset_input(problem: str, spec: Mapping[str, Any], facts: Mapping[str, Any]) -> DatasetInput:
    """The problem as MLflow's data set; its digest is that of its description, its files and the seed of its data.

    Args:
        spec: how it is made; facts: what is known of it (kind, planted truth, seed, fingerprint of its files).
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps(spec, sort_keys=True, default=str)
    profile = json.dumps(facts, sort_keys=True, default=str)
    digest = sha256((source + str(facts.get("seed")) + facts.get("files", "")).encode()).hexdigest()[:32]
    dataset = Dataset(
        name=problem, digest=digest, source_type=SOURCE_TYPE, source=source[:DATASET_LENGTH],
        profile=profile[:DATASET_LENGTH],
    )
    return DatasetInput(dataset=dataset, tags=[InputTag(key=CONTEXT, value="search")])


def problems_of(event: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """label -> (how it is made, what is known of it), of a `sweep` event."""
    comparison: Mapping[str, Any] = event.get("comparison") or {}
    problems: Sequence[Mapping[str, Any]] = [p for p in comparison.get("problems") or () if isinstance(p, Mapping)]
    return {str(spec["label"]): (spec, _facts(event, spec["label"])) for spec in problems if "label" in spec}


def _facts(event: Mapping[str, Any], label: str) -> dict[str, Any]:
    truths, kinds, files = (event.get(name) or {} for name in ("truths", "kinds", "data"))
    known = {"kind": kinds.get(label), "truth": truths.get(label), "seed": event["comparison"].get("seed")}
    return {**known, "files": files[label]} if files.get(label) else known
