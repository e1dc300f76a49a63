"""A search that makes augmented images look like reference images, judged by a critic; not bilevel."""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.policies import Policy
from spaces.transforms import Operation
from tracking.cost import Phase
from trainables.method import Context, Role, State, drawn, stable_seed
from trainables.modules.adam import Adam
from trainables.modules.bilevel_search import SEARCH_STREAM, Update, repeatable
from trainables.modules.critic import FEATURES, Critic, gradient_penalty
from trainables.modules.density_recipe import DensityConfig
from trainables.modules.imbalance import ImbalanceRule
from trainables.modules.learned_policy import LearnedPolicy, Mixing, fixed_policy
from trainables.modules.state import generators_state, load_generators, module_state, require_cursor, require_like
from trainables.modules.tail_average import TailAverage
from trainables.modules.trunk import PREDICT_CHUNK
from trainables.problems.problem import Batch, Split

BETAS = (0.0, 0.999)  # published
PASSES = 5  # critic on made and on reference images, 2 for the penalty's second derivatives, and the policy's own


class DensityMatching:
    """Per update one step of the critic and one of the policy, on a batch a of `train` and a batch n of the reference.

        critic: min  E D(T(a)) - E D(n) + penalty GP + weight CE(n)
        policy: min  - E D(T(a)) + weight CE(T(a))

    Under a rule for imbalanced classes both batches are drawn and their cross-entropies weighted by it; margins and the
    focal factor are for the training after the search, whose network has the head that they need.

    Choices are drawn and weighted as in `LearnedPolicy.loss`; published: a soft blend of all operations, which trains
    the critic on images that no policy makes.

    Args:
        operations: the K operations.
        updates: length of the search.

    Raises:
        UserError: the network has BatchNorm or Dropout, with which the penalty would not be per image.
    """

    def __init__(
        self, context: Context, config: DensityConfig, operations: tuple[Operation, ...], updates: int
    ) -> None:
        self._context, self._config, self._updates, self._cursor = context, config, updates, 0
        problem = context.problem

        def new_critic() -> Critic:
            trunk = context.network(problem.shape, problem.outputs + FEATURES)
            return Critic(repeatable(trunk), problem.outputs)

        made = drawn(new_critic, stable_seed(context.seed, Role.INIT, SEARCH_STREAM)).to(context.device)
        assert isinstance(made, Critic)
        self._critic = made
        self._rule = ImbalanceRule(context, config.imbalance)
        self._learned = LearnedPolicy(operations, config.initial_range).to(context.device)
        self._phi = tuple(self._learned.parameters())
        self._weights = tuple(self._critic.parameters())
        self._critic_adam = Adam(dict.fromkeys(self._critic.parameters(), config.critic_learning_rate), BETAS)
        self._policy_adam = Adam(dict.fromkeys(self._learned.parameters(), config.policy_learning_rate), BETAS)
        roles = ((Role.ORDER, SEARCH_STREAM), (Role.SEARCH, 0), (Role.AUGMENT, SEARCH_STREAM))
        self._order, self._outer, self._noise = self._generators = [context.generator(*role) for role in roles]
        self._tail = TailAverage(self._phi)

    @property
    def left(self) -> int:
        """Updates until the end."""
        return self._updates - self._cursor

    @property
    def _progress(self) -> float:
        """Share of the search that is over."""
        return self._cursor / self._updates

    def update(self) -> Update:
        """The critic's loss stands for the inner one; there is no outer step."""
        size, config = self._config.batch_size, self._config
        some = self._draw(self._order, size, *config.reference.augmented)
        reference = self._draw(self._outer, size, *config.reference.splits)
        with self._context.meter.unit("match", some.x.shape, phase=Phase.SEARCH, examples=PASSES * size):
            loss = self._critic_step(some, reference)
            self._policy_step(some)
        self._cursor += 1
        if self._cursor > self._updates * (1 - config.tail):
            self._tail.add()
        return Update(loss, None)

    def policy(self) -> Policy:
        """From the parameters averaged over the tail; before it, the last."""
        choice, ranges = self._tail.values()
        return fixed_policy(self._learned.operations, choice, ranges)

    def predict(self, x: Tensor) -> Tensor:
        """The classifier on the critic's trunk, in evaluation mode; changes nothing."""
        training = self._critic.training
        self._critic.eval()
        try:
            with torch.no_grad():
                return torch.cat([self._critic(chunk)[0] for chunk in torch.split(x, PREDICT_CHUNK)])
        finally:
            self._critic.train(training)

    def state_dict(self) -> State:
        return {
            "critic": module_state(self._critic), "policy": module_state(self._learned), "cursor": self._cursor,
            "critic_adam": self._critic_adam.state_dict(), "policy_adam": self._policy_adam.state_dict(),
            "tail": self._tail.state_dict(), "generators": generators_state(self._generators),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._updates)
        self._critic.load_state_dict(state["critic"])
        self._learned.load_state_dict(state["policy"])
        self._critic_adam.load_state_dict(state["critic_adam"])
        self._policy_adam.load_state_dict(state["policy_adam"])
        self._tail.load_state_dict(state["tail"])
        load_generators(self._generators, state["generators"])
        self._cursor = state["cursor"]

    def _critic_step(self, some: Batch, reference: Batch) -> Tensor:
        config = self._config
        with torch.no_grad():
            made = self._learned.augment(some.x, self._learned.draw(len(some.x), self._noise), self._noise)
        logits, real = self._critic(reference.x)
        loss = (
            self._critic(made)[1].mean() - real.mean()
            + config.penalty * gradient_penalty(self._critic, reference.x, made, self._noise)
            + config.classification * self._rule.risk(logits, reference.y, self._progress).mean()
        )
        self._critic_adam.update(torch.autograd.grad(loss, self._weights))
        found: Tensor = loss.detach()
        return found

    def _policy_step(self, some: Batch) -> None:
        def loss_of(x: Tensor) -> Tensor:
            logits, value = self._critic(x)
            y = some.y.repeat(len(x) // len(some.y), *[1] * (some.y.dim() - 1))
            per_image: Tensor = self._config.classification * self._rule.risk(logits, y, self._progress) - value
            return per_image

        loss = self._learned.loss(loss_of, some.x, Mixing.SAMPLED, self._noise)
        self._policy_adam.update(torch.autograd.grad(loss, self._phi))

    def _draw(self, generator: torch.Generator, size: int, *splits: Split) -> Batch:
        return self._rule.batch(generator, size, self._progress, *splits)
