"""What a generator does: how far its draws are apart, what it reconstructs, whether it has collapsed.

All distances are mean absolute differences of images in [-1, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

from trainables.method import State

SHARE_OF_SPREAD = 0.2   # what the scale of the diversity is never below, as a share of the distance of two images
LEAST_DIVERSITY = 0.2   # a ratio below is a collapse
WORST_RECONSTRUCTION = 0.15
CHANCE, NEAR = 0.5, 0.02  # of the discriminator's loss: what a coin gets, and how near is as good as equal


@dataclass(frozen=True)
class Measures:
    """Of a trained generator, on images of its own pool.

    Args:
        diversity: E |G(x, s1) - G(x, s2)| of two independent draws s1, s2 for one image; of warps what they differ by
            beyond the resolution of their bins.
        swap: E |G(x, s(x)) - G(x, s(x'))| with the styles of two images; of warps that resolution, E |x1 - x2| of two
            draws that move nothing.
        spread: E |x - x'| of two images.
        reconstruction: E |G(x, s(x)) - x|.
        discriminator: E (D(x) - 1)^2 + E D(x_gen)^2 after training; 0.5 is chance. None where there is none.
    """

    diversity: float
    swap: float
    spread: float
    reconstruction: float
    discriminator: float | None

    @property
    def diversity_ratio(self) -> float:
        """See `diversity_ratio`."""
        return diversity_ratio(self.diversity, self.swap, self.spread)

    def state(self) -> State:
        """Plain values, with the ratio."""
        return {**asdict(self), "diversity_ratio": self.diversity_ratio}

    @classmethod
    def of(cls, state: State) -> Self:
        """The inverse of `state`."""
        return cls(**{name: state[name] for name in cls.__dataclass_fields__})

    def _little(self) -> str:
        """By how little, of what, and what was asked."""
        if self.discriminator is None:
            return (f"{self.diversity_ratio:.2f} times more than images that were not moved do, less than "
                    f"{LEAST_DIVERSITY}")
        fooled = abs(self.discriminator - CHANCE) <= NEAR
        also = f", and a discriminator loss of {self.discriminator:.3f} is chance" if fooled else ""
        return f"{self.diversity_ratio:.2f} of the data's own variation, less than {LEAST_DIVERSITY}{also}"

    def collapsed(self) -> str | None:
        """Why what was learned is not to be used, as a sentence; None where nothing speaks against it."""
        if self.diversity_ratio < LEAST_DIVERSITY:
            return f"the generator has collapsed to the identity: two draws for one image differ by {self._little()}"
        if self.reconstruction > WORST_RECONSTRUCTION:
            return (f"the generator does not keep its inputs: it reconstructs them to {self.reconstruction:.3f} of "
                    f"[-1, 1], worse than {WORST_RECONSTRUCTION}")
        return None


def told(measures: Measures | None) -> tuple[str, ...]:
    """A maker's warnings: why what was made is not to be used, before anything is trained with it."""
    said = None if measures is None else measures.collapsed()
    return () if said is None else (said,)


def diversity_ratio(diversity: float, swap: float, spread: float) -> float:
    """diversity / max(swap, SHARE_OF_SPREAD * spread); 0 where images do not differ at all.

    The second argument of the maximum is for a generator that ignores its style: both distances are then nearly zero,
    and their quotient is anything.
    """
    scale = max(swap, SHARE_OF_SPREAD * spread)
    return diversity / scale if scale > 0 else 0.0
