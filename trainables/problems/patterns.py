"""True sharing patterns U* of layer problems: a task's weights are vec(W) = U* v, v drawn anew for each task.

Axes: m outputs, n inputs of a dense layer; c channels of 3 x 3 kernels; k entries of v. vec is row-major.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
INPUTS, TAPS = 70, 3      # of the one-dimensional problems: 68 outputs
SIDE, FIELDS = 32, 3      # of the images; steerable fields of the two-dimensional problems
POINTS = 16               # on which the exact groups act
STEERABLE_DEVIATION = 0.5**0.5  # of v in two dimensions: outputs have a variance of 0.64
# A 3 x 3 function of angle, by ring: the eight outer pixels sit at multiples of 45 degrees, at distance 1 and sqrt 2.
CENTRE, EDGE, CORNER = 0.35, 0.31, 0.18
RING_CENTRE, RING_EDGE, RING_CORNER = 0.01, 0.15, 0.09


class Layer(StrEnum):
    """Layer problems."""

    RANK1 = "rank1"
    RANK2 = "rank2"
    RANK5 = "rank5"
    ROT8 = "2d_rot8"
    ROT8_FLIP = "2d_rot8_flip"
    CYCLIC = "cyclic16"
    DIHEDRAL = "dihedral8"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What the tasks of a layer problem have in common.

    Args:
        shape: of one input.
        weight: of W, (m, n) or (c, 1, 3, 3).
        matrix: U* (prod(weight), k), float64.
        deviation: of v's entries.
    """

    shape: tuple[int, ...]
    weight: tuple[int, ...]
    matrix: Matrix
    deviation: float = 1.0

    @property
    def outputs(self) -> int:
        if len(self.weight) == 2:
            return self.weight[0]
        return self.weight[0] * (self.shape[1] - 2) * (self.shape[2] - 2)


def pattern(layer: Layer, generator: np.random.Generator) -> Pattern:
    """The pattern of a problem; `generator` draws which filter is where in rank2 and rank5, the others are fixed."""
    if layer in (Layer.RANK1, Layer.RANK2, Layer.RANK5):
        rank = {Layer.RANK1: 1, Layer.RANK2: 2, Layer.RANK5: 5}[layer]
        mixing = np.ones((INPUTS - TAPS + 1, 1)) if rank == 1 else _softmax(generator, INPUTS - TAPS + 1, rank)
        return Pattern((INPUTS,), (len(mixing), INPUTS), local_pattern(mixing, TAPS))
    if layer in (Layer.ROT8, Layer.ROT8_FLIP):
        matrix = steerable_pattern(FIELDS, flips=layer is Layer.ROT8_FLIP)
        return Pattern((1, SIDE, SIDE), (len(matrix) // 9, 1, 3, 3), matrix, STEERABLE_DEVIATION)
    shifts = [[(i + j) % POINTS for i in range(POINTS)] for j in range(POINTS)]
    # D_8 on 16 points as on itself: two orbits of eight, exchanged by the flip.
    half = POINTS // 2
    turns = [[(i + j) % half + half * (i // half) for i in range(POINTS)] for j in range(half)]
    flips = [[(j - i) % half + half * (1 - i // half) for i in range(POINTS)] for j in range(half)]
    moves = shifts if layer is Layer.CYCLIC else turns + flips
    return Pattern((POINTS,), (len(moves), POINTS), permutation_pattern(np.array(moves)))


def local_pattern(mixing: Matrix, taps: int) -> Matrix:
    """Locally connected: position j uses the filter sum_r mixing[j, r] B[r], v = vec(B); (m n, R taps)."""
    positions, rank = mixing.shape
    found = np.zeros((positions, positions + taps - 1, rank, taps))
    for tap in range(taps):
        found[np.arange(positions), np.arange(positions) + tap, :, tap] = mixing
    return found.reshape(-1, rank * taps)


def permutation_pattern(moves: NDArray[np.int64]) -> Matrix:
    """Row j of W is v moved by g_j: W[j, g_j[i]] = v[i]; (|G| n, n)."""
    elements, points = moves.shape
    found = np.zeros((elements, points, points))
    found[np.arange(elements)[:, None], moves, np.arange(points)] = 1
    return found.reshape(-1, points)


def steerable_pattern(fields: int, flips: bool) -> Matrix:
    """Kernels of a C_8- (or D_8-) steerable convolution, trivial to regular: (fields elements 9, 6 fields).

    Each field has one function on 3 x 3 pixels, of six dimensions: the centre, the ring, and cosine and sine of one and
    two turns; channel k is that function turned by 45 k degrees, in a second half also mirrored (angle -> -angle).
    Multiples of 90 degrees are exact rotations of pixels.
    """
    blocks = [_turned(45.0 * k, mirrored) for mirrored in ((False, True) if flips else (False,)) for k in range(8)]
    one = np.concatenate(blocks)  # (elements 9, 6)
    return np.asarray(np.kron(np.eye(fields), one))


def _turned(degrees: float, mirrored: bool) -> Matrix:
    """(9, 6): the basis turned counter-clockwise, seen on the pixels."""
    y, x = np.mgrid[1:-2:-1, -1:2]  # y points up
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    angle = np.where(mirrored, -1.0, 1.0) * (angle - np.deg2rad(degrees))
    middle, edge = distance == 0, distance == 1
    radial = np.select([middle, edge], [0.0, EDGE], CORNER)
    waves = [radial * wave(turns * angle) for turns in (1, 2) for wave in (np.cos, np.sin)]
    ring = np.select([middle, edge], [RING_CENTRE, RING_EDGE], RING_CORNER)
    stacked = np.stack([np.where(middle, CENTRE, 0.0), ring, *waves], axis=-1)
    return np.asarray(stacked.reshape(9, 6), np.float64)


def _softmax(generator: np.random.Generator, rows: int, columns: int) -> Matrix:
    raw = np.exp(generator.standard_normal((rows, columns)))
    return np.asarray(raw / raw.sum(1, keepdims=True))
