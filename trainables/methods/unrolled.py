"""Bilevel policy search by one unrolled step with exact double backward (the class of DADA, ADDA and DABO).

    min_phi L_va(theta - eta grad L_tr(theta, phi)),  L_tr on `train` through the policy phi, L_va on `outer`
    as it is

then phi is frozen, theta thrown away, and a new network is trained from scratch on train + outer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Generator, Tensor

from spaces.domain import Float, Space
from spaces.policies import Policy
from spaces.transforms import Operation
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.method import Context, Method, Slice, State, StateMismatchError
from trainables.modules.frozen import FrozenPolicy
from trainables.modules.images import fitting, require_image
from trainables.modules.learned_policy import LearnedPolicy, Mixing
from trainables.modules.policy_search import PolicySearch
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.state import require_like
from trainables.modules.supervised import mean_metrics
from trainables.problems.problem import Batch

OPERATIONS = (
    Operation.ROTATION, Operation.TRANSLATE_X, Operation.TRANSLATE_Y, Operation.SCALE, Operation.SHEAR_X,
    Operation.SHEAR_Y, Operation.BRIGHTNESS, Operation.CONTRAST, Operation.SHARPNESS,
)


class Config(RecipeConfig):
    """The shared recipe (for the search's inner steps and for the training), and the search.

    Args:
        outer_learning_rate: Adam's, for the logits of choice and ranges.
        search_fraction: length of the search in horizons.
        outer_warm_up: share of the search before the first outer step.
        outer_interval: updates per outer step.
        outer_batch_ratio: validation examples per outer step in batches, drawn afresh; 2 at least.
        tail: share of the search, at its end, over which the logits are averaged.
        mixing: how the choice of operation enters the inner loss.
        operations: what is searched over; those that do not fit (colour on grey images) are left out. The
            limit of rotation is 180 degrees, of the others that of `spaces.transforms`.
        initial_range: r of every operation at the start.
        policy: what a search found; then there is no search.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "outer_learning_rate": Float(low=0.005, high=0.2, log=True),
    })

    outer_learning_rate: float = Field(default=0.02, gt=0)
    search_fraction: float = Field(default=1.0, gt=0)
    outer_warm_up: float = Field(default=0.1, ge=0, lt=1)
    outer_interval: int = Field(default=1, ge=1)
    outer_batch_ratio: int = Field(default=2, ge=2)
    tail: float = Field(default=0.3, gt=0, le=1)
    mixing: Mixing = Mixing.SAMPLED
    operations: tuple[Operation, ...] = Field(default=OPERATIONS, min_length=1)
    initial_range: float = Field(default=0.1, gt=0, lt=1)
    policy: Policy | None = None

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or no operation fits them."""
        channels = require_image("unrolled", context.problem.shape)[0]
        if self.policy is not None:
            return FrozenPolicy(context, self, self.policy)
        operations = fitting(self.operations, channels)
        if not operations:
            got = f"{', '.join(self.operations)} for {channels} channels"
            raise UserError("at least one operation must fit the images", got)
        return Unrolled(context, self, operations)


class Unrolled:
    """Phase `search`, not ready to be judged; then phase `train`, which is `FrozenPolicy`.

    What is trained after the search has the seeds of any other method's training: same weights, same batches.
    """

    def __init__(self, context: Context, config: Config, operations: tuple[Operation, ...]) -> None:
        self._context, self._config, self._operations = context, config, operations
        self._search: PolicySearch | None = self._new_search()
        self._training: FrozenPolicy | None = None

    def step(self) -> Slice:
        if self._search is None:
            return self._trained().step()
        search = self._search
        losses: list[Tensor] = []
        outer_losses: list[Tensor] = []
        for _ in range(min(self._context.slice_updates, search.trunk.horizon - search.trunk.cursor)):
            inner, outer = search.update()
            losses.append(inner)
            outer_losses += [] if outer is None else [outer]
        if search.finished:
            self._training, self._search = self._new_training(search.policy()), None
        metrics = mean_metrics({"search/inner_loss": losses, "search/outer_loss": outer_losses})
        return Slice(metrics, Phase.SEARCH, ready=False, done=False)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self._trained().predict(x) if self._search is None else self._search.trunk.predict(x)

    def describe(self) -> Mapping[str, float]:
        return self._policy().physical()

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._policy().draw(x, generator)

    def found(self) -> Config:
        return self._config.model_copy(update={"policy": self._policy()})

    def state_dict(self) -> State:
        if self._search is not None:
            return {"phase": Phase.SEARCH.value, "policy": "", "body": self._search.state_dict()}
        return {
            "phase": Phase.TRAIN.value,
            "policy": self._policy().model_dump_json(),
            "body": self._trained().state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """A new body is filled first and taken over last: a state that does not fit changes nothing."""
        head = {**state, "body": {}} if "body" in state else state  # the body is checked by its owner
        require_like({"phase": "", "policy": "", "body": {}}, head)
        if state["phase"] not in (Phase.SEARCH.value, Phase.TRAIN.value):
            raise StateMismatchError(f"the saved phase must be `search` or `train`, got {state['phase']!r}")
        if state["phase"] == Phase.SEARCH.value:
            search = self._new_search()
            search.load_state_dict(state["body"])
            self._search, self._training = search, None
        else:
            training = self._new_training(_policy(state["policy"]))
            training.load_state_dict(state["body"])
            self._search, self._training = None, training

    def _new_search(self) -> PolicySearch:
        policy = LearnedPolicy(self._operations, self._config.initial_range)
        updates = max(1, round(self._config.search_fraction * self._context.horizon))
        return PolicySearch(self._context, self._config, self._config, policy, updates)

    def _new_training(self, policy: Policy) -> FrozenPolicy:
        return FrozenPolicy(self._context, self._config, policy)

    def _policy(self) -> Policy:
        return self._trained().policy if self._search is None else self._search.policy()

    def _trained(self) -> FrozenPolicy:
        assert self._training is not None, "there is a training where there is no search"
        return self._training


def _policy(text: str) -> Policy:
    try:
        return Policy.model_validate_json(text)
    except ValueError as error:
        raise StateMismatchError(f"the saved policy must be valid, but: {error}") from error
