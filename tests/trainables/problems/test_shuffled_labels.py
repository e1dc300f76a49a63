"""Shuffled labels: what stays, what is chance, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator

from tests.support.toy_problems import RegressionToy
from tracking.errors import UserError
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.dataset import POOL
from trainables.problems.digits import Config as Digits
from trainables.problems.problem import Kind, Split
from trainables.problems.shuffled_labels import Config as ShuffledLabels
from trainables.problems.spec import ProblemSpec, in_memory

ERRORS = 4.0  # standard errors of a share of 450 examples: a false alarm in 16,000 draws, and the seed is fixed
TURNED = {"name": "nuisance", "ranges": {"rotation": 45.0}}


def built(cache: Path, *wrappers: dict[str, Any], seed: int = 0, partition: int = 0) -> ArrayProblem:
    spec = ProblemSpec(label="digits", source={"name": "digits"}, wrappers=wrappers)
    problem = spec.build(seed, partition, cache)
    assert isinstance(problem, ArrayProblem)
    return problem


def test_labels_of_others_where_asked_and_nowhere_else(tmp_path: Path) -> None:
    """True labels and those shown agree as often as independent draws of the same classes do; inputs stay in place."""
    true, shown = built(tmp_path), built(tmp_path, {"name": "shuffled_labels"})
    for split in Split:
        before, after = true.examples(split), shown.examples(split)
        assert torch.equal(before.x, after.x)
        assert torch.equal(before.y.bincount(), after.y.bincount())
        if split in (Split.TRAIN, Split.TEST):
            assert torch.equal(before.y, after.y)
            continue
        share = before.y.bincount() / len(before.y)
        chance = float(share @ share)
        spread = (chance * (1 - chance) / len(before.y)) ** 0.5
        assert abs(float((before.y == after.y).float().mean()) - chance) < ERRORS * spread


def test_seed_and_split_draw_anew_and_a_repetition_does_not(tmp_path: Path) -> None:
    labels = [
        built(tmp_path / str(k), {"name": "shuffled_labels"}, seed=seed).examples(Split.OUTER).y
        for k, seed in enumerate((0, 0, 1))
    ]
    assert torch.equal(labels[0], labels[1])
    plain = built(tmp_path / "plain", seed=1).examples(Split.OUTER).y
    moved = [y.argsort(stable=True) for y in (labels[2], plain)]
    assert not torch.equal(*moved)


def test_in_memory_it_is_the_same(tmp_path: Path) -> None:
    kept = built(tmp_path, {"name": "shuffled_labels", "on": ["train"]})
    held = in_memory(ShuffledLabels(on=(Split.TRAIN,)).wrap(Digits().load(0), 0), 0, 0)
    for split in POOL:
        assert torch.equal(kept.examples(split).y, held.examples(split).y)


def test_whoever_is_told_a_nuisance_still_has_the_originals(tmp_path: Path) -> None:
    """Inputs stay where they are, so `oracle` can draw the nuisance anew; order of wrappers does not matter."""
    one = built(tmp_path, TURNED, {"name": "shuffled_labels"})
    other = built(tmp_path, {"name": "shuffled_labels"}, TURNED)
    clean = built(tmp_path, TURNED)
    shown, true = (problem.originals() for problem in (one, clean))
    assert shown is not None and true is not None
    drawn, before = (view.draw(Generator().manual_seed(0), 100, Split.OUTER) for view in (shown, true))
    assert torch.equal(drawn.x, before.x) and not torch.equal(drawn.y, before.y)
    assert all(torch.equal(one.examples(split).y, other.examples(split).y) for split in Split)


def test_regression_has_targets_to_shuffle_too() -> None:
    toy = RegressionToy().load(0)
    true, shown = in_memory(toy, 0, 0), in_memory(ShuffledLabels(on=(Split.SELECT,)).wrap(toy, 0), 0, 0)
    assert torch.equal(true.examples(Split.OUTER).y, shown.examples(Split.OUTER).y)
    before, after = (problem.examples(Split.SELECT).y for problem in (true, shown))
    assert not torch.equal(before, after)
    assert np.array_equal(np.sort(before.numpy(), 0), np.sort(after.numpy(), 0))


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="judged by"):
        ShuffledLabels(on=(Split.TEST,))
    with pytest.raises(UserError, match="tasks"):
        ShuffledLabels().wrap(replace(Digits().load(0), kind=Kind.EPISODIC), 0)
    with pytest.raises(UserError, match="tasks"):  # in the other order it would do nothing
        built(tmp_path, {"name": "shuffled_labels"}, {"name": "episodes", "ways": 2, "test_classes": 2})
