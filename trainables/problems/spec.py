"""The description of a problem as data: a source, wrappers around it, and how the pool is divided."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from tracking.errors import UserError
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.array_view import Description, Rows
from trainables.problems.bank import require_limits
from trainables.problems.dataset import POOL, Array, Dataset, SourceConfig, WrapperConfig, stream
from trainables.problems.discovery import Part, config_class
from trainables.problems.packing import clean_columns, clean_splits, columns, packed, split_rows, unpacked
from trainables.problems.part_code import own_code
from trainables.problems.partition import SHARES, partition_rows
from trainables.problems.problem import LEARNABLE, Kind, Problem, Split
from trainables.problems.soundness import made, require_classes, require_difference, untested
from trainables.problems.store import cached, content_key
from trainables.problems.strokes import Extra, extended
from trainables.problems.target_units import TargetUnits
from trainables.problems.validation import friendly, validated

DIGITS = 12  # of a fingerprint, in messages


class ProblemSpec(BaseModel):
    """One problem of a study; JSON in, the same JSON out.

    Args:
        label: its name in tables and file names.
        source: `name` of the source and its fields.
        wrappers: the same for each wrapper, the first applied first.
        shares: of the labelled pool for train, outer and select.
        actions: what the transform bank has beside the standard actions of such inputs; see `strokes`.
        limits: action name -> physical maximum of the transform bank. Never set from what was planted,
            because methods see the bank: a planted range beyond the bank is an error until it is raised here.

    Raises:
        UserError: unknown names or fields, or values out of range; all of them in one message. (Inside
            another pydantic model it arrives within that model's ValidationError.)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    source: dict[str, Any]
    wrappers: tuple[dict[str, Any], ...] = ()
    shares: tuple[float, float, float] = SHARES
    actions: tuple[Extra, ...] = ()
    limits: dict[str, float] = {}

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise friendly(error, ProblemSpec, "problem") from None

    @field_validator("shares")
    @classmethod
    def _shares_sum_to_one(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise UserError("`shares` must be positive and sum to 1", shares, "e.g. 0.5, 0.25, 0.25")
        return shares

    @field_validator("limits")
    @classmethod
    def _limits_are_positive(cls, limits: dict[str, float]) -> dict[str, float]:
        if not all(math.isfinite(limit) and limit > 0 for limit in limits.values()):
            raise UserError("`limits` must be positive and finite", limits)
        return limits

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Replace what was given by the full, validated fields: the record and the cache key say all."""
        source, wrappers = self.parts()
        object.__setattr__(self, "source", _dumped(source))
        object.__setattr__(self, "wrappers", tuple(_dumped(wrapper) for wrapper in wrappers))
        return self

    def parts(self) -> tuple[SourceConfig, tuple[WrapperConfig, ...]]:
        """The configurations of source and wrappers."""
        source = cast(SourceConfig, _part(self.source, Part.SOURCE))
        return source, tuple(cast(WrapperConfig, _part(values, Part.WRAPPER)) for values in self.wrappers)

    def identity(self) -> list[Any]:
        """What the data depend on beside a seed, as JSON values: not what they are called or where they lie."""
        source, wrappers = self.parts()
        fields = self.model_dump(mode="json", exclude={"label"})
        if not self.actions:
            del fields["actions"]  # so that what was made before there were any keeps its key
        fields["source"] = {name: value for name, value in fields["source"].items() if name not in source.places}
        return [fields, source.fingerprint(), *own_code((source, *wrappers))]

    def fingerprint(self) -> str:
        """What identifies the files that the data come from; empty where there are none."""
        return self.parts()[0].fingerprint()

    def dataset(self, seed: int) -> Dataset:
        """Load and wrap the data, in memory."""
        source, wrappers = self.parts()
        bank = extended(source.bank, self.actions)
        dataset = replace(made(lambda: source.load(seed), f"source `{source.name}`"), bank=bank, limits=self.limits)
        require_limits(self.limits, {action.name: action for action in bank(dataset.shape, {})})
        for wrapper in wrappers:
            dataset = made(partial(wrapper.wrap, dataset, seed), f"wrapper `{wrapper.name}`")
        return dataset

    def build(self, seed: int, partition: int, cache: Path, began: str | None = None) -> Problem:
        """Prepare the data once per node under `cache`, then map it read-only.

        Args:
            seed: fixes what is the same for all methods and seeds of a comparison: the test set, the few-shot
                draw, the planted nuisance.
            partition: which division of the labelled pool into train, outer and select.
            cache: a folder on this node.
            began: the fingerprint that the data must have; None takes them as they are.

        Raises:
            UserError: the data cannot serve (missing folder, empty class, too few images, ...), or are others.
        """
        source, wrappers = self.parts()
        code, found = own_code((source, *wrappers)), source.fingerprint()
        if began not in (None, found):
            raise _changed(self, str(began), found)
        base = [self.model_dump(mode="json", exclude={"label", "shares"}), found, *code, seed]
        whole = cached(cache, content_key("whole", *base), lambda: packed(self.dataset(seed)))
        divided = [*base, self.shares, partition]

        def part(*splits: Split) -> dict[str, Array]:
            dataset = unpacked(whole)
            rows = partition_rows(dataset, seed, partition, self.shares)
            picked = columns({split: _picked(dataset, split, rows[split]) for split in splits})
            return picked | clean_columns(_clean(dataset, {split: rows[split] for split in splits}))

        # Two entries, not one: nothing that a method holds shares a file with the select split.
        learnable = cached(cache, content_key("learnable", *divided), lambda: part(*LEARNABLE))
        select = cached(cache, content_key("select", *divided), lambda: part(Split.SELECT))
        dataset = replace(unpacked(whole), bank=extended(source.bank, self.actions))
        return _problem(dataset, split_rows(learnable | select), clean_splits(learnable), seed, (source, *wrappers))


def in_memory(dataset: Dataset, seed: int, partition: int) -> ArrayProblem:
    """A problem over arrays in memory: for small data and for tests."""
    rows = partition_rows(dataset, seed, partition)
    picked = {split: _picked(dataset, split, rows[split]) for split in POOL}
    problem = _problem(dataset, picked, _clean(dataset, rows), seed)
    assert isinstance(problem, ArrayProblem)
    return problem


def differing(label: str, began: str, found: str) -> str:
    """In words, that a problem's data are others than they were."""
    then, now = (told[:DIGITS] or "none" for told in (began, found))
    return f"the data of `{label}`: fingerprint {then} then, {now} now"


def _changed(spec: ProblemSpec, began: str, found: str) -> UserError:
    return UserError(
        "data may not change within a sweep",
        f"{differing(spec.label, began, found)} (read on {socket.gethostname()})",
        "put the files back as they were, their times included, or launch a new sweep; on a cluster every node must "
        "read the same files with the same times",
    )


def _problem(
    dataset: Dataset, rows: Mapping[Split, Rows], clean: Mapping[Split, Array], seed: int,
    parts: tuple[SourceConfig | WrapperConfig, ...] = (),
) -> Problem:
    everything = {**rows, Split.TEST: Rows(dataset.test_x, dataset.test_y)}
    if dataset.shuffled and dataset.kind is Kind.EPISODIC:
        raise UserError("`shuffled_labels` permutes labels of single examples", "a problem made of tasks")
    bank = dataset.bank(dataset.input_shape, dataset.limits)
    for part in parts[-1:]:
        if (made := part.assemble(everything, dataset, seed, bank)) is not None:
            return made
    require_classes(dataset)
    require_difference(everything, dataset.kind)
    units = None
    if dataset.kind is Kind.REGRESSION:
        units = TargetUnits.of(np.concatenate([rows[split].y for split in LEARNABLE]))
        everything = {split: Rows(x, units.standard(y)) for split, (x, y) in everything.items()}
    description = Description(
        kind=dataset.kind,
        shape=dataset.shape,
        outputs=dataset.outputs,
        classes=dataset.classes,
        transform_bank=bank,
        units=units,
        balanced=dataset.balanced,
    )
    before = {**clean, **({} if dataset.clean_x is None else {Split.TEST: dataset.clean_x})}
    notes = (*dataset.notes, *untested(dataset))
    return ArrayProblem(everything, description, dataset.truth, notes, before, dataset.nuisances)


def _picked(dataset: Dataset, split: Split, rows: Array) -> Rows:
    y = dataset.pool_y[rows]
    if split in dataset.shuffled:
        y = stream("shuffled_labels", split, dataset.shuffled[split]).permutation(y)
    return Rows(dataset.pool[split][rows], y)


def _clean(dataset: Dataset, rows: Mapping[Split, Array]) -> dict[Split, Array]:
    """Of train and outer, as far as they are asked for; of select nobody needs them."""
    known = dataset.clean_pool
    return {} if known is None else {split: known[rows[split]] for split in LEARNABLE if split in rows}


def _part(values: Mapping[str, Any], part: Part) -> Any:
    noun = "source" if part is Part.SOURCE else "wrapper"
    if not isinstance(values.get("name"), str):
        raise UserError(f"a {noun} needs a `name`", dict(values), "e.g. name: digits")
    fields = {key: value for key, value in values.items() if key != "name"}
    return validated(config_class(values["name"], part), fields, values["name"])


def _dumped(config: SourceConfig | WrapperConfig) -> dict[str, Any]:
    return {"name": config.name, **config.model_dump(mode="json")}
