"""The pattern of a finite group, known in closed form, and how equivariant a layer or how alike two patterns are.

A group acts on n points by permutations; (pi(g) v)[i] = v[g^-1 i]. Axes: |G| elements, m = |G| outputs, n inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Permutation = tuple[int, ...]  # g[i] is where i goes


def cyclic(n: int) -> list[Permutation]:
    """Z_n on n points: the shifts."""
    return [tuple((i + shift) % n for i in range(n)) for shift in range(n)]


def dihedral(n: int) -> list[Permutation]:
    """D_n on n points: the shifts, and the shifts after i -> -i."""
    return [*cyclic(n), *(tuple((shift - i) % n for i in range(n)) for shift in range(n))]


def compose(g: Permutation, h: Permutation) -> Permutation:
    """g h: first h, then g."""
    return tuple(g[h[i]] for i in range(len(h)))


def inverse(g: Permutation) -> Permutation:
    back = [0] * len(g)
    for i, target in enumerate(g):
        back[target] = i
    return tuple(back)


def representation(g: Permutation, dtype: torch.dtype = torch.float64) -> Tensor:
    """pi(g) (n, n), with a one at (g[i], i)."""
    matrix = torch.zeros(len(g), len(g), dtype=dtype)
    matrix[list(g), list(range(len(g)))] = 1
    return matrix


def group_pattern(group: Sequence[Permutation], dtype: torch.dtype = torch.float64) -> Tensor:
    """U^G (|G| n, n) = [pi(g_1); ...; pi(g_|G|)]: (W x)[j] = <pi(g_j) v, x>, all G-convolutions of one channel."""
    return torch.cat([representation(g, dtype) for g in group])


def output_action(group: Sequence[Permutation], g: Permutation, dtype: torch.dtype = torch.float64) -> Tensor:
    """P_g (|G|, |G|): how outputs move when inputs move by g, (P_g y)[j] = y[j'] with g_j' = g^-1 g_j."""
    places = {element: position for position, element in enumerate(group)}
    matrix = torch.zeros(len(group), len(group), dtype=dtype)
    for position, element in enumerate(group):
        matrix[position, places[compose(inverse(g), element)]] = 1
    return matrix


def equivariance_error(weight: Tensor, on_inputs: Tensor, on_outputs: Tensor) -> Tensor:
    """||W pi_in - pi_out W||_F / ||W||_F over the last two axes; 0 for an equivariant layer, about 1.4 for any.

    Args:
        weight: (..., m, n).
        on_inputs: (n, n); `on_outputs`: (m, m).
    """
    moved = weight @ on_inputs - on_outputs @ weight
    return norm(moved) / norm(weight)


def norm(weight: Tensor) -> Tensor:
    """Frobenius, over the last two axes."""
    return weight.square().sum((-2, -1)).sqrt()


def shift_error(weight: Tensor, by: int = 1) -> Tensor:
    """(..., m, n), a shift by s that runs out at the ends: ||W[s:, s:] - W[:-s, :-s]||_F / ||W[s:, s:]||_F."""
    inner = weight[..., by:, by:]
    return norm(inner - weight[..., :-by, :-by]) / norm(inner)


def turn_error(kernels: Tensor, quarters: int = 1) -> Tensor:
    """||turned W - permuted W||_F / ||W||_F by quarter turns, which are exact on pixels.

    Of kernels (..., fields x 8, 1, 3, 3) of C_8: a quarter turn of an equivariant layer's kernels is its fields'
    channels moved on by two.
    """
    fields = kernels.view(*kernels.shape[:-4], -1, 8, *kernels.shape[-3:])
    moved = torch.rot90(fields, quarters, (-2, -1)) - fields.roll(-2 * quarters, dims=-4)
    length: Tensor = moved.flatten(-5).norm(dim=-1) / fields.flatten(-5).norm(dim=-1)
    return length


def mirror_error(kernels: Tensor, quarters: int = 0) -> Tensor:
    """The same for a reflection (upside down) and then quarter turns, of kernels (..., fields x 16, 1, 3, 3) of D_8.

    A field's first eight channels are its function turned by 45 k degrees, the others that of its mirror image: a
    reflection exchanges the halves and turns -k for k.
    """
    fields = kernels.view(*kernels.shape[:-4], -1, 2, 8, *kernels.shape[-3:])
    places = (2 * quarters - torch.arange(8, device=kernels.device)) % 8
    expected = fields.flip(-5).index_select(-4, places)
    moved = torch.rot90(fields.flip(-2), quarters, (-2, -1)) - expected
    length: Tensor = moved.flatten(-6).norm(dim=-1) / fields.flatten(-6).norm(dim=-1)
    return length


def principal_cosines(pattern: Tensor, truth: Tensor) -> Tensor:
    """Cosines of the principal angles between two column spaces, largest first (Bjorck and Golub 1973).

    Args:
        pattern: (d, k); where k exceeds the truth's rank r, its r leading left singular vectors stand for it: columns
            that hardly matter are no part of what was learned.
        truth: (d, r), of full column rank.

    Returns:
        (min(k, r),), in float64.
    """
    q = torch.linalg.qr(truth.double())[0]
    u = torch.linalg.svd(pattern.double(), full_matrices=False)[0][:, : q.shape[1]]
    cosines: Tensor = torch.linalg.svdvals(u.mT @ q)
    return cosines.clamp(max=1.0)


def energy_within(pattern: Tensor, truth: Tensor) -> Tensor:
    """||P U||_F^2 / ||U||_F^2 with P on the truth's column space: the share of U that lies in it."""
    q = torch.linalg.qr(truth.double())[0]
    within: Tensor = (q.mT @ pattern.double()).square().sum()
    return within / pattern.double().square().sum()


def numerical_rank(pattern: Tensor, share: float = 0.5) -> int:
    """Singular values of U above a share of the largest: the degrees of freedom that it leaves to a task."""
    values = torch.linalg.svdvals(pattern.double())
    return int((values > share * values[0]).sum())
