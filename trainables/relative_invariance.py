"""AugNet's invariance metric (Rommel, Moreau, Gramfort 2022, appendix), with the faults of its pairing removed.

Axes: N examples, O outputs, D draws of the transformation.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import cosine_similarity

from tracking.errors import UserError

SAME = 1e-6  # distance of directions below which float32 tells none


def relative_invariance(
    plain: Tensor, moved: Tensor, labels: Tensor, generator: Generator, eps: float = 1e-8
) -> float:
    """median_i (d(z_i, z_p(i)) - d(z_i, z_i^t)) / (d(z_i, z_p(i)) + eps), d = 1 - cosine, p(i) another class's example.

    1 for outputs that do not see the transformation, 0 for those that it moves as far as another example is away, and
    unbounded below: so the median, not the mean. Not a number where no two classes have outputs of different
    directions, as of a collapsed network: nothing is away there.

    Deviations from the published code: p(i) is never i itself nor of the same class, for which the denominator is about
    zero; outputs of one kind are compared (there logits for one copy, mean log-probabilities for several).

    Args:
        plain: (N, O) outputs (or embeddings) of the inputs.
        moved: (N, O) of the transformed inputs, or (D, N, O): the median is over all of them then.
        labels: (N,) class indices.
        generator: draws p, on the CPU.

    Raises:
        UserError: only one class.
    """
    if bool((labels == labels[0]).all()):
        raise UserError("the metric compares with examples of other classes", "one class")
    known = labels.cpu()
    different = (known[:, None] != known).to(torch.float32)
    partner = torch.multinomial(different, 1, generator=generator).squeeze(1).to(plain.device)
    away = 1 - cosine_similarity(plain, plain[partner], dim=-1)
    moved_by = 1 - cosine_similarity(plain, moved, dim=-1)
    found = (away - moved_by) / (away + eps)
    apart = (away > SAME).expand_as(found)  # of an example whose partner is where it is nothing is known
    return float(found[apart].median()) if bool(apart.any()) else math.nan
