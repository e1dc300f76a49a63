"""What every problem must satisfy, as code: house problems and the users' own are held to the same checks.

A check takes `build(seed, partition) -> Problem` and raises AssertionError with what is wrong. Checks read
the test split; they belong to `invsearch check` and to tests, never to a sweep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from trainables.problems.problem import LEARNABLE, ForbiddenSplitError, Kind, Planted, Problem, Split, Truth, View
from trainables.problems.reachable import arrays, rows_of, walk
from trainables.problems.target_units import units_of

Build = Callable[[int, int], Problem]
Check = Callable[[Build], None]

MAPPED_FROM_BYTES = 1 << 16  # smaller arrays may live in memory
IDENTITY_TOLERANCE = 1e-5    # float32 resampling
ROUNDING = float(np.finfo(np.float32).eps)  # of targets in standard units, relative
POOL = (Split.TRAIN, Split.OUTER, Split.SELECT)


def check_splits_disjoint(build: Build) -> None:
    """No example lies in two splits; inputs that occur twice in the data may."""
    problem = build(0, 0)
    seen: Counter[bytes] = Counter()
    for split in Split:
        seen.update(set(rows_of(problem.examples(split).x.numpy())))
    total = sum(problem.size(split) for split in Split)
    repeated = [digest for digest, count in seen.items() if count > 1]
    assert len(repeated) <= 0.01 * total, f"{len(repeated)} of {total} examples lie in more than one split"


def check_stratified(build: Build) -> None:
    """Every class is in every split; within the pool in equal proportions, up to rounding.

    Where the score is balanced, the select split holds every class as often instead.
    """
    problem = build(0, 0)
    counts: dict[Split, Tensor] = {}
    for split in Split:
        x, y = problem.examples(split)
        assert len(y) > 0, f"the {split} split is empty"
        assert len(x) == len(y) == problem.size(split), f"size({split}) is not the number of its examples"
        if problem.kind is Kind.CLASSIFICATION:
            counts[split] = torch.bincount(y, minlength=problem.outputs)
            missing = torch.nonzero(counts[split] == 0).flatten().tolist()
            assert not missing, f"the {split} split has no example of class {missing}"
    if problem.kind is Kind.CLASSIFICATION:
        balanced = bool(getattr(problem, "balanced", False))
        alike = LEARNABLE if balanced else POOL
        if balanced:
            select = counts[Split.SELECT]
            assert bool((select == select[0]).all()), f"select must hold every class as often: {select.tolist()}"
        whole = torch.stack([counts[split] for split in alike]).sum(0)
        for split in alike:
            expected = whole * (counts[split].sum() / whole.sum())
            off = (counts[split] - expected).abs().max()
            assert off <= 2, f"a class of the {split} split is off its share by {off:.1f} examples"


def check_seeded(build: Build) -> None:
    """Same seed and partition: the same numbers. Another partition: another division of the same pool."""
    assert fingerprint(build(0, 0)) == fingerprint(build(0, 0)), "the same seed gave other numbers"
    first, second = build(0, 0), build(0, 1)
    same_test = torch.equal(first.examples(Split.TEST).x, second.examples(Split.TEST).x)
    assert same_test, "another partition must have the same test set"
    divided_alike = _rows(first, Split.TRAIN) == _rows(second, Split.TRAIN)
    assert not divided_alike, "another partition must divide the pool differently"
    assert _sizes(first) == _sizes(second), "another partition must have splits of the same size"
    # Inputs may look different per split (a nuisance on some splits only), labels may not.
    pairs = zip(_labels(first), _labels(second), strict=True)
    # By their spread alone, since a large mean says nothing about it; the largest are rounded most.
    same_labels = [np.allclose(a, b, rtol=0, atol=1e-5 * b.std() + ROUNDING * np.ptp(b)) for a, b in pairs]
    assert all(same_labels), "another partition must divide the same pool"


def check_draw_uses_generator_only(build: Build) -> None:
    """`draw`, `episode`, `unlabelled` follow the generator; global random state is neither used nor moved."""
    view = build(0, 0).view()
    torch_state, numpy_state = torch.get_rng_state(), _numpy_state()
    first = _drawn(view, 7)
    assert torch.equal(torch.get_rng_state(), torch_state), "torch's global random state was moved"
    assert _numpy_state() == numpy_state, "NumPy's global random state was moved"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        assert _equal(first, _drawn(view, 7)), "the same generator seed gave another draw"
    assert not _equal(first, _drawn(view, 8)), "another generator seed gave the same draw"


def check_shapes_and_ranges(build: Build) -> None:
    """float32 inputs of `shape`, finite, images in [0, 1]; int64 targets < `outputs`, or float32 (B, K)."""
    problem = build(0, 0)
    generator = Generator().manual_seed(0)
    batches = [problem.examples(split, 16) for split in Split]
    batches += [problem.view().draw(generator, 16, split) for split in LEARNABLE]
    for x, y in batches:
        assert x.dtype == torch.float32, f"inputs must be float32, but got {x.dtype}"
        one = tuple(x.shape[1:])
        assert one == problem.shape, f"one input must be {problem.shape}, but got {one}"
        assert bool(x.isfinite().all()), "inputs must be finite"
        if len(problem.shape) == 3 and problem.transform_bank:  # a layer's input is no image, whatever its shape
            assert 0 <= float(x.min()) <= float(x.max()) <= 1, "images must lie in [0, 1]"
        if problem.kind is Kind.CLASSIFICATION or (problem.kind is Kind.EPISODIC and not y.is_floating_point()):
            assert y.dtype == torch.int64, f"targets must be int64, but got {y.dtype}"
            assert 0 <= int(y.min()) <= int(y.max()) < problem.outputs, "targets must lie in [0, outputs)"
        else:
            assert y.dtype == torch.float32, f"targets must be float32, but got {y.dtype}"
            fits = tuple(y.shape) == (len(x), problem.outputs)
            assert fits, f"targets must be (B, outputs), but got {tuple(y.shape)}"
    x = problem.view().unlabelled(generator, 5)
    assert tuple(x.shape) == (5, *problem.shape), "`unlabelled` must give (B, *shape)"


def check_identity(build: Build) -> None:
    """T_0 is the identity for the whole transform bank, and T_1 is not; names differ, limits are positive."""
    problem = build(0, 0)
    x = problem.examples(Split.TRAIN, 8).x
    bank = problem.transform_bank
    assert len({action.name for action in bank}) == len(bank), "two actions have the same name"
    for action in bank:
        assert action.limit > 0, f"the limit of {action.name} must be positive"
        error = float((action.apply(x, torch.zeros(len(x))) - x).abs().max())
        assert error <= IDENTITY_TOLERANCE, f"{action.name} at v = 0 must do nothing, but moves {error:.2g}"
        moved = action.apply(x, torch.ones(len(x)))
        assert moved.shape == x.shape, f"{action.name} must keep the shape"
        assert float((moved - x).abs().max()) > IDENTITY_TOLERANCE, f"{action.name} at v = 1 does nothing"


def check_loss_and_score(build: Build) -> None:
    """The loss is per example; perfect outputs have the lowest loss and the highest score."""
    problem = build(0, 0)
    y = problem.examples(Split.TRAIN, 32).y
    classes = not y.is_floating_point()
    right = 20 * one_hot(y, problem.outputs).float() if classes else y
    wrong = right.roll(1, -1) if classes else y + 1
    losses = [problem.loss(outputs, y) for outputs in (right, wrong)]
    assert losses[0].shape == (len(y),), f"the loss must be (B,), but got {tuple(losses[0].shape)}"
    assert bool((losses[0] < losses[1]).all()), "perfect outputs must have the lower loss"
    scores = [problem.score(outputs, y) for outputs in (right, wrong)]
    assert scores[0].ndim == 0, "the score must be a single number"
    assert bool(scores[0] > scores[1]), f"perfect outputs must score higher, got {scores[0]} <= {scores[1]}"


def check_view_forbids(build: Build) -> None:
    """A view refuses select and test by name, in every method that takes a split."""
    view, generator = build(0, 0).view(), Generator().manual_seed(0)
    for split in (Split.SELECT, Split.TEST):
        asked: Mapping[str, Callable[[], object]] = {
            "size": lambda split=split: view.size(split),  # type: ignore[misc]
            "draw": lambda split=split: view.draw(generator, 2, split),  # type: ignore[misc]
            "episode": lambda split=split: view.episode(generator, 1, 1, split),  # type: ignore[misc]
            "mixed": lambda split=split: view.draw(generator, 2, Split.TRAIN, split),  # type: ignore[misc]
        }
        for name, ask in asked.items():
            try:
                ask()
            except ForbiddenSplitError:
                continue
            raise AssertionError(f"the view's `{name}` must raise ForbiddenSplitError for `{split}`")


def check_originals_align(build: Build) -> None:
    """What is given to methods that are told has the view's rows, labels and draws, and its kind of inputs."""
    problem = build(0, 0)
    originals = problem.originals() if isinstance(problem, Planted) else None
    if originals is None:
        return
    view = problem.view()
    assert (originals.kind, originals.shape) == (view.kind, view.shape), "originals must be inputs of the same kind"
    for split in LEARNABLE:
        pairs = [(one.labelled(split), one.draw(Generator().manual_seed(0), 32, split)) for one in (view, originals)]
        for (x, y), (before, labels) in zip(*pairs, strict=True):
            assert x.shape == before.shape and torch.equal(y, labels), f"originals of {split} must be the view's rows"
    try:
        originals.size(Split.TEST)
    except ForbiddenSplitError:
        return
    raise AssertionError("originals must refuse the test split as a view does")


