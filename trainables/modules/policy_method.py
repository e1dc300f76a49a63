"""A policy search and the training that follows it, as one method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from spaces.policies import Policy
from spaces.transforms import Operation
from tracking.cost import Phase
from trainables.method import Context, Method, Slice, State, StateMismatchError
from trainables.modules.bilevel_search import Update
from trainables.modules.frozen import FrozenPolicy, shown_images
from trainables.modules.hypergradient import Estimator, SeriesMeans
from trainables.modules.policy_recipe import GradientConfig, SearchConfig
from trainables.modules.policy_search import PolicySearch
from trainables.modules.policy_takeaway import export
from trainables.modules.state import require_like
from trainables.modules.supervised import mean_metrics
from trainables.problems.problem import Batch

SERIES = ("search/series_diverged", "search/series_bent", "search/series_curvature")


class Searching(Protocol):
    """What searches: `BilevelSearch`, or anything that behaves like it."""

    @property
    def left(self) -> int: ...  # updates
    def update(self) -> Update: ...
    def predict(self, x: Tensor) -> Tensor: ...
    def policy(self) -> Policy: ...
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...


Start = Callable[[tuple[Operation, ...], int], Searching]  # operations and updates -> a search at its beginning
Said = Callable[[SeriesMeans], str | None]  # as `Estimator.warning`


def policy_method(
    name: str, context: Context, config: SearchConfig, start: Start, warning: Said = lambda series: None
) -> Method:
    """What a configuration stands for: search and training, or the training alone where it holds a policy.

    Raises:
        UserError: the inputs are not images, or an operation does not fit them.
    """
    if config.policy is not None:
        config.fitting(name, context)
        return FrozenPolicy(context, config, config.policy)
    operations = config.fitting(name, context)
    updates = config.search_updates(context.horizon)
    return PolicyMethod(context, config, lambda: start(operations, updates), warning)


def by_gradient(name: str, context: Context, config: GradientConfig, estimator: Estimator) -> Method:
    """The same for a differentiable policy."""

    def start(operations: tuple[Operation, ...], updates: int) -> PolicySearch:
        return PolicySearch(context, config, operations, updates, estimator)

    return policy_method(name, context, config, start, estimator.warning)


class PolicyMethod:
    """Phase `search`, not ready to be judged; then phase `train`, which is `FrozenPolicy`.

    What is trained after the search has the seeds of any other method's training: same weights, same batches.

    Args:
        start: makes the search.
        warning: says what a person should know of the estimator's series.
    """

    def __init__(
        self, context: Context, config: SearchConfig, start: Callable[[], Searching], warning: Said
    ) -> None:
        self._context, self._config, self._start, self._warning = context, config, start, warning
        self._search: Searching | None = start()
        self._training: FrozenPolicy | None = None
        self._outer_steps, self._series = 0, SeriesMeans(0.0, 0.0, 0.0)

    def step(self) -> Slice:
        if self._search is None:
            return self._trained().step()
        search = self._search
        done = [search.update() for _ in range(min(self._context.slice_updates, search.left))]
        metrics = _metrics(done)
        self._remember(sum(update.outer is not None for update in done), metrics)
        if search.left == 0:
            self._training, self._search = self._new_training(search.policy()), None
        return Slice(metrics, Phase.SEARCH, ready=False, done=False)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self._trained().predict(x) if self._search is None else self._search.predict(x)

    def deployed(self) -> nn.Module:
        """Raises AssertionError before the search has ended: its own network is thrown away."""
        return self._trained().deployed()

    def describe(self) -> Mapping[str, float]:
        return self._policy().physical()

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._policy().draw(x, generator)

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `policy_takeaway`."""
        return export(self._policy(), shown_images(self._context), folder)

    def found(self) -> SearchConfig:
        return self._config.model_copy(update={"policy": self._policy()})

    def warnings(self) -> Sequence[str]:
        """What the configuration says of a search so long, and the estimator of its series in the whole search."""
        said = self._warning(self._series)
        return (*self._config.cautions(self._context.horizon), *(() if said is None else (said,)))

    def state_dict(self) -> State:
        series = {"outer_steps": self._outer_steps, "series": list(self._series)}
        if self._search is not None:
            return {"phase": Phase.SEARCH.value, "policy": "", "body": self._search.state_dict(), **series}
        return {
            "phase": Phase.TRAIN.value,
            "policy": self._policy().model_dump_json(),
            "body": self._trained().state_dict(),
            **series,
        }

    def load_state_dict(self, state: State) -> None:
        """A new body is filled first and taken over last: a state that does not fit changes nothing."""
        head = {**state, "body": {}} if "body" in state else state  # the body is checked by its owner
        require_like({**self.state_dict(), "phase": "", "policy": "", "body": {}}, head)
        if state["phase"] not in (Phase.SEARCH.value, Phase.TRAIN.value):
            raise StateMismatchError(f"the saved phase must be `search` or `train`, got {state['phase']!r}")
        if state["phase"] == Phase.SEARCH.value:
            search = self._start()
            search.load_state_dict(state["body"])
            self._search, self._training = search, None
        else:
            training = self._new_training(_policy(state["policy"]))
            training.load_state_dict(state["body"])
            self._search, self._training = None, training
        self._outer_steps, self._series = state["outer_steps"], SeriesMeans(*state["series"])

    def _remember(self, outer_steps: int, metrics: Mapping[str, float]) -> None:
        """Means over the whole search, by slices."""
        if SERIES[0] not in metrics:
            return
        before, now = self._series, SeriesMeans(*(metrics[name] for name in SERIES))
        share = outer_steps / (self._outer_steps + outer_steps)
        self._outer_steps += outer_steps
        self._series = SeriesMeans(
            before.diverged + share * (now.diverged - before.diverged), before.bent + share * (now.bent - before.bent),
            max(before.curvature, now.curvature),
        )

    def _new_training(self, policy: Policy) -> FrozenPolicy:
        return FrozenPolicy(self._context, self._config, policy)

    def _policy(self) -> Policy:
        return self._trained().policy if self._search is None else self._search.policy()

    def _trained(self) -> FrozenPolicy:
        assert self._training is not None, "there is a training where there is no search"
        return self._training


def _metrics(updates: list[Update]) -> dict[str, float]:
    """Means over a slice, of curvature the largest."""
    outer = [update.outer for update in updates if update.outer is not None]
    series = [estimate.series for estimate in outer if estimate.series is not None]
    found = {
        "search/inner_loss": [update.inner_loss for update in updates],
        "search/outer_loss": [estimate.outer_loss for estimate in outer],
    }
    if series:
        diverged, bent, curvature = torch.stack(series).unbind(1)
        found |= {SERIES[0]: list(diverged), SERIES[1]: list(bent), SERIES[2]: [curvature.amax()]}
    return mean_metrics(found)


def _policy(text: str) -> Policy:
    try:
        return Policy.model_validate_json(text)
    except ValueError as error:
        raise StateMismatchError(f"the saved policy must be valid, but: {error}") from error
