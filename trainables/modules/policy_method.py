"""A gradient-based policy search and the training that follows it, as one method."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Generator, Tensor

from spaces.policies import Policy
from spaces.transforms import Operation
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.method import Context, Method, Slice, State, StateMismatchError
from trainables.modules.frozen import FrozenPolicy
from trainables.modules.hypergradient import Estimator
from trainables.modules.images import fitting, require_image
from trainables.modules.learned_policy import LearnedPolicy
from trainables.modules.policy_recipe import PolicyConfig
from trainables.modules.policy_search import PolicySearch, Update
from trainables.modules.state import require_like
from trainables.modules.supervised import mean_metrics
from trainables.problems.problem import Batch


def policy_method(name: str, context: Context, config: PolicyConfig, estimator: Estimator) -> Method:
    """What a configuration stands for: search and training, or the training alone where it holds a policy.

    Raises:
        UserError: the inputs are not images, or no operation fits them.
    """
    channels = require_image(name, context.problem.shape)[0]
    if config.policy is not None:
        return FrozenPolicy(context, config, config.policy)
    operations = fitting(config.operations, channels)
    if not operations:
        got = f"{', '.join(config.operations)} for {channels} channels"
        raise UserError("at least one operation must fit the images", got)
    return PolicyMethod(context, config, operations, estimator)


class PolicyMethod:
    """Phase `search`, not ready to be judged; then phase `train`, which is `FrozenPolicy`.

    What is trained after the search has the seeds of any other method's training: same weights, same batches.

    Args:
        operations: those of the configuration that fit the images.
        estimator: of the hypergradient.
    """

    def __init__(
        self, context: Context, config: PolicyConfig, operations: tuple[Operation, ...], estimator: Estimator
    ) -> None:
        self._context, self._config, self._operations, self._estimator = context, config, operations, estimator
        self._search: PolicySearch | None = self._new_search()
        self._training: FrozenPolicy | None = None

    def step(self) -> Slice:
        """Raises UserError where the estimator's series diverges."""
        if self._search is None:
            return self._trained().step()
        search = self._search
        updates = min(self._context.slice_updates, search.trunk.horizon - search.trunk.cursor)
        metrics = _metrics([search.update() for _ in range(updates)])
        if "search/series_residual" in metrics:
            self._estimator.check(metrics["search/series_residual"], metrics["search/series_growth"])
        if search.finished:
            self._training, self._search = self._new_training(search.policy()), None
        return Slice(metrics, Phase.SEARCH, ready=False, done=False)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self._trained().predict(x) if self._search is None else self._search.trunk.predict(x)

    def describe(self) -> Mapping[str, float]:
        return self._policy().physical()

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._policy().draw(x, generator)

    def found(self) -> PolicyConfig:
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
        return PolicySearch(self._context, self._config, self._config, policy, updates, self._estimator)

    def _new_training(self, policy: Policy) -> FrozenPolicy:
        return FrozenPolicy(self._context, self._config, policy)

    def _policy(self) -> Policy:
        return self._trained().policy if self._search is None else self._search.policy()

    def _trained(self) -> FrozenPolicy:
        assert self._training is not None, "there is a training where there is no search"
        return self._training


def _metrics(updates: list[Update]) -> dict[str, float]:
    """Means over a slice."""
    outer = [update.outer for update in updates if update.outer is not None]
    series = [estimate.series for estimate in outer if estimate.series is not None]
    return mean_metrics({
        "search/inner_loss": [update.inner_loss for update in updates],
        "search/outer_loss": [estimate.outer_loss for estimate in outer],
        "search/series_residual": [both[0] for both in series],
        "search/series_growth": [both[1] for both in series],
    })


def _policy(text: str) -> Policy:
    try:
        return Policy.model_validate_json(text)
    except ValueError as error:
        raise StateMismatchError(f"the saved policy must be valid, but: {error}") from error
