"""What a generator does: how far its draws are apart, what it reconstructs or knows, whether it has collapsed.

All distances are mean absolute differences of images in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Self

from trainables.method import State

SHARE_OF_SPREAD = 0.2   # what the scale of the diversity is never below, as a share of the distance of two images
LEAST_DIVERSITY = 0.2   # a ratio below is a collapse
MOST_DIVERSITY = 2.0    # beyond, draws differ by more than images of the data do; sound ones were at 1.08 and 1.14
WORST_RECONSTRUCTION = 0.15
# Of log N: an untrained network is within .01 of 0. Where every warp varies by the widest range that can be found, the
# true distribution still has .18, at 73 bins: 0 of a turn, and of the others the .94 nats by which the sum of one
# uniform variable and another, twice as wide, says more than the first alone.
LEAST_INFORMED = 0.1
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
        discriminator: E (D(x) - 1)^2 + E D(x_gen)^2 after training; 0.5 is chance. None where there is none: of warps.
        informed: of warps, 1 - CE / log N of the strengths by which images were moved anew, mean over the warps: 1
            knows each one's bin, 0 nothing. A network that knows nothing draws widest, so diversity does not tell.
            None of others, and of what was made before it was measured.
    """

    diversity: float
    swap: float
    spread: float
    reconstruction: float
    discriminator: float | None
    informed: float | None = None

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
        return cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})

    def _little(self) -> str:
        """By how little, of what, and what was asked."""
        if self.discriminator is None:
            return (f"{self.diversity_ratio:.2f} times more than images that were not moved do, less than "
                    f"{LEAST_DIVERSITY}")
        fooled = abs(self.discriminator - CHANCE) <= NEAR
        also = f", and a discriminator loss of {self.discriminator:.3f} is chance" if fooled else ""
        return f"{self.diversity_ratio:.2f} of the data's own variation, less than {LEAST_DIVERSITY}{also}"

    def _finite(self) -> bool:
        return all(math.isfinite(value) for value in asdict(self).values() if value is not None)

    def collapsed(self) -> str | None:
        """Why what was learned is not to be used, as a sentence; None where nothing speaks against it."""
        if not self._finite():
            return "the generator has diverged: what was measured of it are not all numbers"
        if self.diversity_ratio < LEAST_DIVERSITY:
            return f"the generator has collapsed to the identity: two draws for one image differ by {self._little()}"
        if self.informed is not None and self.informed < LEAST_INFORMED:
            return ("the generator has learned nothing to speak of: of how images were moved it knows "
                    f"{max(self.informed, 0.0):.2f} of all there is to know, less than {LEAST_INFORMED}")
        # Of warps the scale is what resampling does, and whole turns are far beyond it: sound ones reach 2.8.
        if self.discriminator is not None and self.diversity_ratio > MOST_DIVERSITY:
            return (f"the generator invents: two draws for one image differ by {self.diversity_ratio:.2f} of the "
                    f"data's own variation, more than {MOST_DIVERSITY}")
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
