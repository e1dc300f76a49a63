"""Figures from rows with known answers, and rows that a second run does not make again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import amortised as benchmark
import pytest
import torch
from amortised_rows import Every, _behind
from amortised_table import against, charged, difference, figures, interval, tables, worst_leak
from row_book import Book, Job, read
from scipy.stats import ttest_1samp
from torch import Tensor

from trainables.contract_toy import toy_context
from trainables.modules.amortised import ExtractorChoice, Head
from trainables.modules.closed_form import ClosedForm
from trainables.problems.problem import Kind, Split

Row = dict[str, Any]


def cell(task: str, seed: int, shots: int = 10) -> Row:
    return {"task": task, "shots": shots, "data_seed": 0, "seed": seed}


def ours(task: str, seed: int, accuracy: float, sort: str = "helpful", **others: float) -> Row:
    return {
        "part": "amortised", **cell(task, seed), "sort": sort, "accuracy": {"descriptor": accuracy, **others},
        "flops": {"descriptor": 100}, "seconds": {"descriptor": 0.5}, "behind": 0.1, "behind_error": 0.2,
        "bound": dict.fromkeys(("empirical", "complexity", "price", "price_of_one", "total"), 0.1),
    }


def theirs(task: str, seed: int, horizon: int, select: float, accuracy: float) -> Row:
    return {
        "part": "rival", "method": "unrolled", **cell(task, seed), "horizon": horizon, "select": select,
        "accuracy": accuracy, "flops": 10 * horizon, "seconds": horizon / 100,
    }


def test_an_interval_is_students() -> None:
    values = [0.1, 0.4, 0.2, 0.35]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((0.2625, expected.low, expected.high))
    assert interval([0.3]) == (0.3, None, None)


def test_differences_are_paired_within_a_seed() -> None:
    """Tasks differ by far more than methods: pairing leaves the difference alone."""
    rows = [ours(task, seed, base + 0.05, all_on=base) for seed in range(3)
            for task, base in (("easy", 0.9), ("hard", 0.2))]
    found = difference(rows, "all_on")
    assert found is not None
    assert found == pytest.approx((0.05, 0.05, 0.05))
    assert difference(rows, "unconditional") is None
    rows[0]["accuracy"]["all_on"] -= 0.3  # negative control: one seed differs
    wider = difference(rows, "all_on")
    assert wider is not None and wider.high is not None and wider.high > 0.2


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ([(0.5, 0.9, 0.9), (0.6, 0.8, 0.82), (0.4, 0.85, 0.84)], 200),  # the longest is no better
        ([(0.5, 0.8, 0.9), (0.6, 0.8, 0.9), (0.4, 0.8, 0.9)], 300),     # better in every cell
        ([(0.9, 0.9, 0.9)] * 3, 100),                                   # budgets do not matter
    ],
)
def test_a_rival_is_charged_the_cheapest_of_its_best_budgets(select: Sequence[Sequence[float]], expected: int) -> None:
    rows = [theirs("a", seed, 100 * (k + 1), score, 0.0) for seed, scores in enumerate(select)
            for k, score in enumerate(scores)]
    assert charged(rows) == expected
    unfinished = theirs("b", 7, 100, 1.0, 0.0)  # a cell without the other budgets says nothing about them
    assert charged([*rows, unfinished]) == expected


def test_a_rival_is_compared_where_both_were_measured() -> None:
    mine = [ours("a", seed, 0.8) for seed in range(3)]
    rival = [theirs("a", seed, horizon, horizon / 1000, 0.7 + horizon / 10000) for seed in range(4)
             for horizon in (100, 200)]
    found = against(mine, rival, "unrolled", pretraining=5700.0)
    assert found is not None
    assert found.cells == 3
    assert found.horizons == {10: 200}
    assert found.difference.mean == pytest.approx(0.8 - 0.72)
    assert found.cost_ratio == pytest.approx(2000 / 100)
    assert found.seconds_ratio == pytest.approx(2.0 / 0.5)
    assert found.break_even == pytest.approx(5700 / 1900)
    assert against(mine, rival, "plain", 1.0) is None


def test_a_rival_at_its_longest_budget_is_said_to_rise_still() -> None:
    mine = [ours("a", seed, 0.8) for seed in range(3)]
    rising, level = (
        [theirs("a", seed, horizon, slope * horizon + seed / 100, 0.7) for seed in range(3) for horizon in (100, 200)]
        for slope in (0.001, 0.0)
    )
    found, other = (against(mine, rival, "unrolled", None) for rival in (rising, level))
    assert found is not None and other is not None
    assert (found.rising, other.rising) == (True, False)


def test_helpful_and_harmful_tasks_are_told_apart() -> None:
    mine = [ours("a", seed, 0.8) for seed in range(2)] + [ours("b", seed, 0.5, "harmful") for seed in range(2)]
    mine[3]["behind"] = 0.3  # further than its error
    found = figures(mine + [theirs(task, seed, 100, 0.5, 0.6) for task in "ab" for seed in range(2)])
    assert found["accuracy_difference_vs_unrolled_helpful"] == pytest.approx(0.2)
    assert found["accuracy_difference_vs_unrolled_harmful"] == pytest.approx(-0.1)
    assert found["within_one_se_fraction_helpful_at_10"] == 1.0
    assert (found["within_one_se_fraction_harmful_at_10"], found["within_one_se_fraction"]) == (0.5, 0.75)


class Fixed(ClosedForm):
    """Says the same whatever it is shown."""

    def __init__(self, outputs: Tensor) -> None:
        self.outputs, self.head = outputs, Head(torch.zeros(2, 1), torch.zeros(2), torch.tensor(2.0))

    def predict(self, x: Tensor, support: Any = None) -> Tensor:
        return 2.0 * self.outputs


class Three:
    """Three test images of two classes."""

    outputs, kind = 2, Kind.CLASSIFICATION

    def examples(self, split: Split) -> tuple[Tensor, Tensor]:
        assert split is Split.TEST
        return torch.zeros(3, 1), torch.tensor([0, 1, 1])


class ThreeReal(Three):
    """Three test images with two real targets."""

    kind = Kind.REGRESSION

    def examples(self, split: Split) -> tuple[Tensor, Tensor]:
        return super().examples(split)[0], torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


@pytest.mark.parametrize("problem", [Three(), ThreeReal()])
def test_behind_is_how_much_more_the_chosen_descriptor_loses(problem: Any) -> None:
    """One image is put half wrong by the chosen one: its squared error is .5 there, and 0 for the corner."""
    right = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    wrong = right.clone()
    wrong[0] = 0.5
    row = _behind(problem, Fixed(wrong), Fixed(right))  # type: ignore[arg-type]
    assert row["behind"] == pytest.approx(0.5 / 3)
    assert row["behind_error"] == pytest.approx(torch.tensor([0.5, 0, 0]).std().item() / 3**0.5)


def test_the_search_that_skips_nothing_runs() -> None:
    method = Every(extractor=ExtractorChoice()).build(toy_context())
    method.step()
    assert method.choices == 128


def test_break_even_is_never_where_a_task_costs_the_rival_less() -> None:
    cheap = [{**theirs("a", 0, 100, 0.5, 0.5), "flops": 60}]
    found = against([ours("a", 0, 0.5)], cheap, "unrolled", pretraining=10.0)
    assert found is not None
    assert found.break_even == math.inf


def test_related_factors_may_leak() -> None:
    row = {"factors": ["rotation", "shear", "blur"], "leakage": [[0.4, 0.3, 0.1], [0.2, 0.5, 0.0], [-0.2, 0.0, 0.4]]}
    assert worst_leak(row) == pytest.approx(0.5)  # blur on rotation; rotation on shear is allowed
    row["leakage"] = [[0.4, 0.3, 0.1], [0.2, 0.5, 0.0], [0.0, 0.0, -0.1]]
    assert worst_leak(row) == math.inf  # an entry that does not work


def test_all_fixed_keys_are_there_with_and_without_rows() -> None:
    control = {
        "part": "control", "spearman": [[1.0, 0.9]], "span": [[0.3, 0.4]], "factors": ["rotation", "blur"],
        "leakage": [[0.4, 0.1], [0.0, 0.4]], "effective_rank_min": 20.0, "norm_ratio": 1.5, "features": 128,
    }
    rows = [ours("a", seed, 0.8, all_on=0.7) for seed in range(2)] + [control]
    rows += [theirs("a", seed, 100, 0.5, 0.6) for seed in range(2)]
    found = figures(rows)
    assert found["spearman_min"] == 0.9
    assert found["leakage_max"] == pytest.approx(0.25)
    assert found["helpful_minus_all_on"] == pytest.approx(0.1)
    assert found["accuracy_difference_vs_unrolled"] == pytest.approx(0.2)
    assert found["within_one_se_fraction"] == 1.0
    assert any("helpful at 10" in line for line in tables(rows))
    empty = figures([])
    assert set(benchmark.FIXED) <= set(found) & set(empty)
    assert all(empty[name] is None for name in benchmark.FIXED)
    assert set(benchmark.reasons(empty, quick=True)) == {name for name, value in empty.items() if value is None}


def test_a_row_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    made: list[int] = []

    def job(number: int) -> Job:
        name = {"part": "rival", "seed": number}
        return Job(name, lambda: made.append(number) or {**name, "accuracy": 1 / 3})  # type: ignore[func-returns-value]

    path = tmp_path / "rows.jsonl"
    book = Book(path)
    first = book.take(job(0))
    book.take(job(1))
    assert made == [0, 1]
    with path.open("a") as file:
        file.write('{"part": "rival", "seed": 2, "accur')  # a kill in the middle of a line
    again = Book(path)
    for number in range(3):
        again.take(job(number))
    assert made == [0, 1, 2]
    assert again.take(job(0))["accuracy"] == pytest.approx(first["accuracy"])
    again.take(job(1), again=True)  # timings are always taken anew
    assert made == [0, 1, 2, 1]
    whole = list(read(path))
    assert sum(row["part"] == "start" for row in whole) == 2
    assert len(json.dumps(whole[1])) < 300
