"""Bilevel policy search by one unrolled step (the class of DADA, ADDA and DABO).

    min_phi L_va(theta - eta grad L_tr(theta, phi)),  L_tr on `train` through the policy phi, L_va on `outer`
    as it is

then phi is frozen, theta thrown away, and a new network is trained from scratch on train + outer.
"""

from __future__ import annotations

from trainables.method import Context, Method
from trainables.modules.hypergradient import Derivative, OneStep
from trainables.modules.policy_method import by_gradient
from trainables.modules.policy_recipe import GradientConfig


class Config(GradientConfig):
    """What policy searches share, and the step.

    Args:
        derivative: how the mixed derivative is taken: by exact double backward, or by the central difference of DARTS.
    """

    derivative: Derivative = Derivative.EXACT

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or no operation fits them."""
        return by_gradient("unrolled", context, self, OneStep(self.derivative))
