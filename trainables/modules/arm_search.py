"""A bilevel search by the score function: first derivatives only, nothing differentiated through images.

Axes: A arms, B images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from spaces.policies import Policy
from spaces.transforms import Operation
from trainables.method import Context, State
from trainables.modules.arms import ArmDraw, Arms
from trainables.modules.bilevel_search import BilevelSearch, Update
from trainables.modules.hypergradient import (
    DARTS_STEP,
    Estimate,
    Step,
    Weights,
    detached,
    inner_product,
    leaves_of,
)
from trainables.modules.policy_recipe import BilevelConfig
from trainables.problems.problem import Batch

PASSES = 2  # forward and backward for the step, and two forwards for the rewards: rounded up
_TINY = 1e-12


class ArmSearch(BilevelSearch):
    """Over `Arms`, in rounds that begin with the same pre-trained weights.

        descended: - E_b[z(<grad l_b(theta), v>) grad_w log pi(a_b)] + strength grad_w KL(pi || anchor)

    whose first part has the direction of d L_va(theta') / d w, with one arm a_b per image, v = grad L_va(theta') at the
    looked-ahead weights, and rewards <grad l_b, v> by a central difference: (l_b(theta + e v) - l_b(theta - e v)) / 2e.
    z takes z-scores over the batch, so that eta and the scale of v drop out; a reward has its own share in the mean, a
    bias of O(1/B) in length, none in sign.

    Until the first outer step the network is trained with all arms alike. Each round then begins with those weights (a
    cold start: weights that have seen a policy change what looks good next), and with the policy that it begins with as
    its anchor.

    Args:
        rounds: between the first outer step and the end.
        strength: of the divergence to the anchor, >= 0.
    """

    def __init__(
        self, context: Context, config: BilevelConfig, operations: tuple[Operation, ...], updates: int,
        rounds: int, strength: float,
    ) -> None:
        self.arms = Arms(operations)
        self._strength = strength
        super().__init__(context, config, config, self.arms, updates, PASSES)
        self._anchor = self.arms.logits.detach().clone()
        first = round(config.outer_warm_up * updates)
        # Where rounds begin; a search that is shorter than its rounds has fewer.
        self._starts = sorted({first + (updates - first) * k // rounds for k in range(rounds)})
        self._pretrained = self.trunk.weights_state()

    def update(self) -> Update:
        self._begin_round()
        return super().update()

    def _begin_round(self) -> None:
        """Where one begins now."""
        if self.trunk.cursor not in self._starts:
            return
        if self.trunk.cursor == self._starts[0]:
            self._pretrained = self.trunk.weights_state()
        else:
            self.trunk.load_weights(self._pretrained)
        self._anchor = self.arms.logits.detach().clone()

    def _more_state(self) -> State:
        # Nothing changes these tensors in place: the beginning of a round copies them.
        return {"anchor": self._anchor.clone(), "pretrained": dict(self._pretrained)}

    def _load_more(self, state: State) -> None:
        self._anchor, self._pretrained = state["anchor"].clone(), dict(state["pretrained"])

    def _inner_loss(self, weights: Weights, batch: Batch) -> Tensor:
        return self._losses(weights, *self._augmented(batch)).mean()

    def _estimated(self, batch: Batch, held_out: Batch) -> Estimate:
        draw = self.arms.draw(len(batch.x), self._noise)
        x = self.arms.augment(batch.x, draw, self._noise)
        leaves = leaves_of(tuple(self.trunk.network.parameters()))
        loss = self._losses(leaves, x, batch.y).mean()
        gradients = torch.autograd.grad(loss, leaves)
        ahead = Step(self.trunk.learning_rate, self._recipe.weight_decay).ahead(leaves, gradients)
        outer_loss = self._outer_loss(ahead, held_out)
        v = torch.autograd.grad(outer_loss, ahead)
        rewards = self._rewards(detached(leaves), v, x, batch.y)
        return Estimate((self._hyper(draw, rewards),), gradients, loss.detach(), outer_loss.detach())

    def _rewards(self, theta: Weights, v: Weights, x: Tensor, y: Tensor) -> Tensor:
        """<grad l_b(theta), v> (B,), by two forward passes."""
        epsilon = DARTS_STEP / inner_product(v, v).sqrt().clamp(min=_TINY)
        with torch.no_grad():
            up, down = (
                self._losses(tuple(w + sign * epsilon * part for w, part in zip(theta, v, strict=True)), x, y)
                for sign in (1, -1)
            )
        return (up - down) / (2 * epsilon)

    def _hyper(self, draw: ArmDraw, rewards: Tensor) -> Tensor:
        """To be descended: what makes rewarded arms rarer is its opposite."""
        advantage = (rewards - rewards.mean()) / rewards.std(correction=0).clamp(min=_TINY)
        log_pi = self.arms.logits.log_softmax(0)
        chosen = log_pi[draw.arm.to(log_pi.device)]
        divergence = kl_div(self._anchor.log_softmax(0), log_pi, log_target=True, reduction="sum")
        objective = -(advantage * chosen).mean() + self._strength * divergence
        (found,) = torch.autograd.grad(objective, [self.arms.logits])
        return found

    def _augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        draw = self.arms.draw(len(batch.x), self._noise)
        return self.arms.augment(batch.x, draw, self._noise), batch.y

    def _losses(self, weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        return self._rule.loss(self._network(weights, x), y, self.trunk.progress)

    def _policy_of(self, phi: tuple[Tensor, ...]) -> Policy:
        return self.arms.policy(phi[0])
