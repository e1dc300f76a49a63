"""What `invsearch fit` runs on a user's folder, cut to the minutes that he gave.

A plain training; one training for each factor, augmented by that factor alone; and two methods that need no search:
all with the same updates, on the same seeds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from search.configuration import validate
from search.study import Comparison
from search.sweep_name import plain_name
from search.timed_probe import Measured, measure
from spaces.transforms import Operation
from tracking.errors import UserError
from trainables.problems.bank import SWITCHES
from trainables.problems.problem import LEARNABLE, Action, Problem

PLAIN = "plain"
METHODS = (PLAIN, "trivial_augment", "learned_ranges")
# What a person would call one thing; an action that is named nowhere here is a factor of its own.
FACTORS: Mapping[str, tuple[Operation, ...]] = {
    "translation": (Operation.TRANSLATE_X, Operation.TRANSLATE_Y),
    "shear": (Operation.SHEAR_X, Operation.SHEAR_Y),
    "colour": (Operation.HUE, Operation.SATURATION),
}
UNREADABLE = 0.05        # share of files that may be left out, told on the card
SHARE = 0.5              # of an action's limit: what is tried
SEEDS = (10, 7, 5, 4, 3)  # confirm trainings, the more the better
FEWEST_UPDATES, ENOUGH_UPDATES, MOST_UPDATES, MOST_EPOCHS = 60, 200, 3000, 60
PROBE = 80               # updates of the training that is timed
START_SECONDS = 35.0     # Ray, workers, report and MLflow
SPARE = 0.8              # of what is left: two trainings on two cores slow each other down
DEARER = 1.1             # a training of such a row over a plain one
LIMIT = 2.0              # times the minutes, after which the sweep stops, resumable
TUNED = 1.2              # trainings before the confirm ones: one at the defaults, and a short probe

Reach = Mapping[str, Mapping[str, float]]  # factor -> action -> half-width in its unit


@dataclass(frozen=True, slots=True)
class Size:
    """How much fits."""

    updates: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one training on one slot: whatever its length, of an update, and at the end of a confirm training."""

    fixed: float
    step: float
    test: float

    @classmethod
    def of(cls, found: Measured, timed: Comparison) -> Times:
        fixed = found.start_seconds + timed.slices * found.score_seconds + found.final_seconds
        return cls(fixed, found.work_seconds / timed.horizon, found.test_seconds)

    def sweep(self, size: Size, rows: int, slots: int) -> float:
        """Everything."""
        each = DEARER * (self.fixed + size.updates * self.step)
        study = (size.seeds + TUNED) * each + size.seeds * self.test
        return START_SECONDS + rows * study / slots / SPARE


def reach(actions: Sequence[Action]) -> dict[str, dict[str, float]]:
    """What is tried: half of the bank's limit of each action; a flip is a flip."""
    of = {str(operation): factor for factor, operations in FACTORS.items() for operation in operations}
    found: dict[str, dict[str, float]] = {}
    for action in actions:
        width = action.limit * (1.0 if action.name in SWITCHES else SHARE)
        found.setdefault(of.get(action.name, action.name), {})[action.name] = width
    return found


def comparison(folder: Path, source: Mapping[str, Any], tried: Reach, size: Size, minutes: float) -> Comparison:
    """The sweep.

    Args:
        source: further fields of the problem source `folder`.
        tried: of `reach`.
    """
    images = {"name": "folder", "path": str(folder.resolve()), "max_unreadable": UNREADABLE, **source}
    return validate({
        "problems": [{"label": label(folder), "source": images}],
        "methods": [
            *({"name": name} for name in METHODS),
            *({"name": "oracle", "label": factor, "settings": {"ranges": dict(ranges)}}
              for factor, ranges in tried.items()),
        ],
        "horizon": size.updates, "slices": min(4, size.updates), "budget": 2.0, "max_trials": 1, "asha": None,
        "replay": False,
        # The question is accuracy: what else is measured at the end of a training is kept short.
        "copies": 1, "strengths": 1, "invariance_examples": 100, "class_images": 5, "class_draws": 2,
        "confirm_seeds": size.seeds, "limits": {"wall_seconds": 60 * minutes * LIMIT},
    })


def label(folder: Path) -> str:
    """Of the problem: that of the folder, so that runs and registered models of two folders keep apart."""
    name = folder.resolve().name
    made = plain_name(name)
    if name.isascii():
        return made
    return f"{made}-{sha256(name.encode()).hexdigest()[:6]}"  # two names of other letters would be one


def timed(folder: Path, source: Mapping[str, Any], cache: Path) -> tuple[Problem, int, Times]:
    """The problem, the size of a batch, and what a few real slices of a plain training take in this process.

    Raises:
        UserError: the folder is no problem.
    """
    first = comparison(folder, source, {}, Size(PROBE, SEEDS[-1]), 1.0)
    problem = first.problems[0].build(first.seed, 0, cache)  # bad data is told here, and not counted as time
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))  # as in a worker
    settings = first.methods[0].config_class()().model_dump(mode="json")
    found = measure(first, first.problems[0], PLAIN, settings, cache)
    return problem, settings["batch_size"], Times.of(found, first)


def sized(times: Times, most: int, rows: int, minutes: float, slots: int) -> Size:
    """The most seeds with enough updates each, then the most updates, for so many minutes.

    Args:
        most: updates that are of use.
        rows: studies.

    Raises:
        UserError: not even the fewest would fit; names the minutes that would do.
    """
    for seeds in SEEDS:
        least = min(most, FEWEST_UPDATES if seeds == SEEDS[-1] else ENOUGH_UPDATES)
        if times.sweep(Size(least, seeds), rows, slots) <= 60 * minutes:
            return Size(_longest(times, least, most, seeds, rows, minutes, slots), seeds)
    fewest = Size(FEWEST_UPDATES, SEEDS[-1])
    raise UserError(
        f"{rows} trainings of {fewest.updates} updates on {fewest.seeds} seeds must fit", f"--minutes {minutes:g}",
        f"about {times.sweep(fewest, rows, slots) / 60 + 0.5:.0f} minutes would do on this machine; or smaller images: "
        "--size",
    )


def most_updates(problem: Problem, batch: int) -> int:
    """Beyond these an image is seen too often for more to help."""
    labelled = sum(len(problem.examples(split).y) for split in LEARNABLE)
    return min(MOST_UPDATES, max(ENOUGH_UPDATES, MOST_EPOCHS * labelled // batch))


def _longest(times: Times, low: int, high: int, seeds: int, rows: int, minutes: float, slots: int) -> int:
    """The most updates that fit; `low` do."""
    while low < high:
        middle = (low + high + 1) // 2
        fits = times.sweep(Size(middle, seeds), rows, slots) <= 60 * minutes
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
