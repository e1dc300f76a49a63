"""Bilevel policy search by implicit gradients (the class of MADAO; Lorraine, Vicol, Duvenaud 2020).

    dL_va / dphi = - v^T (H + wd I)^-1 d^2 L_tr / dtheta dphi

at the current theta, which stands for the inner optimum. Searched like `unrolled`, then trained from scratch;
published, the network of the search is the result.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from spaces.domain import Float, Space
from trainables.idle_fields import refuse_idle
from trainables.method import Context, Method
from trainables.modules.implicit_gradient import Implicit, Solver
from trainables.modules.policy_method import by_gradient
from trainables.modules.policy_recipe import GradientConfig


class Config(GradientConfig):
    """What policy searches share, with an outer step at every fifth update, and the inverse Hessian.

    Args:
        solver: of the linear system.
        products: with the Hessian, per outer step; published: 5.
        alpha: of Neumann's series, which must be below 2 / lambda_max; terms that grow are left out, and a warning
            tells the alpha to try. SGD itself keeps lambda_max near 2 / learning rate, so about the learning rate is
            safe. Published 1e-3, which makes the whole series alpha (K + 1) v: one step at the same theta. Conjugate
            gradient has none, and then nothing is tuned here.
        damping: added to the weight decay on the Hessian's diagonal.
    """

    space: ClassVar[Space] = Space({**GradientConfig.space.root, "alpha": Float(low=0.02, high=0.2, log=True)})

    outer_interval: int = Field(default=5, ge=1)
    solver: Solver = Solver.NEUMANN
    products: int = Field(default=5, ge=1)
    alpha: float = Field(default=0.1, gt=0)
    damping: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _alpha_is_read(self) -> Self:
        if self.solver is not Solver.NEUMANN:
            refuse_idle(self, ("alpha",), "Neumann's series", "set `solver: neumann`, or leave it out")
        return self

    def idle(self) -> frozenset[str]:
        return super().idle() | (frozenset() if self.solver is Solver.NEUMANN else {"alpha"})

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or no operation fits them."""
        return by_gradient("implicit", context, self, Implicit(self.solver, self.products, self.alpha, self.damping))