def check_view_cannot_reach(build: Build) -> None:
    """No chain leads from a view to the truth, to select, to test or to inputs before a planted nuisance.

    A chain is made of attributes, items and closures.
    """
    problem = build(0, 0)
    view = problem.view()
    inputs = {split: set(rows_of(problem.examples(split).x.numpy())) for split in Split}
    visible = inputs[Split.TRAIN] | inputs[Split.OUTER]
    hidden = inputs[Split.SELECT] | inputs[Split.TEST]
    if isinstance(problem, Planted) and (originals := problem.originals()) is not None:
        hidden |= set(rows_of(originals.labelled().x.numpy()))
    hidden -= visible
    for found in walk(view):
        assert not isinstance(found, Truth), "the view leads to the truth"
        assert found is not problem, "the view leads to the problem"
    for array in arrays(view):
        leaked = len(hidden.intersection(rows_of(array, problem.shape)))
        assert not leaked, f"the view leads to an array with {leaked} examples of select or test, or before a nuisance"


def check_mapped_once(build: Build) -> None:
    """Large arrays are read-only memory maps: one copy per node, not one per trial."""
    for array in arrays(build(0, 0)):
        if array.nbytes >= MAPPED_FROM_BYTES:
            told = f"an array of shape {array.shape} ({array.nbytes} bytes) is not memory-mapped"
            assert _is_mapped(array), told
            assert not array.flags.writeable, f"the map of shape {array.shape} must be read-only"


