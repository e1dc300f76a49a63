"""What meta-learned sharing leaves behind for people.

    sharing.json    of every layer: shape, inner rate, spectrum of U, numerical rank, how equivariant adapted layers are
    sharing.pt      state_dict of the network with its patterns, and the inner rates
    patterns.png    of the first shared layer: W of four adapted tasks; and U's leading directions, turned as near as
                    they come to the shifted identities of translation (U is known up to such a turn only)

Red is positive, blue negative, each picture scaled to its largest entry.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid, save_image

from trainables.modules.group_sharing import (
    Permutation,
    cyclic,
    dihedral,
    equivariance_error,
    mirror_error,
    numerical_rank,
    output_action,
    representation,
    shift_error,
    turn_error,
)
from trainables.modules.sharing import FullSharing, KroneckerSharing, SharedLayer

SHOWN = 4          # tasks, and directions of U
LARGEST = 10_000   # weights of a layer that is shown, and of one whose spectrum is taken
MOST_ELEMENTS = 64  # of a group that is gone through
LEAST_REGULAR = 4  # inputs; the dihedral group of two points is no group of permutations of them
SHIFTS = (1, 2, 4, 8)  # that run out at the ends
LEAST_SIDE = 96    # pixels of a picture's shorter side


def export(
    network: nn.Module, rates: Mapping[str, Tensor], adapted: Tensor | None, single: bool, folder: Path
) -> dict[str, str]:
    """Write the files; returns name -> file.

    Args:
        rates: inner rate of each adapted tensor, 0-d.
        adapted: W (T, *shape) of the first shared layer on T tasks; None where there is none.
        single: whether the network is that one layer; others have channels in no order, so nothing is said of groups.
    """
    network, adapted = copy.deepcopy(network).cpu(), None if adapted is None else adapted.cpu()
    layers = {name: module for name, module in network.named_modules() if isinstance(module, SharedLayer)}
    first = next(iter(layers), None)
    told = {name: _described(layer) for name, layer in layers.items()}
    if single and first is not None and adapted is not None:
        told[first] |= equivariance(adapted)
    values = {name: float(rate.detach()) for name, rate in rates.items()}
    (folder / "sharing.json").write_text(json.dumps({"layers": told, "inner_rates": values}, indent=2) + "\n")
    torch.save({"network": network.state_dict(), "rates": values}, folder / "sharing.pt")
    files = {"sharing": "sharing.json", "weights": "sharing.pt"}
    if first is not None and adapted is not None and adapted[0].numel() <= LARGEST:
        save_image(pictures(layers[first], adapted), folder / "patterns.png")
        files["patterns"] = "patterns.png"
    return files


def equivariance(adapted: Tensor) -> dict[str, float]:
    """Errors of adapted layers by group element but the identity, means over tasks; of the groups in question.

    Which group acts is not known here, so the shape says what is looked at. As many outputs as inputs: the cyclic group
    of that many (`shift_k`), and where they are even the dihedral one that acts on itself (`regular_shift_k`,
    `regular_mirror_k`: a shift by k after a reflection). Twice as many: the dihedral group of the inputs (`shift_k`,
    `mirror_k`). Above 64 outputs and of other shapes: shifts by 1, 2, 4 and 8 that run out at the ends. Kernels in
    fields of eight channels: quarter turns, the elements that are exact on pixels; of sixteen: mirrored as well.

    Args:
        adapted: (T, m, n), or kernels (T, c_out, c_in, h, w).
    """
    if adapted.dim() == 3:
        errors = _by_element(adapted)
    elif adapted.shape[1] % 8 == 0 and adapted.shape[2] == 1 and adapted.shape[-1] == adapted.shape[-2]:
        errors = {f"turn_{90 * k}_deg": turn_error(adapted, k) for k in (1, 2, 3)}
        if adapted.shape[1] % 16 == 0:
            errors |= {f"mirror_{90 * k}_deg": mirror_error(adapted, k) for k in range(4)}
    else:
        errors = {}
    return {f"equivariance/{name}": float(error.mean()) for name, error in errors.items()}


def _by_element(adapted: Tensor) -> dict[str, Tensor]:
    outputs, inputs = adapted.shape[1:]
    if outputs not in (inputs, 2 * inputs) or outputs > MOST_ELEMENTS:
        return {f"shift_{k}": shift_error(adapted, k) for k in SHIFTS if 2 * k <= min(outputs, inputs)}
    if outputs == 2 * inputs:
        return _errors(adapted, dihedral(inputs), "", on_itself=False)
    found = _errors(adapted, cyclic(inputs), "", on_itself=False)
    if inputs % 2 == 0 and inputs > LEAST_REGULAR:
        found |= _errors(adapted, dihedral(inputs // 2), "regular_", on_itself=True)
    return found


def _errors(adapted: Tensor, group: Sequence[Permutation], prefix: str, on_itself: bool) -> dict[str, Tensor]:
    """Of the elements but the identity; inputs are the group's points, or its elements."""
    points, wide = len(group[0]), adapted.double()
    names = [f"{prefix}{kind}_{k}" for kind in ("shift", "mirror") for k in range(points)]
    found = {}
    for name, g in list(zip(names, group, strict=False))[1:]:
        moved = output_action(group, g)
        found[name] = equivariance_error(wide, moved if on_itself else representation(g), moved)
    return found


