"""AugNet's augmentation layer (Rommel, Moreau, Gramfort, 2022): learned ranges, learned choice, one warp.

Axes: Q operations, B images, then (C, H, W).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import AffineParameters, Operation, affine_matrix, warp

# Operation -> physical maximum at range 1, as published (180 degrees: the paper's study of rotations).
LIMITS: dict[Operation, float] = {
    Operation.TRANSLATE_X: 0.45,
    Operation.TRANSLATE_Y: 0.45,
    Operation.ROTATION: 180.0,
    Operation.SHEAR_X: 0.3,
    Operation.SHEAR_Y: 0.3,
}


class AugmentationLayer(nn.Module):
    """Q affine operations with ranges mu_k in (0, 1) and weights w = softmax(a / T).

    Operation k moves image b by v = u_kb mu_k s_k, u ~ U(-1, 1), s_k its physical maximum (reparametrised, so
    dL/dmu_k flows through the warp). `augment` gives the training output sum_k w_k op_k(x); use of the layer
    draws one operation per image instead (`policy`).

    Deviations from the paper: mu = sigmoid(phi) instead of clamp(phi, 0, 1), whose gradient is zero beyond
    the bounds, and since torch 2.15 at the bounds too; shears are about the image's centre; one operation is
    drawn per image, not per batch.

    Args:
        temperature: T > 0. At the published 0.01 a difference of 0.05 in the logits is a weight of 0.99.
        initial_range: mu at the start, in (0, 1).
    """

    def __init__(self, temperature: float = 0.01, initial_range: float = 0.125) -> None:
        super().__init__()
        self.operations = tuple(LIMITS)
        self.temperature = temperature
        start = math.log(initial_range / (1 - initial_range))
        self.range_logits = nn.Parameter(torch.full((len(LIMITS),), start))
        self.choice_logits = nn.Parameter(torch.ones(len(LIMITS)))
        self.register_buffer("limits", torch.tensor(list(LIMITS.values())), persistent=False)

    limits: Tensor

    @property
    def ranges(self) -> Tensor:
        """mu (Q,), in (0, 1)."""
        return self.range_logits.sigmoid()

    @property
    def weights(self) -> Tensor:
        """w (Q,), sums to 1."""
        return (self.choice_logits / self.temperature).softmax(0)

    def sample(self, size: int, generator: Generator) -> Tensor:
        """Noise u (Q, B), uniform in [-1, 1): all randomness of one `augment`."""
        noise = torch.rand(len(self.operations), size, generator=generator, device=generator.device) * 2 - 1
        return noise.to(self.range_logits.device)

    def augment(self, x: Tensor, noise: Tensor) -> Tensor:
        """sum_k w_k op_k(x; u_k mu_k s_k): (B, C, H, W), (Q, B) -> (B, C, H, W). Pure; one warp of Q B."""
        count = len(noise)
        matrix = affine_matrix(self._affine(noise), x.shape[-2], x.shape[-1])
        copies = x.expand(count, *x.shape).flatten(0, 1)
        warped = warp(copies, matrix).reshape(count, -1)
        mixed: Tensor = torch.mv(warped.T, self.weights).reshape(x.shape)
        return mixed

    def reward(self) -> Tensor:
        """|| mu * w ||_2, 0-d; to be made large."""
        return (self.ranges * self.weights).square().sum().sqrt()

    def penalty(self) -> Tensor:
        """(|| mu ||^2 + || a ||^2) / 2, 0-d: the published coupled weight decay as a term of the loss.

        On the effective range mu. Decay of phi itself would pull mu to 1/2, not to 0. It matters: without it
        the choice locks onto whatever operation does no harm.
        """
        return 0.5 * (self.ranges.square().sum() + self.choice_logits.square().sum())

    def policy(self) -> Policy:
        """What was learned as a fixed policy: one operation per image by w, strength U(-mu s, mu s)."""
        rows = zip(self.operations, self.weights.tolist(), self.ranges.tolist(), strict=True)
        return Policy(entries=tuple(
            PolicyEntry(operation=operation, weight=weight, magnitude=magnitude, limit=LIMITS[operation])
            for operation, weight, magnitude in rows
        ))

    def _affine(self, noise: Tensor) -> AffineParameters:
        """Row k of the (Q, B) strengths goes to parameter k alone; the others are zero there."""
        strength = noise * (self.ranges * self.limits)[:, None]
        own = torch.diag_embed(strength.transpose(0, 1))  # (B, Q, Q): [b, k, j] = strength of k where j = k
        by_parameter = own.permute(2, 1, 0).flatten(1)    # (Q, Q B)
        return AffineParameters(**dict(zip(_PARAMETERS, by_parameter.unbind(0), strict=True)))


def describe(policy: Policy) -> dict[str, float]:
    """Half-widths with units, and weights, of a policy over this layer's operations."""
    found: dict[str, float] = {}
    for entry in policy.entries:
        unit = "deg" if entry.operation is Operation.ROTATION else "fraction"
        found[f"{entry.operation}/width_{unit}"] = entry.magnitude * LIMITS[entry.operation]
        found[f"{entry.operation}/weight"] = entry.weight
    return found


_PARAMETERS = ("translate_x", "translate_y", "rotation_deg", "shear_x", "shear_y")  # in the order of LIMITS
