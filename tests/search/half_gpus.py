"""Sweeps on one GPU that is only declared; run by `test_half_gpus.py` in a process with a Ray session of its own.

Prints one JSON object: by the share of the GPU that a trial asks for, the number of slots and every slice.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import ray

from search import configuration, runner
from tests.chaos.trial import PACE_VARIABLE, Chained
from tracking.storage import Place

COMPARISON: dict[str, Any] = {
    "problems": [{"label": "one", "source": {"name": "digits"}}],
    "methods": [{"name": "plain"}, {"name": "augnet"}],
    "horizon": 40, "slices": 4, "budget": 2.0, "confirm_seeds": 2, "parallel_trials": 1,
}
SHARES = 0.5, 1.0
SLICES = "slices"  # folder of the sweep where every worker writes its own


class Placed(Chained):
    """Tells which GPU it was given, and when it was at work."""

    def step(self) -> dict[str, Any]:
        began = time.time()
        said = super().step()
        slice_ = {
            "uid": self._assignment["uid"], "pid": os.getpid(), "began": began, "ended": time.time(),
            "gpus": [int(number) for number in ray.get_gpu_ids()], "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
        folder = Path(self._assignment["place"].partition("/checkpoints/")[0]) / SLICES
        folder.mkdir(exist_ok=True)
        with (folder / str(os.getpid())).open("a") as file:
            file.write(json.dumps(slice_) + "\n")
        return said


def swept(folder: Path, share: float) -> dict[str, Any]:
    """One sweep whose trials ask for this share of a GPU."""
    place = folder / f"share-{share:g}"
    described = configuration.validate(COMPARISON | {"resources": {"cpus": 1, "gpus": share}})
    outcome = runner.compare(described, Place.of(place), trainable=Placed)
    slices = [json.loads(line) for file in (place / SLICES).iterdir() for line in file.read_text().splitlines()]
    return {"code": int(outcome.code), "slots": outcome.sweep.events()[0]["slots"], "slices": slices}


def main(folder: Path) -> dict[str, Any]:
    os.environ[PACE_VARIABLE] = "0.1"
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    return {f"{share:g}": swept(folder, share) for share in SHARES}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    print(json.dumps(main(Path(sys.argv[1]))))
