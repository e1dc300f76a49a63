"""What methods on a pre-trained extractor share: which extractor, a task's labelled images on it, and its head.

Axes: M descriptors, n images, K factors, D features, c outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from spaces.descriptors import Family
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.artefact import ArtefactSpec
from trainables.method import Context, State
from trainables.modules.corners import balanced_rows
from trainables.modules.evaluated import Targets
from trainables.modules.extractor import Extractor, not_served
from trainables.modules.families import descriptor_of, require_entries
from trainables.modules.imbalance import ImbalanceConfig, example_weights
from trainables.modules.ridge import RidgeHead, fit, loo_residuals
from trainables.plugins import maker_config
from trainables.problems.problem import Kind, View
from trainables.problems.spec import ProblemSpec
from trainables.problems.store import cache_folder
from trainables.problems.validation import validated

NAME = "extractor"  # what methods call the artefact that they need
MOST_LABELS = 2000  # labelled images that a search looks at, drawn from train and outer together
CHUNK = 512         # images per forward pass
PROBED = 200        # images that invariance is measured on
SHARPEST, SHARPNESSES = 6.0, 49  # natural logarithm of the largest scale of the outputs; points of the grid


class Quality(StrEnum):
    """How long the extractor is pre-trained."""

    QUICK = "quick"        # 650 updates of half as many descriptors each
    STANDARD = "standard"  # 1,500 updates
    LONG = "long"          # 3,600 updates that erase and hold factors apart too; for 28x28 images, or for accuracy


SETTINGS: Mapping[Quality, Mapping[str, Any]] = {
    # More of everything on makes this short one worse (.66 for .70 on helpful tasks, two seeds), longer ones better.
    Quality.QUICK: {"horizon": 650, "groups": 4, "all_on": 0.0},
    Quality.STANDARD: {"horizon": 1500},
    Quality.LONG: {"horizon": 3600, "erasure": 0.5, "leakage": 5.0},
}

# Without what ties an entry to what features do: plain contrastive pre-training.
NO_CONTROL: Mapping[str, float] = dict.fromkeys(("sensitivity", "calibration", "erasure", "leakage"), 0.0)

# The papers' way to pre-train: kernels from a hyper-network, on/off corners, off is omitted, a head for each corner.
PAPERS: Mapping[str, Any] = {
    "conditioning": "kernels", "begin": "block", "views": "omit", "heads": "per_corner", "descriptors": "corners",
    **NO_CONTROL,
}


class ExtractorChoice(BaseModel):
    """Which extractor a method stands on; two methods with the same choice share one.

    Args:
        quality: how long it is pre-trained.
        settings: of the maker `amortised_extractor`, beyond what the quality sets.
        source: whose unlabelled images it learns from; None is the task's own source, without what the task plants.
        seed: of the pre-training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: Quality = Quality.STANDARD
    settings: dict[str, Any] = Field(default_factory=dict)
    source: ProblemSpec | None = None
    seed: int = Field(default=0, ge=0)

    def spec(self, problem: ProblemSpec, data_seed: int, **fixed: Any) -> ArtefactSpec:
        """What to pre-train for this task.

        Args:
            data_seed: of the comparison: then no test image of the task is in the pool.
            fixed: settings that the method itself decides.

        Raises:
            UserError: `settings` has another value of one of these.
        """
        source = self.source or ProblemSpec(label=problem.label, source=problem.source)
        set_here = {name: value for name, value in self.settings.items() if name in fixed}
        if others := {name: value for name, value in set_here.items() if value != fixed[name]}:
            raise UserError(
                "some settings of an extractor are what a row is about, and not to be set",
                ", ".join(f"{name}: {value}" for name, value in others.items()),
                "leave them out, or use the row `descriptor`",
            )
        return ArtefactSpec(
            maker="amortised_extractor", settings=self._whole(fixed), source=source, data_seed=data_seed, seed=self.seed
        )

    def _whole(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """The maker's settings: the quality's, without what would do nothing beside others; one's own; the row's."""
        own = {**self.settings, **fixed}
        quality = dict(SETTINGS[self.quality])
        if own.get("descriptors", "continuous") != "continuous":
            quality.pop("all_on", None)
        return {**quality, **own}

    def require(
        self, problem: View, named: Iterable[str] = (), whole: Mapping[str, float] | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        """Raises UserError where the source's images are not of the problem's shape, or an entry does not fit.

        Asked before the pre-training, which may take long; what is asked of the extractor itself comes after it.

        Args:
            named: entries that settings name.
            whole: a descriptor that is given.
            fixed: settings that the method itself decides.
        """
        if self.source is not None and (trained := _shape(self.source.model_dump_json())) != tuple(problem.shape):
            raise not_served(problem.shape, trained)
        maker: Any = validated(maker_config("amortised_extractor"), self._whole(fixed or {}), "extractor")
        family: Family = maker.family(problem.shape[0])
        require_entries(family, {*named, *(whole or ())})
        if whole is not None:
            complete(family, whole)


def _divided(spec: ProblemSpec) -> dict[str, Any]:
    """A source's fields without those that only say where it lies."""
    source, _ = spec.parts()
    return {name: value for name, value in spec.source.items() if name not in source.places}


@cache
def _shape(source: str) -> tuple[int, ...]:
    """Of one input of a source, given as JSON; it is read once."""
    return tuple(ProblemSpec.model_validate_json(source).build(0, 0, cache_folder()).shape)


def complete(family: Family, entries: Mapping[str, float]) -> Tensor:
    """A descriptor (K,); UserError where an entry is missing, or a name or a value is wrong."""
    made = descriptor_of(family, entries)
    if missing := [factor.value for factor in family.factors if factor.value not in entries]:
        raise UserError("a descriptor must name every entry of its extractor", f"nothing for {', '.join(missing)}",
                        "give each a number from 0, which keeps the factor, to 1, which ignores it")
    return made


class AmortisedTask:
    """A task's labelled images (train + outer) on an extractor: their responses, and features for any descriptor.

    Args:
        context: holds the extractor as the artefact `extractor`.
        imbalance: how much each label counts, and which are looked at of very many; the default is all alike.

    Raises:
        UserError: there is none, or it was trained on images of another shape; episodes; too few labels.
    """

    def __init__(self, context: Context, imbalance: ImbalanceConfig | None = None) -> None:
        problem = context.problem
        if problem.kind is Kind.EPISODIC:
            raise UserError("descriptors are chosen for one task at a time", "an episodic problem")
        if NAME not in context.artefacts:
            raise UserError("a method on a pre-trained extractor needs that extractor", "no artefact `extractor`",
                            "run it in a sweep, which pre-trains it first, or put it into `Context.artefacts`")
        self.extractor = Extractor(context.artefacts[NAME].state, context.device)
        self.extractor.require(problem.shape)
        self.context, self.imbalance = context, imbalance or ImbalanceConfig()
        self.images: Tensor | None = None  # the first ones, for what is measured on them
        self._response: Tensor | None = None
        self._targets: Targets | None = None

    @property
    def apart(self) -> bool:
        """Whether the extractor learned from other data than the task's, as far as descriptions tell."""
        task, learned = self._task, self.context.artefacts[NAME].spec.source
        return task is not None and not learned.parts()[0].may_share(task.parts()[0])

    @property
    def shared(self) -> str | None:
        """What to say where the extractor's source is the task's data, divided otherwise; None where it is not so."""
        task, spec = self._task, self.context.artefacts[NAME].spec.source
        learned = spec.source
        if task is None or self.apart or _divided(task) == _divided(spec):
            return None
        return (f"the extractor learned from {learned['name']} too, divided otherwise: it may have seen test images of "
                "this task, without labels; leave `source` out")

    @property
    def loaded(self) -> bool:
        return self._response is not None

    @property
    def targets(self) -> Targets:
        assert self._targets is not None, "load comes first"
        return self._targets

    def load(self, phase: Phase) -> None:
        """Read the labelled images, and do once what does not depend on the descriptor."""
        x, y = self.context.problem.labelled()
        if len(y) > MOST_LABELS:
            rows = self._chosen(y)
            x, y = x[rows], y[rows]
        self._targets = self._of(y)
        self.images = x[:PROBED]
        with self.context.meter.unit("respond", x.shape, phase=phase):
            self._response = self.respond(x)

    @property
    def _task(self) -> ProblemSpec | None:
        """The task's data alone, described in full."""
        given = self.context.source
        return None if given is None else ProblemSpec(label="task", source=dict(given))

    def _chosen(self, y: Tensor) -> Tensor:
        """MOST_LABELS rows; under a rule for imbalanced classes rare ones, which it is about, are not thinned out."""
        if self.imbalance.empirical:
            return torch.randperm(len(y), generator=Generator().manual_seed(0))[:MOST_LABELS]  # of both splits
        return balanced_rows(y, MOST_LABELS, Generator().manual_seed(0))

    def _of(self, y: Tensor) -> Targets:
        problem = self.context.problem
        if problem.kind is not Kind.CLASSIFICATION:
            return Targets.of_values(y)
        return Targets.of_labels(y, problem.outputs, example_weights(y, problem.outputs, self.imbalance))

    def respond(self, x: Tensor) -> Tensor:
        """(n, C, H, W) -> the stem's response, in pieces."""
        with torch.no_grad():
            return torch.cat([self.extractor.respond(part.to(self.context.device)) for part in torch.split(x, CHUNK)])

    def features(self, descriptors: Tensor, rows: Tensor | None) -> Tensor:
        """The loaded images under many descriptors: (M, K) -> (M, n, D), differentiable in the descriptors."""
        assert self._response is not None, "load comes first"
        response = self._response if rows is None else self._response[rows.to(self._response.device)]
        return self.extractor.finish(response, descriptors.to(self.context.device))


class Head:
    """A linear head in closed form, and the scale that makes its outputs log-probabilities.

    Ridge outputs of a classifier lie about the one-hot targets; `sharpness` times them are logits. It is the one with
    the lowest negative log-likelihood of the leave-one-out outputs, so no example is judged by a head that saw it.

    Args:
        weight: (c, D).
        bias: (c,).
        sharpness: 0-d; one for regression.
    """

    def __init__(self, weight: Tensor, bias: Tensor, sharpness: Tensor) -> None:
        self.weight, self.bias, self.sharpness = weight, bias, sharpness

    @classmethod
    def fitted(cls, features: Tensor, targets: Targets, log_penalty: float) -> Head:
        """features (n, D) under one descriptor."""
        values = targets.values.to(features.device)
        penalty = torch.tensor(log_penalty, dtype=torch.float64, device=features.device)
        ridge = fit(features, values, penalty, targets.weights)
        sharpness = torch.ones((), dtype=torch.float64, device=features.device)
        if targets.labels is not None:
            held_out = values - loo_residuals(features, values, penalty, targets.weights)
            sharpness = _sharpest(held_out, targets)
        return cls(ridge.weight.float(), ridge.bias.float(), sharpness.float())

    @property
    def ridge(self) -> RidgeHead:
        """Without the scale."""
        return RidgeHead(self.weight, self.bias)

    def __call__(self, features: Tensor) -> Tensor:
        """(n, D) -> (n, c) logits, or predicted values."""
        return self.sharpness * self.ridge.predict(features)

    def state_dict(self) -> State:
        return {"weight": self.weight.clone(), "bias": self.bias.clone(), "sharpness": self.sharpness.clone()}


def _sharpest(outputs: Tensor, targets: Targets) -> Tensor:
    """The scale with the lowest cross-entropy, on a grid evenly spaced in the logarithm."""
    assert targets.labels is not None
    labels = targets.labels.to(outputs.device)
    scales = torch.linspace(0.0, SHARPEST, SHARPNESSES, dtype=outputs.dtype, device=outputs.device).exp()
    losses = torch.stack([
        targets.weighted(cross_entropy(scale * outputs, labels, reduction="none")).mean() for scale in scales
    ])
    return scales[losses.argmin()]