ALL_CHECKS: tuple[Check, ...] = (
    check_splits_disjoint,
    check_stratified,
    check_seeded,
    check_draw_uses_generator_only,
    check_shapes_and_ranges,
    check_identity,
    check_loss_and_score,
    check_view_forbids,
    check_originals_align,
    check_view_cannot_reach,
    check_mapped_once,
)


def fingerprint(problem: Problem) -> str:
    """A digest of all numbers of a problem: equal across processes and nodes."""
    digest = sha256(f"{problem.kind} {problem.shape} {problem.outputs} {problem.truth}".encode())
    for split in Split:
        for tensor in problem.examples(split):
            digest.update(tensor.contiguous().numpy().tobytes())
    for tensor in _drawn(problem.view(), 0):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _drawn(view: View, seed: int) -> list[Tensor]:
    """Everything that a view draws from one generator."""
    generator = Generator().manual_seed(seed)
    support, query = view.episode(generator, 1, 1)
    drawn = [*view.draw(generator, 16, *LEARNABLE), *support, *query, view.unlabelled(generator, 16)]
    return [tensor.cpu() for tensor in drawn]


def _numpy_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002 - the global state is what is watched


def _equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def _rows(problem: Problem, split: Split) -> list[bytes]:
    return sorted(rows_of(problem.examples(split).x.numpy()))


def _labels(problem: Problem) -> list[NDArray[Any]]:
    """Of the pool, in order, output by output; real ones in the user's units, since each division has its own."""
    y, units = torch.cat([problem.examples(split).y for split in POOL]), units_of(problem)
    columns = (y if units is None else units.own(y.double())).numpy().reshape(len(y), -1).T
    return [np.sort(column) for column in columns]


def _sizes(problem: Problem) -> list[int]:
    return [problem.size(split) for split in Split]


def _is_mapped(array: NDArray[Any]) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False
