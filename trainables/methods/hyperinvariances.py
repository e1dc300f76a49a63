"""HyperInvariances (Chavhan et al. 2022; Amortised Invariance Learning, Chavhan et al. 2023), the papers' method.

    min_{W, i in [0,1]^K} 1/n sum_j loss(W f(x_j; i), y_j)

by two Adams on the same mini-batches, i clamped after each step; f is frozen. Pre-training: kernels that a
hyper-network makes, on/off corners with at least two entries on, off means omitted, one contrastive head per corner.

The objective is the papers' own: the training loss. With D >= n every descriptor fits, and otherwise the least
invariant features fit best (Benton et al. 2020 discuss it for augmentations); `descriptor` is what we do about it.

Deviations: the family's transformations instead of the papers' photographs' ones; InfoNCE within the group instead of
a momentum queue; the hyper-network as a static kernel plus R bases in the last block and the projection (the same
function class at (R + 1) times the parameters); GroupNorm instead of BatchNorm; a temperature of .2 instead of .1;
AdamW with one cycle instead of Adam at 5e-4; an exponential average of the weights is what is used; pixel noise on
every view. Downstream, features of unit length times sqrt(D), no dropout before the head, batches of 16 drawn with
replacement. With as many updates as the other rows each of 120 heads gets few (100 groups of images in 1,500 updates),
so that numbers of this row may be those of an extractor that was trained too little. For regression the squared error
of targets in standard units (`target_units`) instead of the L1 distance of predictions and targets of unit length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear

from spaces.domain import Float, Space
from tracking.cost import Phase
from trainables.artefact import ArtefactSpec
from trainables.method import Context, Method, MethodConfig, NetworkBuilder, Role, Slice, State
from trainables.modules.adam import Adam
from trainables.modules.amortised import MOST_LABELS, NAME, PAPERS, AmortisedTask, ExtractorChoice, Head
from trainables.modules.closed_form import checked
from trainables.modules.cosine_head import cosines, unit
from trainables.modules.drift import drift, inert
from trainables.modules.imbalance import ImbalanceConfig, ImbalanceRule, Loss
from trainables.modules.report_card import Chosen, export
from trainables.modules.state import generators_state, load_generators, require_cursor, require_like
from trainables.modules.supervised import mean_metrics
from trainables.problems.problem import Batch, View
from trainables.problems.spec import ProblemSpec

HEAD_STD = 0.01  # of the head's weights at the start


class Config(MethodConfig):
    """The published settings of the downstream phase.

    Args:
        extractor: which one; the method's own settings are added.
        head_learning_rate: Adam's, for W.
        descriptor_learning_rate: Adam's, for i.
        epochs: passes over the labelled images.
        batch_size: images per step.
        start: of every entry.
        descriptor: what a search found; then only W is learned.
        imbalance: how classes of different sizes are treated; with LDAM the head is a cosine classifier. The horizon
            that a delay is a share of is the method's own, of `epochs`.
    """

    space: ClassVar[Space] = Space({
        "head_learning_rate": Float(low=1e-3, high=0.1, log=True),
        "descriptor_learning_rate": Float(low=1e-3, high=0.1, log=True),
    })

    images: ClassVar[bool] = True
    scales_with_horizon: ClassVar[bool] = False

    extractor: ExtractorChoice = ExtractorChoice()
    head_learning_rate: float = Field(default=0.01, gt=0)
    descriptor_learning_rate: float = Field(default=0.01, gt=0)
    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=16, ge=1)
    start: float = Field(default=0.5, ge=0, le=1)
    descriptor: dict[str, float] | None = None
    imbalance: ImbalanceConfig = ImbalanceConfig()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where extractor or descriptor do not fit, or `imbalance` needs classes."""
        super().fits(problem, network)
        self.imbalance.require(problem)
        self.extractor.require(problem, whole=self.descriptor, fixed=PAPERS)

    @classmethod
    def quick(cls) -> Self:
        return cls(epochs=2)

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {NAME: self.extractor.spec(problem, data_seed, **PAPERS)}

    def build(self, context: Context) -> Method:
        """Raises UserError where the extractor does not fit the task, or the descriptor the extractor."""
        return HyperInvariances(context, self)


