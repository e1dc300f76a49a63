"""Pre-trains a family of feature extractors f(x; i) that an invariance descriptor indexes.

    L = InfoNCE_group(tau) + lambda_s sum_k (1 - i_k) |read(f)_k - theta_k|^2 + lambda_c (S_k - wanted(i_k))^2
        + lambda_e [i != 1] sum_k i_k R^2_loo(theta_k) + lambda_l (S_k(i) - S_k(i'))^2,  i'_k = i_k

per group of images with one descriptor i (HyperInvariances, Chavhan et al. 2022, 2023, trains the first term alone).
With `views: omit`, `conditioning: kernels`, `heads: per_corner` and all lambdas 0 it is the papers' method; the
defaults are ours: shared parameters, continuous strengths, and a third view that ties i_k to the measured invariance.
Where all lambdas are 0 there are two views, and two are what is paid for.

Axes: G groups, n images of a group, K factors, P parameters, D features.
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from spaces.descriptors import Factor, Family
from tracking.errors import UserError
from trainables.idle_fields import refuse_idle
from trainables.maker import Maker, MakerConfig, MakerContext, Pool
from trainables.modules.conditioned import Begin, ConditionedExtractor, Conditioning, ExtractorConfig
from trainables.modules.families import descriptor_of, family_of, require_factors
from trainables.modules.fast_stem import Compiling, Precision
from trainables.modules.pretraining import Descriptors, Heads, Pretraining
from trainables.modules.views import Pairing
from trainables.problems.validation import validated

EMPHASIS = {
    Factor.ROTATION: 1.5, Factor.TRANSLATION: 1.5, Factor.SHEAR: 2.5, Factor.CONTRAST: 2.5, Factor.BLUR: 2.5,
    Factor.COLOUR: 2.5,
}


class Config(MakerConfig):
    """What is trained, and how long.

    Args:
        factors: of the family; None means the standard ones for these channels.
        limits: half-widths that differ from the family's defaults, in the units of the operations; above zero, and at
            most `spaces.transforms.MEANINGFUL`.
        width, features, conditioning, begin, network, bases: see `ExtractorConfig`.
        views: what an entry that is off means.
        heads: between features and the contrastive loss.
        descriptors: which are trained.
        all_on: with continuous descriptors, the share of groups that have everything on beside those that are drawn so:
            the default of every search, and what most tasks end with.
        fixed: with `descriptors: fixed`, the one, by name.
        fixed_entry: its entries that are not named.
        groups: G, descriptors per update.
        images: n, per group; the n - 1 others of the group are the negatives.
        temperature: tau.
        sensitivity, calibration: lambda_s, lambda_c.
        erasure: lambda_e. Groups with everything on are spared: little would be left there to tell images by, and that
            is every search's default.
        leakage: lambda_l, between looks in pairs, which then must be even. It costs span: 30 is too much.
        looks: how many more descriptors the first and the third views are compared under, in every update; they cost
            the tail alone, since the descriptor-free part is there already. With continuous descriptors only.
        emphasis: how often a factor is the one that the third view tells apart; 1 where it is not named. Factors that
            others imitate (shear and rotation, contrast and blur), and what moves few pixels of photographs (colour),
            need more of it.
        learning_rate: peak of AdamW's one cycle (5 % rise, cosine to zero).
        weight_decay: decoupled.
        precision, compiling: of the descriptor-free part, see `fast_stem`.
    """

    version: ClassVar[int] = 11  # since its features' mean on the pool is kept; weights are those of 10

    horizon: int = Field(default=1500, ge=1)
    factors: tuple[Factor, ...] | None = None
    limits: dict[str, float] = Field(default_factory=dict)
    width: int = 16
    features: int = 128
    conditioning: Conditioning = Conditioning.FILM
    bases: int = 0
    begin: Begin = Begin.POOLED
    network: str | None = None
    views: Pairing = Pairing.SHARE
    heads: Heads = Heads.SHARED
    descriptors: Descriptors = Descriptors.CONTINUOUS
    all_on: float = Field(default=0.4, ge=0, le=1)
    fixed: dict[str, float] = Field(default_factory=dict)
    fixed_entry: float = Field(default=0.0, ge=0, le=1)
    groups: int = Field(default=8, ge=1)
    images: int = Field(default=32, ge=2)
    temperature: float = Field(default=0.2, gt=0)
    sensitivity: float = Field(default=0.5, ge=0)
    calibration: float = Field(default=10.0, ge=0)
    erasure: float = Field(default=0.0, ge=0)
    leakage: float = Field(default=0.0, ge=0)
    looks: int = Field(default=4, ge=0)
    emphasis: dict[Factor, float] = Field(default_factory=lambda: dict(EMPHASIS))
    learning_rate: float = Field(default=4e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    precision: Precision = Precision.AUTO
    compiling: Compiling = Compiling.AUTO

    @property
    def controlled(self) -> bool:
        """Whether any loss beside the contrastive one counts."""
        return any((self.sensitivity, self.calibration, self.erasure, self.leakage))

    @field_validator("factors")
    @classmethod
    def _each_factor_once(cls, factors: tuple[Factor, ...] | None) -> tuple[Factor, ...] | None:
        if factors is not None:
            require_factors(factors)
        return factors

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not all(0 <= weight < math.inf for weight in self.emphasis.values()):
            raise UserError("emphasis counts how often: it is not negative", dict(self.emphasis))
        if self.heads is Heads.PER_CORNER and self.descriptors is not Descriptors.CORNERS:
            raise UserError("one head per corner needs descriptors that are corners", self.descriptors,
                            "set descriptors: corners, or heads: shared")
        pairs = self.looks > 0 and self.looks % 2 == 0 and self.descriptors is Descriptors.CONTINUOUS
        if self.leakage > 0 and not pairs:
            raise UserError(
                "leakage is measured between pairs of looks, of continuous descriptors",
                f"{self.looks} looks, {self.descriptors}", "an even number of looks, or `leakage: 0` (`long` sets it)",
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        if self.conditioning is not Conditioning.KERNELS:
            refuse_idle(self, ("bases",), "kernels that a descriptor mixes", "set `conditioning: kernels`")
        if self.descriptors is not Descriptors.FIXED:
            refuse_idle(self, ("fixed", "fixed_entry"), "one descriptor", "set `descriptors: fixed`")
        if self.descriptors is not Descriptors.CONTINUOUS:
            refuse_idle(self, ("all_on", "looks"), "continuous descriptors", "leave `descriptors` out")
        if not self.controlled:
            refuse_idle(self, ("looks", "emphasis"), "third views, which the contrastive loss alone does not ask for",
                        "give `sensitivity`, `calibration`, `erasure` or `leakage` a weight")
        return self

    def family(self, channels: int) -> Family:
        """The family for images with so many channels; UserError where factors or limits do not fit them."""
        return family_of(self.factors, self.limits, channels)

    def fixed_descriptor(self, family: Family) -> Tensor:
        """(K,); UserError where a name or a value is wrong."""
        entries = dict.fromkeys((factor.value for factor in family.factors), self.fixed_entry)
        return descriptor_of(family, {**entries, **self.fixed})

    def check(self, pool: Pool) -> None:
        """Raises UserError where the inputs are not images, or are too small, or a setting does not fit them."""
        shape = pool.shape
        if len(shape) != 3 or min(shape[1:]) < 8:
            raise UserError("an extractor needs images (C, H, W) from 8 x 8 on", shape, "name a source of images")
        family = self.family(shape[0])
        self.fixed_descriptor(family)
        own = {name for name, weight in self.emphasis.items() if weight != EMPHASIS.get(name)}
        if foreign := sorted(own - set(family.factors)):
            raise UserError("emphasis is for factors of the family", ", ".join(foreign))
        if not any(self.emphasis.get(factor, 1.0) for factor in family.factors):
            raise UserError("some factor of the family must have emphasis", "all are zero")
        with torch.device("meta"):
            ConditionedExtractor(self.extractor(family, shape))

    def extractor(self, family: Family, shape: tuple[int, ...]) -> ExtractorConfig:
        """What is trained on images of a shape (C, H, W); UserError where its settings make no network."""
        shared = ExtractorConfig.model_fields.keys() & type(self).model_fields.keys()
        own = {name: getattr(self, name) for name in shared}
        size = None if self.network is None else shape[1:]
        fields = {**own, "channels": shape[0], "factors": len(family.factors), "size": size}
        return validated(ExtractorConfig, fields, "amortised_extractor")

    def share(self, workers: int) -> None:
        """Each process has whole groups, so that a group has one descriptor and its negatives wherever it is."""
        if workers < 1 or self.groups % workers:
            raise UserError(
                "an extractor's groups are shared out evenly: `making_workers` must divide `groups`",
                f"{workers} processes, {self.groups} groups",
            )

    def build(self, context: MakerContext) -> Maker:
        """Raises UserError as `check`."""
        self.check(context.problem)
        return Pretraining(context, self, self.family(context.problem.shape[0]))
