"""The losses of amortised pre-training: within every group, under its own descriptor.

Axes: G groups, n images of a group, D features, P parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

READER_PENALTY = 1e-2  # of a reader, as a share of the features' mean energy
SATURATION = 2.0  # of the wanted distance in the change of a parameter: 1 - exp(-2 |d theta|)


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Both directions of InfoNCE (van den Oord et al. 2018) with the negatives of the own group only; 0-d.

    Args:
        first, second: embeddings (G, n, E) of the two views, of any length; they are normalised.
        temperature: tau.
    """
    logits = normalize(first, dim=-1) @ normalize(second, dim=-1).mT / temperature  # (G, n, n)
    own = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:2]).flatten()
    forth, back = (cross_entropy(side.flatten(0, 1), own) for side in (logits, logits.mT))
    return (forth + back) / 2


def centred_cosine(first: Tensor, second: Tensor, centre: Tensor | None = None) -> Tensor:
    """cos(f - m, f' - m), m the mean of the group's first features: (G, n, D) twice -> (G, n).

    Centring matters: the raw cosine of any two feature vectors of one network is near 1.

    Args:
        centre: m (D,) where it is that of other images.
    """
    mean = first.mean(-2, keepdim=True) if centre is None else centre
    return (normalize(first - mean, dim=-1) * normalize(second - mean, dim=-1)).sum(-1)


def calibration(similarity: Tensor, entry: Tensor, change: Tensor) -> Tensor:
    """Mean squared distance of the measured invariance to what the descriptor asks for; 0-d.

    Wanted: 1 - (1 - i_k) (1 - exp(-2 |d theta_k|)): one where the factor is to be ignored, and the lower, the more is
    to be kept and the further the factor moved. It makes i_k mean measured invariance.

    Args:
        similarity: (G, n) centred cosine of an image with itself after factor k alone was drawn afresh.
        entry: (G, 1) i_k of that factor.
        change: (G, n) how far it moved, in [0, 2].
    """
    wanted = 1 - (1 - entry) * (1 - torch.exp(-SATURATION * change))
    return (similarity - wanted).square().mean()


def leakage(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference between two measured invariances that should be one; 0-d.

    Invariance is a mean over images, so that is what is compared; single images may well differ.

    Args:
        one, other: (..., n) centred cosines of the same images after the same factor moved, under two descriptors that
            agree in the factor's entry and differ elsewhere.
    """
    return (one.mean(-1) - other.mean(-1)).square().mean()


def sensitivity(read: Tensor, theta: Tensor, share: Tensor) -> Tensor:
    """Squared error of parameters read off the features, weighted by how much is to be kept; 0-d.

    Args:
        read: (G, n, P) what a linear map reads.
        theta: (G, n, P).
        share: (G, 1, P) the descriptor's entry of each parameter.
    """
    return ((1 - share) * (read - theta).square()).mean()


def readable(features: Tensor, theta: Tensor, share: Tensor, views: int = 1) -> Tensor:
    """Leave-one-image-out R^2 of ridge heads that read the ignored parameters off a group's features, from 0 on; 0-d.

    An adversary in closed form: the best linear reader of each group's own descriptor, refitted in every update. With
    Z the centred features, K = Z Z^T, H = K (K + c I)^-1 and R = I - H - 1/N, the residuals of an image's rows b
    without these rows are e_b = R_bb^-1 (R y)_b. All rows of an image are left out together: views of one image share
    parameters, and a reader that keeps a twin knows the image, not the parameter.

    Args:
        features: (G, V n, D), first views of all images, then second ones, ...
        theta: (G, V n, P).
        share: (G, 1, P) the descriptor's entry of each parameter.
        views: V.
    """
    count = features.shape[1]
    z = features - features.mean(1, keepdim=True)
    y = theta - theta.mean(1, keepdim=True)
    gram = z @ z.mT
    scale = gram.diagonal(dim1=1, dim2=2).mean(-1)[:, None, None] + torch.finfo(z.dtype).tiny
    one = torch.eye(count, dtype=z.dtype, device=z.device)
    fitted = READER_PENALTY * torch.linalg.inv(gram / scale + READER_PENALTY * one)  # I - H
    errors = _without_each_image(fitted - 1 / count, y, views)  # the mean was fitted too
    spread = y.square().mean(1, keepdim=True)
    moves = spread > 0  # a parameter that is the same everywhere cannot be read
    error = errors.square().mean((1, 2))[:, None] / torch.where(moves, spread, 1.0)
    found: Tensor = (share * torch.where(moves, 1 - error, 0.0).clamp_min(0)).mean()
    return found


def _without_each_image(rest: Tensor, y: Tensor, views: int) -> Tensor:
    """R (G, V n, V n), y (G, V n, P) -> (G, n, V, P) R_bb^-1 (R y)_b for the V rows b of every image."""
    groups, rows, parameters = y.shape
    images = rows // views
    own = rest.view(groups, views, images, views, images).diagonal(dim1=2, dim2=4).permute(0, 3, 1, 2)  # (G, n, V, V)
    seen = (rest @ y).view(groups, views, images, parameters).transpose(1, 2)
    left: Tensor = torch.linalg.solve(own, seen)
    return left