def pictures(layer: SharedLayer, adapted: Tensor) -> Tensor:
    """(3, H, W): a row of adapted weights, and a row of directions of U where it is free."""
    shape = layer.sharing.shape
    shown = [_flat(w) for w in adapted[:SHOWN].reshape(-1, *shape)]
    if isinstance(layer.sharing, FullSharing):
        shown += [_flat(w.view(shape)) for w in turned(layer.sharing.matrix().detach(), shape)[:SHOWN]]
    grid: Tensor = make_grid(torch.stack([_coloured(matrix) for matrix in shown]), nrow=SHOWN, pad_value=0.5)
    return grid


def turned(pattern: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(r, d): an orthonormal basis of U's leading directions, turned onto the nearest shifted identities (Procrustes).

    Of kernels, and of a layer with more outputs than inputs, the singular vectors as they are.
    """
    left, _, _ = torch.linalg.svd(pattern, full_matrices=False)
    leading: Tensor = left[:, : numerical_rank(pattern)]
    if len(shape) != 2 or shape[0] > shape[1]:
        return leading.T
    rows = torch.arange(shape[0])
    shifts = torch.zeros(shape[1], *shape)
    for offset in range(shape[1]):
        shifts[offset, rows, (rows + offset) % shape[1]] = shape[0] ** -0.5
    within = shifts.flatten(1) @ leading  # (n, r): how much of each shift lies in U's space
    nearest = within.square().sum(1).topk(min(leading.shape[1], shape[1])).indices.sort().values
    u, _, v = torch.linalg.svd(within[nearest].T, full_matrices=False)
    basis: Tensor = (leading @ (u @ v)).T
    return basis


def _described(layer: SharedLayer) -> dict[str, Any]:
    sharing = layer.sharing
    found: dict[str, Any] = {
        "form": type(sharing).__name__, "shape": list(sharing.shape), "latent": list(sharing.start),
    }
    if isinstance(sharing, FullSharing):
        matrix = sharing.matrix().detach()
        found |= {"spectrum": torch.linalg.svdvals(matrix).tolist(), "rank": numerical_rank(matrix)}
    elif isinstance(sharing, KroneckerSharing):
        found["spectra_of_factors"] = [torch.linalg.svdvals(factor.detach()).tolist() for factor in sharing.factors]
    return found


def _flat(weight: Tensor) -> Tensor:
    """Kernels as one matrix: channels down, pixels across."""
    return weight if weight.dim() == 2 else weight.flatten(1)


def _coloured(matrix: Tensor) -> Tensor:
    """(3, h, w): white at 0, red above, blue below; enlarged by whole pixels."""
    v = matrix / matrix.abs().max().clamp(min=1e-12)
    colours = torch.stack((1 + v.clamp(max=0), 1 - v.abs(), 1 - v.clamp(min=0)))
    scale = max(1, -(-LEAST_SIDE // min(matrix.shape)))
    return colours.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
