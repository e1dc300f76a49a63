"""What sources load and wrappers change: the labelled pool, the test set, and what is known about them.

Axes: N pool rows, M test rows, then one input's `shape`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tracking.errors import UserError
from trainables.problems.array_view import Rows
from trainables.problems.bank import standard_bank
from trainables.problems.problem import Action, Kind, Problem, ProblemConfig, Split, Truth

Array = NDArray[Any]
BankBuilder = Callable[[tuple[int, ...], Mapping[str, float]], tuple[Action, ...]]
POOL = (Split.TRAIN, Split.OUTER, Split.SELECT)


@dataclass(frozen=True)
class Originals:
    """A pool's inputs before planted nuisances, and which pool that is.

    Args:
        x: (N, *shape), row for row.
        pool: the arrays that were made of them; of any other pool they are not the originals.
    """

    x: Array
    pool: Mapping[Split, Array]

    def belong_to(self, pool: Mapping[Split, Array]) -> bool:
        """Whether nothing happened to the pool since."""
        return all(self.pool[split] is pool[split] for split in POOL)


@dataclass(frozen=True)
class Dataset:
    """Everything with a label, before it is divided into train, outer and select.

    Which rows become `train` is decided later (by the partition), so inputs that shall look different in
    different splits are held once per split, row for row aligned; splits that look alike share ONE array.

    Args:
        pool: split -> inputs (N, *shape), uint8 for images (0..255) or float32; for train, outer and select.
        pool_y: targets (N,) int64, or (N, outputs) float32 for regression.
        test_x: inputs (M, *shape).
        test_y: targets of the test set.
        kind: what the outputs mean.
        outputs: number of classes, or of regression targets.
        classes: their names; empty for regression.
        truth: the planted answer, where there is one.
        limits: action name -> physical maximum of the transform bank, where it is not the default.
        notes: what the user should know about the data (unreadable files left out, ...).
        bank: (shape, limits) -> the group actions the problem is probed with.
        select: pool rows (N,) that are the select split in every partition; None: every partition draws its own.
        clean_x: the test inputs before planted nuisances, where there are any; read by the harness alone.
        originals: the pool's inputs before them; for methods that are told what was planted.
        nuisances: action of the bank -> physical half-width that was planted; each once, as moved twice they are not
            uniform.
        balanced: whether the score is the mean over classes of the share that is recognised.
        shuffled: splits whose targets are permuted among their rows once the pool is divided, and by which seed.
    """

    pool: Mapping[Split, Array]
    pool_y: Array
    test_x: Array
    test_y: Array
    kind: Kind
    outputs: int
    classes: tuple[str, ...] = ()
    truth: Truth | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    bank: BankBuilder = standard_bank
    select: Array | None = None
    clean_x: Array | None = None
    originals: Originals | None = None
    nuisances: Mapping[str, float] = field(default_factory=dict)
    balanced: bool = False
    shuffled: Mapping[Split, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.test_x.shape[1:])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input: where a row is a class of images, the shape of one of them."""
        return self.shape[1:] if self.kind is Kind.EPISODIC and len(self.shape) == 4 else self.shape

    def actions(self) -> dict[str, Action]:
        """The transform bank by name."""
        return {action.name: action for action in self.bank(self.shape, self.limits)}

    def rows(self, keep: Array) -> Dataset:
        """The same data with only the given pool rows, in that order."""
        select, clean = None if self.select is None else self.select[keep], self.clean_pool
        kept = replace(self.map_pool(lambda x: x[keep]), pool_y=self.pool_y[keep], select=select)
        return kept if clean is None else replace(kept, originals=Originals(clean[keep], kept.pool))

    def require_no_tail(self, wrapper: str) -> None:
        """Raises UserError where classes were given sizes before: `wrapper` would change them, or what they are."""
        if self.select is not None:
            raise UserError(f"`{wrapper}` comes before `long_tailed`, which gives classes their sizes", "after it",
                            "change the order of the problem's `wrappers`")

    def map_pool(self, change: Callable[[Array], Array], on: frozenset[Split] = frozenset(POOL)) -> Dataset:
        """Change the pool inputs of some splits; an array they share is changed once and stays shared."""
        done: dict[int, Array] = {}
        pool = dict(self.pool)
        for split in POOL:
            if split in on:
                before = self.pool[split]
                if id(before) not in done:
                    done[id(before)] = change(before)
                pool[split] = done[id(before)]
        return replace(self, pool=pool)

    @property
    def clean_pool(self) -> Array | None:
        """The pool's inputs before its nuisances, row for row (N, *shape).

        None where nothing was planted in them, and where a later wrapper changed them: what the nuisance would have
        made of other images is not known.
        """
        known = self.originals
        return known.x if known is not None and known.belong_to(self.pool) else None

    def planted(self, pool: Mapping[Split, Array]) -> Originals | None:
        """The originals of a pool that a nuisance made of this one's; None where there are none to know of."""
        if self.originals is None:
            shared = all(self.pool[split] is self.pool[Split.TRAIN] for split in POOL)
            return Originals(self.pool[Split.TRAIN], pool) if shared else None
        return None if self.clean_pool is None else Originals(self.clean_pool, pool)


