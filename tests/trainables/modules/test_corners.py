"""On/off searches: known answers on planted tasks, and halving against the full enumeration."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.planted_features import CLASSES, FACTORS, Planted, planted
from tracking.errors import UserError
from trainables.modules.choice import choose, distinct
from trainables.modules.corners import all_corners, alternatives, greedy, halved_corners, menu, some_rows
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.descriptor_search import SearchConfig
from trainables.modules.evaluated import Evaluated, Judge, Targets

ON = torch.ones(FACTORS)
TASKS = [None, *range(FACTORS)]  # the label is made of the content, or of a factor that invariance would remove


def judge(task: Planted) -> Judge:
    n = len(task.labels)
    return Judge(CountedFeatures(task, n, 10**6), task.targets, SearchConfig().log_penalties(task.targets))


def check_finds_the_planted(found: Evaluated, task: Planted) -> None:
    assert choose(found, ON).descriptor.tolist() == task.right.tolist()


@pytest.mark.parametrize("label_factor", TASKS)
def test_halving_agrees_with_the_full_enumeration(label_factor: int | None) -> None:
    task = planted(3, 300, label_factor)
    full, halved = judge(task), judge(task)
    everything = full.evaluate(all_corners(FACTORS))
    survivors = halved_corners(halved, ON, first_rows=60, keep=4, generator=Generator().manual_seed(0))
    check_finds_the_planted(everything, task)
    check_finds_the_planted(survivors, task)
    assert float(survivors.risk.min()) == pytest.approx(float(everything.risk.min()))
    assert halved.features.forward < full.features.forward / 2
    assert survivors.descriptors[0].tolist() == ON.tolist(), "the default stays in the race"
    assert len(survivors) <= 5


def test_the_check_rejects_the_worst_half() -> None:
    task = planted(3, 300, 2)
    everything = judge(task).evaluate(all_corners(FACTORS))
    worst = judge(task).evaluate(everything.descriptors[everything.risk.argsort()[16:]])
    with pytest.raises(AssertionError):
        check_finds_the_planted(worst, task)


def test_few_images_are_enumerated_at_once() -> None:
    task = planted(3, 80)
    asked = judge(task)
    found = halved_corners(asked, ON, first_rows=100, keep=16, generator=Generator().manual_seed(0))
    assert len(found) == 2**FACTORS and asked.features.forward == 2**FACTORS * 80


@pytest.mark.parametrize("label_factor", TASKS)
def test_greedy_finds_the_planted(label_factor: int | None) -> None:
    """Right answers lie one switch from the default, or are the default; and from the far corner."""
    task = planted(3, 300, label_factor)
    asked = judge(task)
    check_finds_the_planted(greedy(asked, ON), task)
    assert asked.features.forward == 300 * (FACTORS * (FACTORS + 1) // 2 + 1)
    assert torch.equal(_best(greedy(judge(task), torch.zeros(FACTORS))), task.right)


def test_greedy_starts_from_the_nearest_corner_and_keeps_the_default() -> None:
    task = planted(3, 100)
    found = greedy(judge(task), torch.tensor([0.7, 0.2, 1.0, 0.0, 0.9]))
    assert found.descriptors[0].tolist() == pytest.approx([0.7, 0.2, 1.0, 0.0, 0.9])
    assert found.descriptors[1].tolist() == [1, 0, 1, 0, 1]
    assert len(found) == 2 + FACTORS * (FACTORS + 1) // 2


def test_all_corners() -> None:
    corners = all_corners(3)
    assert corners.tolist() == [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    assert len({tuple(row) for row in all_corners(8).tolist()}) == 256
    with pytest.raises(UserError, match="corners"):
        all_corners(13)


def test_menu() -> None:
    half = torch.tensor([0.5, 0.5])
    assert menu(half).tolist() == [[0.5, 0.5], [0, 0], [1, 1], [0, 1], [1, 0]]
    assert len(menu(ON)) == 2 * FACTORS + 2 and menu(ON)[0].tolist() == ON.tolist()


def test_alternatives_are_the_menu_and_corners_that_never_change() -> None:
    few, many = alternatives(ON, 64), alternatives(torch.ones(9), 64)
    assert len(few) == 2**FACTORS and torch.equal(few[: 2 * FACTORS + 2], menu(ON))
    assert len(many) == 64 == len(distinct(many)) and torch.equal(many[:20], menu(torch.ones(9)))
    assert torch.equal(many, alternatives(torch.ones(9), 64))
    assert bool(((many == 0) | (many == 1)).all())
    assert len(alternatives(torch.full((9,), 0.5), 5)) == 21, "the menu is never cut"


def test_rows_are_balanced_distinct_and_seeded() -> None:
    labels = torch.tensor([0] * 80 + [1] * 15 + [2] * 5)
    targets = Targets.of_labels(labels, CLASSES)
    rows = some_rows(targets, 24, Generator().manual_seed(0))
    assert torch.bincount(labels[rows]).tolist() == [10, 9, 5] or torch.bincount(labels[rows]).tolist() == [9, 10, 5]
    assert len(set(rows.tolist())) == 24 and rows.tolist() == sorted(rows.tolist())
    assert torch.equal(rows, some_rows(targets, 24, Generator().manual_seed(0)))
    assert not torch.equal(rows, some_rows(targets, 24, Generator().manual_seed(1)))
    assert len(some_rows(targets, 1000, Generator().manual_seed(0))) == 100
    real = Targets.of_values(torch.arange(100.0))
    assert len(set(some_rows(real, 30, Generator().manual_seed(0)).tolist())) == 30


def _best(found: Evaluated) -> Tensor:
    return found.descriptors[int(found.risk.argmin())]
