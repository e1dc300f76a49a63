"""The suite of planted tasks: every task builds, its truth names what was planted, labels come in equal numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from amortised_tasks import VALUES, Data, Sort, Task, digits, sources, suite

from spaces.descriptors import OPERATIONS, Factor
from trainables.modules.amortised import Quality
from trainables.problems.problem import Kind, Problem, Split, Truth
from trainables.problems.target_units import units_of

DATA = digits(Quality.QUICK)
EVERY = {task.name: task for task in suite(DATA)}
TASKS = {name: task for name, task in EVERY.items() if task.sort not in (Sort.AMOUNT, Sort.INK)}
REAL = {name: task for name, task in EVERY.items() if name not in TASKS}
SHOTS = 10


def labels(problem: Problem, *splits: Split) -> list[int]:
    y = torch.cat([problem.examples(split).y for split in splits])
    return torch.bincount(y, minlength=problem.outputs).tolist()


SHARES = {"holes": [0.5, 0.4, 0.1]}  # of the ten digits five have none, four have one; the others are balanced


@pytest.mark.parametrize("name", TASKS)
def test_a_task_builds_with_labels_in_equal_numbers(name: str) -> None:
    problem = TASKS[name].problem(SHOTS, 0, 3)
    assert problem.shape == (1, 16, 16)
    assert labels(problem, Split.TRAIN, Split.OUTER, Split.SELECT) == [SHOTS] * problem.outputs
    assert len(problem.examples(Split.TEST).y) == 700
    counts = labels(problem, Split.TEST)
    shares = SHARES.get(name, [1 / problem.outputs] * problem.outputs)
    spread = 1 if TASKS[name].sort is Sort.HARMFUL else 0.1 * max(counts)  # handwritten digits are nearly balanced
    assert all(abs(count - 700 * share) <= spread for count, share in zip(counts, shares, strict=True)), counts


@pytest.mark.parametrize("name", TASKS)
def test_the_truth_names_what_was_planted(name: str) -> None:
    task = TASKS[name]
    truth = task.problem(SHOTS, 0, 0).truth or Truth()
    family, planted = DATA.family, {op for factor in task.planted for op in OPERATIONS[factor]}
    if task.sort is Sort.HELPFUL:
        assert truth.invariant == {operation.value: family.limit(operation) for operation in planted}
        assert not truth.harmful
    elif task.sort is Sort.HARMFUL:
        (factor,) = task.planted
        assert set(truth.harmful) == {OPERATIONS[factor][0].value}
        assert not truth.invariant
        assert task.problem(SHOTS, 0, 0).outputs == VALUES
    else:
        assert not task.planted
        assert truth == Truth()


def test_the_suite_has_each_factor_as_nuisance_and_as_label() -> None:
    for sort, prefix in ((Sort.HELPFUL, ""), (Sort.HARMFUL, "which-")):
        names = {task.name for task in TASKS.values() if task.sort is sort}
        assert {f"{prefix}{factor}" for factor in DATA.family.factors} <= names
    assert sum(task.sort in (Sort.CLEAN, Sort.HELPFUL, Sort.HARMFUL) for task in TASKS.values()) >= 15
    assert len(EVERY) == len(suite(DATA))


@pytest.mark.parametrize("name", REAL)
def test_a_real_target_has_ten_times_the_labels_and_names_what_was_planted(name: str) -> None:
    task, family = REAL[name], DATA.family
    problem = task.problem(SHOTS, 0, 3)
    assert (problem.kind, problem.outputs) == (Kind.REGRESSION, 1)
    assert problem.size(Split.TRAIN, Split.OUTER) == 75 and len(problem.examples(Split.TEST).y) == 700
    truth, (factor,) = problem.truth or Truth(), task.planted
    operation = OPERATIONS[factor][0]
    if task.sort is Sort.AMOUNT:
        assert set(truth.harmful) == {operation.value} and not truth.invariant
        assert task.oracle(1.0)[factor] == 0.0
    else:
        assert truth.invariant[operation.value] == family.limit(operation) and not truth.harmful
        assert task.oracle(0.0)[factor] == 1.0


def test_ink_is_the_mean_level_before_the_nuisance() -> None:
    clean, turned = EVERY["none"].problem(SHOTS, 0, 0), EVERY["ink+rotation"].problem(SHOTS, 0, 0)
    units = units_of(turned)
    assert units is not None
    target = units.own(turned.examples(Split.TEST).y)[:, 0]
    levels, moved = (one.examples(Split.TEST).x.mean((1, 2, 3)) for one in (clean, turned))
    torch.testing.assert_close(target, levels)
    assert not torch.allclose(target, moved)  # negative control
    assert (target - moved).abs().mean() < 0.25 * target.std()  # what makes it a target that turns leave alone


def test_a_nuisance_is_in_every_split_and_a_clean_task_has_none() -> None:
    """The same images with and without: rows are paired, as draws do not depend on what was planted."""
    clean, turned = (TASKS[name].problem(SHOTS, 0, 1) for name in ("none", "rotation"))
    for split in Split:
        before, after = clean.examples(split), turned.examples(split)
        assert torch.equal(before.y, after.y)
        changed = ((before.x - after.x).abs().amax((1, 2, 3)) > 0.05).float().mean()
        assert changed > 0.8
        again = TASKS["none"].problem(SHOTS, 0, 1).examples(split)  # negative control
        assert torch.equal(before.x, again.x)


def test_seeds_fix_draws_and_test_images_apart() -> None:
    """The data seed fixes the test images, which pre-training never sees; the other one everything else."""
    first, other, moved = (TASKS["none"].problem(SHOTS, *seeds) for seeds in ((0, 0), (0, 1), (1, 0)))
    assert torch.equal(first.examples(Split.TEST).x, other.examples(Split.TEST).x)
    assert not torch.equal(first.examples(Split.TRAIN).x, other.examples(Split.TRAIN).x)
    assert not torch.equal(first.examples(Split.TEST).x, moved.examples(Split.TEST).x)
    pool = DATA.source.dataset(0)
    seen = {image.tobytes() for image in pool.pool[Split.TRAIN]}
    for problem, overlap in ((first, False), (moved, True)):  # negative control: another division's test images
        images = (problem.examples(Split.TEST).x * 255).round().to(torch.uint8).numpy()
        shared = np.mean([image.tobytes() in seen for image in images])
        assert (shared > 0.1) == overlap


def test_the_oracle_knows_what_was_planted() -> None:
    assert TASKS["rotation+contrast"].oracle(0.5) == {
        factor.value: 1.0 if factor in (Factor.ROTATION, Factor.CONTRAST) else 0.5 for factor in DATA.family.factors
    }
    assert TASKS["which-blur"].oracle(1.0) == {
        factor.value: 0.0 if factor is Factor.BLUR else 1.0 for factor in DATA.family.factors
    }
    assert set(TASKS["none"].oracle(1.0).values()) == {1.0}


def test_an_inverted_image_is_the_negative_of_the_clean_one() -> None:
    clean, inverted = (TASKS[name].problem(SHOTS, 0, 0).examples(Split.TEST).x for name in ("none", "inverted"))
    same = (clean == inverted).flatten(1).all(1)
    negative = ((1 - clean) - inverted).abs().flatten(1).amax(1) < 1e-6
    assert (same ^ negative).all()
    assert 0.4 < float(negative.float().mean()) < 0.6  # 700 fair coins: six standard deviations are 0.11


def test_methods_see_the_same_bank_whatever_was_planted() -> None:
    banks = {task.problem(SHOTS, 0, 0).transform_bank for task in EVERY.values()}
    assert len(banks) == 1


def test_extractors_of_one_kind_of_images_are_shared_by_its_tasks() -> None:
    assert DATA.spec(0).key() == digits(Quality.QUICK).spec(0).key()
    assert len({DATA.spec(0).key(), DATA.spec(1).key(), digits(Quality.STANDARD).spec(0).key()}) == 3


def test_colour_images_have_a_task_for_colour() -> None:
    colour = Data("colour", DATA.tasks, DATA.pool, Quality.QUICK, channels=3)
    tasks: dict[str, Task] = {task.name: task for task in suite(colour)}
    assert tasks["colour"].wrappers[0]["ranges"].keys() == {"hue", "saturation"}
    assert "which-colour" in tasks
    assert "colour" not in TASKS  # negative control


def test_without_mnist_there_are_the_digits_alone() -> None:
    """With the standard extractor and the long one."""
    found = sources(None)
    assert list(found) == ["digits", "digits-long"]
    assert [data.quality for data in found.values()] == [Quality.STANDARD, Quality.LONG]
    assert len({data.spec(0).key() for data in found.values()}) == 2
