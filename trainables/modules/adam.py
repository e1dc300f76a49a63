"""Adam for the few parameters of an augmentation, with a state of one layout from the start."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainables.method import State
from trainables.modules.state import load_optimiser, optimiser_state


class Adam:
    """Adam (Kingma and Ba, 2015) with one learning rate per parameter and no weight decay.

    Args:
        rates: parameter -> learning rate; the order is that of `update`'s gradients.
        betas: of the running moments.
    """

    def __init__(
        self, rates: Mapping[nn.Parameter, float], betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        groups = [{"params": [parameter], "lr": rate} for parameter, rate in rates.items()]
        self._parameters, self._rates = tuple(rates), tuple(rates.values())
        on_gpu = any(parameter.is_cuda for parameter in self._parameters)
        # On a GPU the count of steps lives there too, so that `begun` needs no wait for it.
        self._optimiser = torch.optim.Adam(groups, betas=betas, foreach=True, capturable=on_gpu)
        for parameter in self._parameters:  # what the first step would make
            self._optimiser.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def update(
        self, gradients: tuple[Tensor, ...], scale: float = 1.0, begun: Tensor | None = None
    ) -> None:
        """One step of descent at `scale` times the learning rates; changes the parameters in place.

        Args:
            begun: 0-d; 0 until the first step is to be taken, and 1 from then on. Until then parameters, moments and
                the count of steps stay as they were made: a count that ran on would leave the first steps' second
                moments uncorrected, and make them several times too long.
        """
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = scale * rate
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient.detach() if begun is None else gradient.detach() * begun
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        if begun is not None:
            for parameter in self._parameters:
                self._optimiser.state[parameter]["step"].mul_(begun)

    def state_dict(self) -> State:
        return {"moments": optimiser_state(self._optimiser)}

    def load_state_dict(self, state: State) -> None:
        load_optimiser(self._optimiser, state["moments"])