class HyperInvariances:
    """Descriptor and head descend the training loss together; slices of as many updates as any method's."""

    def __init__(self, context: Context, config: Config) -> None:
        self._context, self._config = context, config
        self.task = AmortisedTask(context, config.imbalance)
        family, device = self.task.extractor.family, context.device
        entries = dict.fromkeys((factor.value for factor in family.factors), config.start)
        start = checked(self.task, entries if config.descriptor is None else config.descriptor)
        self._descriptor = nn.Parameter(start.to(device))
        init = context.generator(Role.INIT)
        outputs, features = context.problem.outputs, self.task.extractor.features
        self._weight = nn.Parameter((HEAD_STD * torch.randn(outputs, features, generator=init)).to(device))
        self._bias = nn.Parameter(torch.zeros(outputs, device=device))
        self._rule, self._chances = ImbalanceRule(context, config.imbalance), torch.empty(0)
        self._y = torch.empty(0)  # what the head learns: labels or values
        # A cosine classifier has no bias; the parameter is left at zero.
        head = (self._weight,) if config.imbalance.loss is Loss.LDAM else (self._weight, self._bias)
        rates, learns = dict.fromkeys(head, config.head_learning_rate), config.descriptor is None
        self._adam = Adam({**rates, self._descriptor: config.descriptor_learning_rate} if learns else rates)
        self._learned = (*head, self._descriptor) if learns else head
        self._phase = Phase.SEARCH if learns else Phase.TRAIN
        self._order = context.generator(Role.ORDER)
        self._updates = config.epochs * -(-min(context.problem.size(), MOST_LABELS) // config.batch_size)
        self._cursor = 0

    def step(self) -> Slice:
        if not self.task.loaded:
            self._load()
        losses = [self._update() for _ in range(min(self._slice, self._updates - self._cursor))]
        done = self._cursor == self._updates
        return Slice(mean_metrics({"train/loss": losses}), self._phase, ready=True, done=done)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        with torch.no_grad():
            features = self.task.extractor.finish(self.task.respond(x), self._descriptor[None])[0]
            return self._outputs(features)

    def describe(self) -> Mapping[str, float]:
        named = self.task.extractor.family.named(self._descriptor.detach())
        return {f"descriptor/{name}": value for name, value in named.items()}

    def found(self) -> Config:
        named = self.task.extractor.family.named(self._descriptor.detach())
        return self._config.model_copy(update={"descriptor": named})

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `report_card`: after the last step, also in another process. No bound: choices are not finite."""
        if not self.task.loaded:
            self.task.load(self._phase)
        return export(self.task, Chosen(self._descriptor.detach().cpu(), self._head(), None, self.task.apart), folder)

    def warnings(self) -> Sequence[str]:
        """Where the extractor does not do on these images what it did where it was trained, and idle entries.

        Of a descriptor that is given nothing was chosen that idle entries could be told of.
        """
        if not self.task.loaded:
            self.task.load(self._phase)
        return [*drift(self.task), *(inert(self.task) if self._phase is Phase.SEARCH else ())]

    def state_dict(self) -> State:
        return {
            "descriptor": self._descriptor.detach().clone(), "weight": self._weight.detach().clone(),
            "bias": self._bias.detach().clone(), "adam": self._adam.state_dict(), "cursor": self._cursor,
            "generators": generators_state((self._order,)),
        }

    def load_state_dict(self, state: State) -> None:
        """The images are read again; the meter that is loaded after this knows that they were paid for."""
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._updates)
        with torch.no_grad():
            for name in ("descriptor", "weight", "bias"):
                getattr(self, f"_{name}").copy_(state[name])
        self._adam.load_state_dict(state["adam"])
        load_generators((self._order,), state["generators"])
        self._cursor = state["cursor"]
        if self._cursor > 0:
            self._load()

    def _load(self) -> None:
        """The labelled images, what their head learns, and how often each is drawn."""
        self.task.load(self._phase)
        targets = self.task.targets
        if targets.labels is None:
            self._y = targets.values.float()
        else:
            self._y = targets.labels
            self._rule.count(self._y)
        self._chances = self._rule.chances(self._y)

    @property
    def _slice(self) -> int:
        """Updates per report: as many reports as a training of the comparison makes."""
        reports = -(-self._context.horizon // self._context.slice_updates)
        return -(-self._updates // reports)

    def _outputs(self, features: Tensor) -> Tensor:
        """(n, D) -> (n, c) as it is learned; features are brought to unit variance from unit length."""
        rule = self._config.imbalance
        if rule.loss is Loss.LDAM:
            return cosines(features, self._weight, rule.scale)
        return linear(features * math.sqrt(features.shape[-1]), self._weight, self._bias)

    def _head(self) -> Head:
        """What `predict` has, on features of unit length."""
        rule, weight, bias = self._config.imbalance, self._weight.detach(), self._bias.detach()
        if rule.loss is Loss.LDAM:
            weight, scale = unit(weight), rule.scale
        else:
            scale = math.sqrt(weight.shape[-1])
        return Head(scale * weight, bias, torch.ones((), device=weight.device))

    def _update(self) -> Tensor:
        config, task = self._config, self.task
        progress = self._cursor / self._updates
        rows = self._rule.rows(self._order, self._chances, config.batch_size, progress)
        with self._context.meter.unit("update", (len(rows),), phase=self._phase, examples=len(rows)):
            features = task.features(self._descriptor[None], rows)[0]
            loss = self._rule.loss(self._outputs(features), self._y[rows].to(features.device), progress).mean()
            self._adam.update(torch.autograd.grad(loss, self._learned))
            with torch.no_grad():
                self._descriptor.clamp_(0.0, 1.0)
        self._cursor += 1
        return loss.detach()
