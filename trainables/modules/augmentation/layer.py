"""What every learned augmentation layer is: noise is drawn first, then a pure function of input, noise and ranges.

Axes: B inputs (B, *shape), Q operations, E noise numbers per input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from tracking.errors import UserError


@dataclass(frozen=True, slots=True)
class LearnedRange:
    """What was learned about one operation.

    Args:
        name: of the operation.
        unit: of the bounds; empty for a probability.
        low, high: strengths are uniform between them; both the probability where there is no strength.
        cap: the largest |bound| that could be learned.
        weight: with which the operation is chosen; 1 where all act together.
    """

    name: str
    unit: str
    low: float
    high: float
    cap: float
    weight: float = 1.0

    @property
    def at_cap(self) -> bool:
        """Whether it would probably be wider if it could: beyond 95 % of the cap."""
        return max(abs(self.low), abs(self.high)) > 0.95 * self.cap


class AugmentationLayer(nn.Module):
    """Base of all layers: `sample` draws, `augment` applies; `forward` is `augment`.

    `augment` reads no random number, synchronises nothing and changes nothing in place, so it may be compiled as one
    graph, mapped over candidate ranges with `torch.func`, and called twice with the same noise. A `state_dict` says
    which layer it is of, so that no other takes it, and `saved.restored` makes the layer from it.
    """

    @property
    def by_input(self) -> bool:
        """Whether ranges depend on the input; `shares` carry no gradient then."""
        parts = (part for part in self.modules() if part is not self and isinstance(part, AugmentationLayer))
        return any(part.by_input for part in parts)

    def noise_size(self) -> int:
        """E: numbers that one input takes."""
        raise NotImplementedError

    @property
    def shares(self) -> Tensor:
        """(Q,) ranges in units of their caps: what a reward makes large."""
        raise NotImplementedError

    @property
    def gates(self) -> Tensor:
        """(Q,) weights of the operations; ones where all act together."""
        return torch.ones_like(self.shares)

    def learned(self) -> tuple[LearnedRange, ...]:
        """The Q operations with what was learned; reads the parameters, so not for a hot loop."""
        raise NotImplementedError

    def configuration(self) -> dict[str, Any]:
        """What makes this layer the one it is, beside the numbers in its state and the layers in it; JSON values."""
        return {"layer": type(self).__name__}

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Raises UserError where inputs (*shape) cannot be augmented; called by `augment`."""
        if not dtype.is_floating_point:
            raise UserError("a learned augmentation needs floating-point inputs", dtype,
                            "divide 8-bit images by 255 first")

    def require(self, x: Tensor, noise: Tensor) -> None:
        """Raises UserError where x cannot be augmented, or noise is not one row of E numbers for each input."""
        self.check(tuple(x.shape[1:]), x.dtype)
        expected = (len(x), self.noise_size())
        if tuple(noise.shape) != expected:
            raise UserError(f"noise for these inputs is {expected}", tuple(noise.shape), "draw it with `sample`")

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        """(B, *shape), (B, E) -> (B, *shape).

        Args:
            noise: from `sample`, or any numbers in [0, 1).
            active: (B, Q) factors in [0, 1] on the strengths; None means one everywhere.

        Raises:
            UserError: inputs that the layer is not made for.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.augment(x, noise)

    def sample(self, size: int, generator: Generator) -> Tensor:
        """Noise (B, E), uniform in [0, 1), on the parameters' device: all randomness of one `augment`."""
        noise = torch.rand(size, self.noise_size(), generator=generator, device=generator.device)
        return noise.to(self.shares.device)

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """`augment` in evaluation mode, with fresh noise and without gradients: the distribution as it is used."""
        with torch.no_grad(), evaluating(self):
            return self.augment(x, self.sample(len(x), generator))

    def get_extra_state(self) -> Tensor:
        """`configuration`, as bytes: a tensor, since that is what states are made of elsewhere."""
        return torch.frombuffer(bytearray(json.dumps(self.configuration(), sort_keys=True).encode()), dtype=torch.uint8)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """All parts are asked before the first number is taken."""
        for name, part in self.named_modules():
            key = f"{prefix}{name}{'.' if name else ''}_extra_state"
            if isinstance(part, AugmentationLayer) and key in state_dict:
                part.set_extra_state(state_dict[key])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def set_extra_state(self, state: Tensor) -> None:
        """Raises UserError where the state is another layer's: its numbers would mean something else here."""
        told, own = configuration_of(state), self.configuration()
        if told != own:
            names = [name for name in sorted({*told, *own}) if told.get(name) != own.get(name)]
            raise UserError("a layer takes the state of an equal one only",
                            "; ".join(f"{name} {told.get(name)} for {own.get(name)}" for name in names),
                            "make the layer from the state: trainables.modules.augmentation.restored")


def configuration_of(state: Tensor) -> dict[str, Any]:
    """What `get_extra_state` was made of."""
    whole = state.round() if state.is_floating_point() else state  # of an average of states, or one that was cast
    found: dict[str, Any] = json.loads(bytes(whole.to(torch.uint8).tolist()))
    return found


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every part is in the mode in which it was, also where something failed."""
    before = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in before.items():
            part.training = training
