"""Which invariances does this task want: several searches over a descriptor behind one name.

Features come from outside as a function of the descriptor; heads are closed-form (`ridge`), and every search ends
in the same kind of evaluation (`evaluated`), the same test of the default (`evidence`), and the same rule (`choice`).
The caller charges the cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor

from tracking.errors import UserError
from trainables.modules.choice import Choice, choose, distinct, rounded
from trainables.modules.corners import all_corners, alternatives, greedy, halved_corners, menu, screened
from trainables.modules.counted_features import CountedFeatures, Features
from trainables.modules.evaluated import Evaluated, Judge, Targets, joined, merged
from trainables.modules.evidence import Evidence, against_default, enough
from trainables.modules.gradient_search import Descent, descend, way_to_default
from trainables.modules.surrogate import surrogate

MOST_SCREENED = 256  # corners that the gradient's starts are screened from
MOST_WORTHWHILE = 0.5


class SearchKind(StrEnum):
    """How descriptors are proposed."""

    AUTO = "auto"            # the menu below `menu_below` labels, the gradient from there on
    GRADIENT = "gradient"    # projected Adam through the leave-one-out ridge head, several starts
    CORNERS = "corners"      # all 2^K on/off descriptors, successive halving on images
    GREEDY = "greedy"        # one entry switched at a time, K (K + 1) / 2 evaluations
    SURROGATE = "surrogate"  # a quadratic through random descriptors
    MENU = "menu"            # a handful that is fixed in advance


class SearchConfig(BaseModel):
    """Settings of a search.

    Args:
        steps: of the gradient.
        learning_rate: of the gradient at its first step, in units of the cube.
        first_rows: images on which all corners are screened.
        keep: corners that are evaluated on all images.
        points: random descriptors of the surrogate.
        proposals: minimisers of the surrogate that are evaluated.
        menu_below: labels below which AUTO takes the menu.
        resolution: ends of the gradient and proposals of the surrogate are rounded to multiples of 1/resolution, so
            that the choice is one among finitely many.
        lowest_penalty: of the grid of classes, as a ratio of noise to signal variance.
        lowest_real: of the grid of real targets, which begins higher. Near interpolation the leave-one-out error of a
            few examples is at the mercy of the descriptor, and the gradient finds the one that flatters them (75 labels
            of how far digits are turned, scaled, lit or blurred: R^2 .77 with 1e-5, .91 with 1e-2; ad hoc,
            docs/log.md). Classes gain nothing by it: one-hot targets are never without noise.
        highest_penalty: of the grid.
        penalties: points of the grid, evenly spaced on the logarithm.
        errors: width of the one-standard-error rule, see `choose`.
        alternatives: that the default is tested against; the menu alone for MENU.
        worthwhile: by which share of its risk the default must be beaten; under weights n / n' times as much, n' the
            effective number of examples, up to a half.
        false_alarms: how often labels that mean nothing may make the choice leave the default, in [0, 1]; 0 keeps it
            always, 1 asks for no evidence. Fewer labels than the rate needs (`enough` in `evidence`) are none.
        max_pairs: (descriptor, image) pairs per call of the features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(default=40, ge=1)
    learning_rate: float = Field(default=0.2, gt=0)
    first_rows: int = Field(default=100, ge=2)
    keep: int = Field(default=16, ge=1)
    points: int = Field(default=40, ge=3)
    proposals: int = Field(default=4, ge=1)
    menu_below: int = Field(default=40, ge=0)
    resolution: int = Field(default=32, ge=1)
    lowest_penalty: float = Field(default=1e-5, gt=0)
    lowest_real: float = Field(default=1e-2, gt=0)
    highest_penalty: float = Field(default=1e2, gt=0)
    penalties: int = Field(default=15, ge=2)
    errors: float = Field(default=1.0, ge=0)
    alternatives: int = Field(default=64, ge=1)
    worthwhile: float = Field(default=0.01, ge=0, lt=1)
    false_alarms: float = Field(default=0.1, ge=0, le=1)
    max_pairs: int = Field(default=2048, ge=1)

    @model_validator(mode="after")
    def _penalties_rise(self) -> Self:
        self.ends(real=False)  # of real targets where there are any: a grid of classes may end below their default
        return self

    def ends(self, real: bool) -> tuple[float, float]:
        """The lowest and the highest penalty; UserError where they are not in that order."""
        name = "lowest_real" if real else "lowest_penalty"
        lowest = getattr(self, name)
        if lowest > self.highest_penalty:
            raise UserError(
                "a grid of penalties goes from the lowest to the highest",
                f"{name}: {lowest:g}, highest_penalty: {self.highest_penalty:g}",
                f"set `{name}` too" if name not in self.model_fields_set else "",
            )
        return lowest, self.highest_penalty

    def require(self, real: bool) -> None:
        """Raises UserError where the grid of such targets does not rise, or the other one's end is what was given."""
        self.ends(real)
        if real and "lowest_penalty" in self.model_fields_set and "lowest_real" not in self.model_fields_set:
            raise UserError(
                "the penalties of real targets begin at `lowest_real`", f"lowest_penalty: {self.lowest_penalty:g}",
                f"write `lowest_real: {self.lowest_penalty:g}` for them",
            )

    def log_penalties(self, targets: Targets) -> Tensor:
        """(L,) natural logarithms, float64."""
        lowest, highest = self.ends(real=targets.labels is None)
        return torch.linspace(math.log(lowest), math.log(highest), self.penalties, dtype=torch.float64)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and what it took.

    Args:
        how: the search that ran; never AUTO.
        evaluated: every descriptor evaluated on all images: the alternatives, the default first, then what was
            proposed.
        evidence: against the default.
        choice: of the one-standard-error rule.
        forward_pairs: (descriptor, image) pairs evaluated without gradient.
        gradient_pairs: pairs evaluated forward and backward.
        family: how many descriptors could have been chosen, whatever the labels: |I| of the risk bound.
        descent: what the gradient did; None for other searches.
    """

    how: SearchKind
    evaluated: Evaluated
    evidence: Evidence
    choice: Choice
    forward_pairs: int
    gradient_pairs: int
    family: int
    descent: Descent | None = None


def search(
    features: Features,
    targets: Targets,
    how: SearchKind,
    default: Tensor,
    generator: Generator,
    config: SearchConfig | None = None,
) -> Found:
    """Propose descriptors, evaluate them by leave-one-out, choose one if the labels say that the default is beaten.

    Args:
        features: of the task's images; gets descriptors and rows on the CPU, answers on any device.
        targets: what the head has to predict, on the CPU.
        default: (K,) in [0, 1]: what is taken unless the labels say otherwise.
        generator: on the CPU; draws the screened images and the surrogate's descriptors.

    Raises:
        UserError: a default outside the cube, too many corners, features that are constant or not finite.
    """
    config = config or SearchConfig()
    check_default(default)
    how = _resolved(how, len(targets), config)
    counted = CountedFeatures(features, len(targets), config.max_pairs)
    judge = Judge(counted, targets, config.log_penalties(targets))
    fixed = menu(default) if how is SearchKind.MENU else alternatives(default, config.alternatives)
    tested = judge.evaluate(fixed)
    proposed, descent = _propose(judge, how, default, config, generator)
    evaluated = tested if proposed is None else merged([tested, proposed])
    others, own = tested.losses[1:], tested.losses[0]
    evidence = against_default(others, own, generator, margin(targets, config))
    if len(targets) < enough(targets.classes()):
        evidence = replace(evidence, p_value=1.0, enough=False)
    choice = choose(evaluated, default, config.errors, leave=evidence.p_value <= config.false_alarms)
    family = family_size(how, default, config)
    return Found(how, evaluated, evidence, choice, counted.forward, counted.gradient, family, descent)


def margin(targets: Targets, config: SearchConfig) -> float:
    """By which share of its risk the default must be beaten: `worthwhile` n / n', n' the effective number of examples.

    The fewer examples count, the further apart heads on labels that mean nothing are. With `worthwhile` alone they gave
    alarms in .22 to .48 of tasks of 150 to 2 labels a class, balanced, at a stated tenth; so .00 to .03.
    """
    return min(MOST_WORTHWHILE, config.worthwhile * len(targets) / targets.effective_number())


def family_size(how: SearchKind, default: Tensor, config: SearchConfig) -> int:
    """|I|: how many descriptors the search could end at, whatever the labels; one is the default.

    The gradient may end at any multiple of 1/resolution, with any entries set back to the default's.

    Args:
        how: not AUTO, which is resolved by the number of labels.
    """
    entries = len(default)
    if how is SearchKind.MENU:
        return len(menu(default))
    if how in (SearchKind.CORNERS, SearchKind.GREEDY):
        return int(2**entries) + 1
    on_grid = int((rounded(default, config.resolution) == default).sum())
    grid = (config.resolution + 1) ** on_grid * (config.resolution + 2) ** (entries - on_grid)
    return int(grid) + (config.points if how is SearchKind.SURROGATE else 0)


def check_default(default: Tensor) -> None:
    """Raises UserError unless (K,) with K >= 1 and all entries in [0, 1]."""
    inside = default.dim() == 1 and len(default) >= 1 and bool(((default >= 0) & (default <= 1)).all())
    if not inside:
        raise UserError("a descriptor is a vector with entries in [0, 1]", default.tolist())


def _resolved(how: SearchKind, labels: int, config: SearchConfig) -> SearchKind:
    if how is not SearchKind.AUTO:
        return how
    return SearchKind.MENU if labels < config.menu_below else SearchKind.GRADIENT


def _propose(
    judge: Judge, how: SearchKind, default: Tensor, config: SearchConfig, generator: Generator
) -> tuple[Evaluated | None, Descent | None]:
    """What is evaluated beside the alternatives."""
    if how is SearchKind.GRADIENT:
        return _by_gradient(judge, default, config, generator)
    if how is SearchKind.CORNERS and 2 ** len(default) <= config.alternatives:
        return None, None  # the alternatives are all corners
    if how is SearchKind.CORNERS:
        return halved_corners(judge, default, config.first_rows, config.keep, generator), None
    if how is SearchKind.GREEDY:
        return greedy(judge, default), None
    if how is SearchKind.SURROGATE:
        points, proposals, resolution = config.points, config.proposals, config.resolution
        return surrogate(judge, default, points, proposals, resolution, generator), None
    return None, None


def _by_gradient(
    judge: Judge, default: Tensor, config: SearchConfig, generator: Generator
) -> tuple[Evaluated, Descent]:
    """The default, the starts, the rounded ends and what lies between the best end and the default."""
    starts = _starts(judge, len(default), config, generator)
    known = judge.evaluate(distinct(torch.cat([starts, default.float().unsqueeze(0)])))  # the starts come first
    descent = descend(judge, starts, known.log_penalty[: len(starts)], config.steps, config.learning_rate)
    ends = judge.evaluate(distinct(rounded(descent.ends, config.resolution)))
    best = ends.descriptors[int(ends.risk.argmin())]
    parts = [known, ends]
    if not torch.equal(best, default.float()):
        parts.append(way_to_default(judge, best, default.float()))
    return joined(parts), descent


def _starts(judge: Judge, entries: int, config: SearchConfig, generator: Generator) -> Tensor:
    """Centre, all-on, all-off and the corner (of the menu, for many entries) that a few images like best.

    They are evaluated, so the centre is the nearest descriptor of the grid that `family_size` counts.
    """
    corners = all_corners(entries) if 2**entries <= MOST_SCREENED else menu(torch.ones(entries))
    best = corners[screened(judge, corners, config.first_rows, generator)[0]]
    centre = rounded(torch.full((entries,), 0.5), config.resolution)
    return distinct(torch.stack([centre, torch.ones(entries), torch.zeros(entries), best]))
