"""Learning curves with a memory: every report depends on all slices before it, so a wrong restart shows.

Plain Python, so that a worker that only runs these starts without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FLOPS = {"plain": 100_000, "trivial_augment": 110_000, "augnet": 150_000}  # of a full horizon
CONFIRM = ("rerun", "replay")
NOISE = 0.02
TESTED = ("test/score", "test/score_own_copies", "test/score_common_copies")


def first(seed: int, method: str, stage: str, settings: Mapping[str, Any]) -> str:
    """The state before any slice."""
    return _digest(seed, method, stage, dict(settings))


def after(state: str, index: int) -> str:
    """The state after one slice more."""
    return _digest(state, index)


def state_at(asked: Mapping[str, Any], index: int) -> str:
    """The state after report `index` of the trial that an `asked` event describes, from scratch."""
    state = first(asked["seed"], asked["method"], asked["stage"], asked["config"])
    for number in range(index + 1):
        state = after(state, number)
    return state


def reports(stage: str, slices: int) -> int:
    """How many reports a whole trial makes."""
    return 1 if stage == "probe" else slices


def score(state: str, settings: Mapping[str, Any], index: int) -> float:
    """Better near a learning rate of 0.1 and with every slice; the noise is the state's."""
    rate = float(settings.get("learning_rate", 0.1))
    return 0.9 - abs(rate - 0.1) - 0.3 / (index + 1) + NOISE * (2 * _unit(state) - 1)


def metrics(
    state: str, method: str, stage: str, settings: Mapping[str, Any], index: int, slices: int
) -> dict[str, float]:
    """What a report carries: a ledger in proportion to the slices done, and at the end of a confirm trial the test."""
    share = 0.1 if stage == "probe" else (index + 1) / slices
    flops = round(FLOPS.get(method, FLOPS["plain"]) * share) * 1000
    value = score(state, settings, index)
    found = {
        "val/score": value, "cost/flops": float(flops), "cost/examples": float(flops // 1000),
        "cost/label_reads": float(10 * (index + 1)), "evaluation/flops": float(1000 * (index + 1)),
    }
    if stage in CONFIRM and index + 1 == slices:
        found |= dict.fromkeys(TESTED, value - 0.01)
    return found


def report(assignment: Mapping[str, Any], state: str, index: int) -> dict[str, Any]:
    """The report after a slice, as a worker says it; a search finds another learning rate.

    Args:
        assignment: its fields, as JSON.
        state: after the slice.
    """
    method, stage, settings = assignment["method"], assignment["stage"], assignment["settings"]
    slices = int(assignment["protocol"]["slices"])
    told = metrics(state, method, stage, settings, index, slices)
    done = index + 1 == reports(stage, slices)
    finds = done and stage == "rerun" and method == "augnet"
    return {
        "uid": assignment["uid"], "index": index, "status": "complete" if done else "running",
        "ready": index >= 1 or done, "score": told["val/score"], "flops": int(told["cost/flops"]), "metrics": told,
        "found": {**settings, "learning_rate": 0.2} if finds else None, "ledger": {} if done else None,
    }


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _unit(state: str) -> float:
    """A number in [0, 1) that is the state's own."""
    return int(state[:12], 16) / 16**12
