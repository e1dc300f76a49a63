"""The loop of a bilevel search for a policy: a network that is thrown away and a policy that stays.

Per update: an ordinary step on `train` through the policy, and every `outer_interval` updates a step of the policy
along an estimate of the hypergradient of the loss on `outer`, un-augmented.

Under a rule for imbalanced classes the inner steps draw and descend as the rule says. Held-out examples are drawn and
weighted by it too, for the policy should serve the classes that the training is meant for, but their loss is the
problem's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from spaces.policies import Policy
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.method import Context, Role, State
from trainables.modules.adam import Adam
from trainables.modules.hypergradient import Estimate, Weights
from trainables.modules.imbalance import ImbalanceRule
from trainables.modules.recipe import RecipeConfig
from trainables.modules.state import generators_state, load_generators, module_state, require_like
from trainables.modules.tail_average import TailAverage
from trainables.modules.trunk import Schedule, Trunk
from trainables.problems.problem import Batch, Split

BETAS = (0.5, 0.999)  # of the outer Adam, as in DADA: the policy must be able to turn round
SEARCH_STREAM = 1     # role index; index 0 is the training's, which is paired across methods


class SearchSettings(Protocol):
    """What the loop reads of a configuration."""

    @property
    def outer_learning_rate(self) -> float: ...
    @property
    def outer_interval(self) -> int: ...
    @property
    def outer_batch_ratio(self) -> int: ...
    @property
    def outer_warm_up(self) -> float: ...
    @property
    def tail(self) -> float: ...


class Update(NamedTuple):
    """One update of a search.

    Args:
        inner_loss: 0-d, detached.
        outer: None where no outer step was due.
    """

    inner_loss: Tensor
    outer: Estimate | None


class BilevelSearch(ABC):
    """Advanced update by update; what is learned and how its gradient is estimated is the subclass's.

    Args:
        context: problem, seeds, meter.
        recipe: of the inner steps; the learning rate stays constant after warm-up, for at rate 0 the
            unrolled step no longer depends on the policy.
        settings: of the outer steps.
        learned: its parameters that ask for a gradient are the policy; changed in place.
        updates: length of the search.
        passes: gradient evaluations per image of the inner batch that an outer step takes.
        branches: copies of every image that an inner step takes.

    Raises:
        UserError: no outer step would ever be taken, or the network has BatchNorm or Dropout.
    """

    def __init__(
        self, context: Context, recipe: RecipeConfig, settings: SearchSettings, learned: nn.Module, updates: int,
        passes: int, branches: int = 1,
    ) -> None:
        if round(settings.outer_warm_up * updates) >= updates:
            raise UserError(
                "a search needs an outer step", f"{updates} updates of which `outer_warm_up` takes all",
                "a longer horizon, or a smaller `outer_warm_up`",
            )
        self._context, self._recipe, self._settings = context, recipe, settings
        self._passes, self._branches = passes, branches
        self._module = learned.to(context.device)
        self._phi = tuple(one for one in self._module.parameters() if one.requires_grad)
        self.trunk = Trunk(repeatable(recipe.network(context, SEARCH_STREAM)), recipe, updates, Schedule.CONSTANT)
        self._rule = ImbalanceRule(context, recipe.imbalance, Split.TRAIN)
        self._names = tuple(name for name, _ in self.trunk.network.named_parameters())
        self._adam = Adam(dict.fromkeys(self._phi, settings.outer_learning_rate), BETAS)
        self._order = context.generator(Role.ORDER, SEARCH_STREAM)
        self._outer = context.generator(Role.SEARCH)
        self._noise = context.generator(Role.AUGMENT, SEARCH_STREAM)
        self._tail = TailAverage(self._phi)

    @abstractmethod
    def _inner_loss(self, weights: Weights, batch: Batch) -> Tensor:
        """The mean loss of augmented examples, 0-d; draws from `self._noise`."""

    @abstractmethod
    def _estimated(self, batch: Batch, held_out: Batch) -> Estimate:
        """The hypergradient, and the gradient for the inner step."""

    @abstractmethod
    def _policy_of(self, phi: tuple[Tensor, ...]) -> Policy:
        """What these values of the parameters stand for."""

    @property
    def left(self) -> int:
        """Updates until the end."""
        return self.trunk.horizon - self.trunk.cursor

    def predict(self, x: Tensor) -> Tensor:
        """By the network of the search."""
        return self.trunk.predict(x)

    def update(self) -> Update:
        """One inner step, with an outer step before it where one is due."""
        batch = self._draw(self._order, self._recipe.batch_size, Split.TRAIN)
        outer = self._outer_update(batch) if self._due() else None
        inner_loss = self._inner_update(batch) if outer is None else outer.inner_loss
        if self.trunk.cursor > self.trunk.horizon * (1 - self._settings.tail):
            self._tail.add()
        return Update(inner_loss, outer)

    def policy(self) -> Policy:
        """From the parameters averaged over the tail; before it, the last."""
        return self._policy_of(self._tail.values())

    def state_dict(self) -> State:
        return {
            "trunk": self.trunk.state_dict(),
            "policy": module_state(self._module),
            "adam": self._adam.state_dict(),
            "tail": self._tail.state_dict(),
            "generators": generators_state((self._order, self._outer, self._noise)),
            **self._more_state(),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        self.trunk.check_state(state["trunk"])
        self.trunk.load_state_dict(state["trunk"])
        self._module.load_state_dict(state["policy"])
        self._adam.load_state_dict(state["adam"])
        self._tail.load_state_dict(state["tail"])
        load_generators((self._order, self._outer, self._noise), state["generators"])
        self._load_more(state)

    def _more_state(self) -> State:
        """What a subclass keeps beside this."""
        return {}

    def _load_more(self, state: State) -> None:
        """Take over what `_more_state` gave; the state fits."""
        return

    def _due(self) -> bool:
        since = self.trunk.cursor - round(self._settings.outer_warm_up * self.trunk.horizon)
        return since >= 0 and since % self._settings.outer_interval == 0

    def _inner_update(self, batch: Batch) -> Tensor:
        meter = self._context.meter
        with meter.unit("inner", batch.x.shape, phase=Phase.SEARCH, examples=len(batch.x) * self._branches):
            weights = tuple(self.trunk.network.parameters())
            loss = self._inner_loss(weights, batch)
            self.trunk.update(torch.autograd.grad(loss, weights))
        return loss.detach()

    def _outer_update(self, batch: Batch) -> Estimate:
        """Both steps; the inner one uses the gradient that the estimate was made of, so it costs nothing more."""
        size = self._recipe.batch_size * self._settings.outer_batch_ratio
        held_out = self._draw(self._outer, size, Split.OUTER)
        examples = self._passes * len(batch.x) * self._branches + len(held_out.x)
        with self._context.meter.unit("outer", batch.x.shape, phase=Phase.SEARCH, examples=examples):
            found = self._estimated(batch, held_out)
            self._adam.update(found.hyper)
            self.trunk.update(found.gradients)
        return found

    def _outer_loss(self, weights: Weights, held_out: Batch) -> Tensor:
        return self._rule.risk(self._network(weights, held_out.x), held_out.y, self.trunk.progress).mean()

    def _network(self, weights: Weights, x: Tensor) -> Tensor:
        named = dict(zip(self._names, weights, strict=True))
        outputs: Tensor = functional_call(self.trunk.network, named, (x,))
        return outputs

    def _draw(self, generator: torch.Generator, size: int, split: Split) -> Batch:
        return self._rule.batch(generator, size, self.trunk.progress, split)


def repeatable(network: nn.Module, of: str = "a policy search") -> nn.Module:
    """The network, if its loss is a function of weights and images alone.

    Args:
        of: whose network it is, for the message.

    Raises:
        UserError: it has BatchNorm (statistics that the outer batch would change, and an image's output would depend
            on the others of its batch) or Dropout (another loss every time).
    """
    refused = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    found = sorted({type(part).__name__ for part in network.modules() if isinstance(part, refused)})
    if found:
        raise UserError(f"the network of {of} must give the same loss every time", ", ".join(found),
                        "use GroupNorm, and no Dropout")
    return network
