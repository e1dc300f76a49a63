"""A trial without torch, for sweeps whose workers are killed; it keeps state and restarts as a real one does."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ray import tune

from tests.chaos import chain
from tracking.checkpoints import Checkpoints
from tracking.storage import Place

CHECKPOINT_EVERY = 2  # reports: so that a killed worker has made some that must be made again
PACE_VARIABLE = "INVSEARCH_CHAOS_PACE"  # seconds per slice: without any, a sweep is over before it can be killed
WORKERS = "workers"  # folder of the sweep where every worker signs, so that it can be found and killed


class Chained(tune.Trainable):  # type: ignore[misc]  # Ray carries no types
    """Runs one trial of `chain`, one slice per step; the same results as `trainables.trial.Trial` gives Ray."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        self._assignment: dict[str, Any] = json.loads(new_config["assignment"])
        place = Place.of(self._assignment["place"])
        self._checkpoints = Checkpoints(place)
        self._index = 0
        self._last: dict[str, Any] | None = None
        self._unsaid: dict[str, Any] | None = None  # made by an earlier process, and perhaps never heard
        self._state = chain.first(*(self._assignment[name] for name in ("seed", "method", "stage", "settings")))
        self._restore()
        _sign(place)
        return True

    def step(self) -> dict[str, Any]:
        said, self._unsaid = self._unsaid or self._advance(), None
        return {
            "report": json.dumps(said), "val/score": said["score"], "cost/flops": said["flops"],
            "done": said["status"] != "running",
        }

    def cleanup(self) -> None:
        if self._index and (self._last is None or self._last["status"] == "running"):
            self._save()

    def _advance(self) -> dict[str, Any]:
        if self._index and self._index % CHECKPOINT_EVERY == 0:
            self._save()
        time.sleep(float(os.environ.get(PACE_VARIABLE, "0")))
        self._state = chain.after(self._state, self._index)
        said = self._last = chain.report(self._assignment, self._state, self._index)
        self._index += 1
        return said

    def _save(self) -> None:
        kept = {"index": self._index, "state": self._state, "last": self._last}
        self._checkpoints.write(self._index, json.dumps(kept).encode())

    def _restore(self) -> None:
        """Never ahead of the journal by more than the report that the state carries, as the harness does it."""
        known = int(self._assignment["known"])
        for _, data in self._checkpoints.newest(limit=known + 1):
            kept = json.loads(data)
            self._index, self._state, self._last = kept["index"], kept["state"], kept["last"]
            self._unsaid = self._last if self._index > known else None
            return


def began(pid: int) -> str:
    """When a process began, in the kernel's ticks: with its number that names it for good."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _sign(place: Place) -> None:
    """Leave this process's number in the sweep's folder, where that is a local one, and what it works at."""
    folder, _, uid = place.uri.partition("/checkpoints/")
    if "://" not in folder:
        signed = Path(folder) / WORKERS
        signed.mkdir(exist_ok=True)
        (signed / str(os.getpid())).write_text(f"{began(os.getpid())} {uid}")