def labelled(
    pool_x: Array,
    pool_y: Array,
    test_x: Array,
    test_y: Array,
    classes: tuple[str, ...],
    notes: tuple[str, ...] = (),
) -> Dataset:
    """A classification data set whose pool looks the same in every split."""
    return Dataset(
        pool=dict.fromkeys(POOL, pool_x),
        pool_y=pool_y.astype(np.int64),
        test_x=test_x,
        test_y=test_y.astype(np.int64),
        kind=Kind.CLASSIFICATION,
        outputs=len(classes),
        classes=classes,
        notes=notes,
    )


class SourceConfig(ProblemConfig):
    """Where data come from. `load` is a pure function of the fields and the seed: equal on every node.

    `places` names the fields that say where the data lie, and not what they are.
    """

    places: ClassVar[frozenset[str]] = frozenset()

    def assemble(
        self, rows: Mapping[Split, Rows], dataset: Dataset, seed: int, bank: tuple[Action, ...]
    ) -> Problem | None:
        """The problem over divided rows, where it is made of tasks; None leaves the making to the house.

        Args:
            rows: of all four splits.
            seed: the one that `load` was given.
            bank: of the transform bank's actions.
        """
        return None

    def load(self, seed: int) -> Dataset:
        """Read or make the data; `seed` fixes the test set where the source has none of its own.

        Raises:
            UserError: the data cannot serve (missing folder, empty class, unreadable images, ...).
        """
        raise NotImplementedError

    def may_share(self, other: SourceConfig) -> bool:
        """Whether one may hold inputs of the other: the same source, data set and files, however they are divided."""
        return self.name == other.name and self._origin() == other._origin()

    def _origin(self) -> tuple[object, ...]:
        named = {
            name: value for name, value in self if isinstance(value, str) and name not in self.places
        }
        return named, self.fingerprint()

    def bank(self, shape: tuple[int, ...], limits: Mapping[str, float]) -> tuple[Action, ...]:
        """The group actions of this kind of data; by default chosen by the rank of `shape`."""
        return standard_bank(shape, limits)

    def fingerprint(self) -> str:
        """What identifies the data beyond the fields, e.g. a digest of file names; part of the cache key."""
        return ""


class WrapperConfig(ProblemConfig):
    """A change of a data set; wrappers compose, the first one listed is applied first."""

    def assemble(
        self, rows: Mapping[Split, Rows], dataset: Dataset, seed: int, bank: tuple[Action, ...]
    ) -> Problem | None:
        """As a source's; only the last wrapper is asked, since it alone knows the data as they are in the end."""
        return None

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        """A changed data set; a pure function of the fields, the data and the seed.

        Raises:
            UserError: the data set cannot be wrapped so.
        """
        raise NotImplementedError


def stream(*parts: str | int) -> np.random.Generator:
    """A random stream that depends on the parts only, not on the process or the platform."""
    digest = sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
