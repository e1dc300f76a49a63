"""A planted nuisance: inputs are transformed at random, labels stay: invariance by construction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tracking.errors import UserError
from trainables.problems.bank import SWITCHES, absent, apply_jointly, wider
from trainables.problems.dataset import POOL, Array, Dataset, WrapperConfig, stream
from trainables.problems.problem import Action, Split, Truth

CHUNK = 4096  # images transformed at once: bounds the memory of a large data set
ROUNDING = 1e-9  # relative: of a safe half-width that a source computed
EVERYWHERE = (Split.TRAIN, Split.OUTER, Split.SELECT, Split.TEST)


class Config(WrapperConfig):
    """Each input is transformed by strengths uniform in [-r, r], fixed per example; the label stays.

    A pool row gets the same strengths whichever split it falls into. With `on` a part of the splits only, the
    same row is stored both ways and the partition decides which one is seen: "train upright, everything else
    rotated" is `on: [outer, select, test]`.

    Args:
        ranges: action name of the transform bank -> physical half-width r. A flip is on or off with
            probability 1/2 each and takes the bank's limit as its range. Actions without sign: [0, r].
        on: the splits whose inputs are transformed.
    """

    name: ClassVar[str] = "nuisance"

    ranges: dict[str, float] = Field(min_length=1)
    on: tuple[Split, ...] = Field(default=EVERYWHERE, min_length=1)

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        bank = dataset.actions()
        check_ranges(self.ranges, dataset)
        chosen = [bank[name] for name in bank if name in self.ranges]

        def varied(part: str, x: Array) -> Array:
            generator = stream("nuisance", part, seed)
            return transformed(x, chosen, strengths(chosen, self.ranges, lambda: generator.random(len(x))))

        changed = dataset.map_pool(lambda x: varied("pool", x), frozenset(self.on))
        test_x = varied("test", dataset.test_x) if Split.TEST in self.on else dataset.test_x
        clean = dataset.test_x if dataset.clean_x is None else dataset.clean_x
        return replace(
            changed,
            test_x=test_x,
            clean_x=clean if Split.TEST in self.on else dataset.clean_x,
            nuisances={**dataset.nuisances, **self.ranges},
            originals=dataset.planted(changed.pool) if set(self.on).intersection(POOL) else dataset.originals,
            truth=planted_truth(self.ranges, dataset),
        )


def transformed(x: Array, actions: list[Action], by: Mapping[str, Tensor]) -> Array:
    """Stored inputs after the actions, in the type they are stored in (images: rounded to 8 bits)."""
    parts = []
    for start in range(0, len(x), CHUNK):
        block = torch.from_numpy(np.array(x[start : start + CHUNK]))
        images = block.dtype == torch.uint8
        some = {name: v[start : start + CHUNK] for name, v in by.items()}
        moved = apply_jointly(actions, block.float() / 255 if images else block, some)
        parts.append((moved * 255).round().clamp(0, 255).to(torch.uint8) if images else moved)
    return np.asarray(torch.cat(parts).numpy())


def strengths(actions: list[Action], ranges: Mapping[str, float], uniform: Callable[[], Array]) -> dict[str, Tensor]:
    """v (B,) by action name, in the units of the bank: physical value over limit.

    Args:
        uniform: draws (B,) numbers from U(0, 1).
    """
    found = {}
    for action in actions:
        u = uniform()
        if action.name in SWITCHES:
            v = (u < 0.5).astype(float)
        else:
            v = (2 * u - 1 if action.signed else u) * (ranges[action.name] / action.limit)
        found[action.name] = torch.from_numpy(v.astype(np.float32))
    return found


def check_ranges(ranges: Mapping[str, float], dataset: Dataset) -> None:
    """Raises UserError where a nuisance is not in the bank, out of its range, there already, or changes labels.

    Twice the same action is refused: what two uniform strengths add up to is triangular, a level or a flip takes the
    larger one or either, and other splits may have had one of them alone; no range says what was planted then.
    """
    bank, known = dataset.actions(), dataset.truth or Truth()
    for name, reach in ranges.items():
        if name not in bank:
            raise UserError("a nuisance must be an action of the transform bank", name, absent(name, bank))
        limit = bank[name].limit
        if not 0 < reach <= limit:
            raise UserError(
                f"the range of `{name}` must lie in (0, {limit:g}] {bank[name].unit}".rstrip(),
                reach,
                wider(bank[name], reach) if reach > limit else "a range is a half-width: how far either way",
            )
        if name in SWITCHES and reach != limit:
            raise UserError(f"`{name}` is on or off: its range is {limit:g}", reach)
        if name in known.harmful:
            raise UserError("what tells the classes apart cannot be a nuisance too", name)
        if name in dataset.nuisances:
            raise UserError("a nuisance is planted once", f"`{name}` twice", "name it once, by its whole range")
        safe = known.invariant.get(name, reach)
        if reach > safe * (1 + ROUNDING):
            raise UserError(f"a nuisance changes no label: by the source, `{name}` is safe up to {safe:g} "
                            f"{bank[name].unit}".rstrip(), reach, f"at most {name}: {safe:g}")


def planted_truth(ranges: Mapping[str, float], dataset: Dataset) -> Truth:
    """What is known once these are planted: of them their own half-widths, of other actions what was known before.

    A source says how far its images may be moved. What was planted in them is no wider, and only that is asked of a
    method.
    """
    before = dataset.truth or Truth()
    return Truth({**before.invariant, **ranges}, before.harmful)
