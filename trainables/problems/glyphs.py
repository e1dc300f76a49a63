"""Two glyphs, upright or upside-down: how far may an image be turned before its label changes?"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from spaces.transforms import AffineParameters, affine_matrix, warp
from trainables.problems.dataset import Array, Dataset, SourceConfig, labelled, stream
from trainables.problems.problem import Truth

BOUNDARY = 90.0  # degrees between upright and upside-down
CHUNK = 2000     # images per warp: bounds memory
# On a grid of 8 x 8 cells, none of them symmetric; "." is black, and each letter a colour.
_FLAG = ("........", "..RRRR..", "..RRRR..", "..Y.....", "..YYB...", "..Y.....", "..YG....", "........")
_HOOK = ("........", "...CC...", "..C.....", "..CWW...", "....C...", "..M.C...", "..MMC...", "........")
_COLOURS = {
    ".": (0, 0, 0), "R": (220, 40, 40), "Y": (230, 200, 60), "B": (60, 90, 220), "G": (60, 180, 80),
    "C": (70, 200, 210), "W": (240, 240, 240), "M": (200, 70, 190),
}


class Config(SourceConfig):
    """Two drawn glyphs, each upright or upside-down (four classes), turned by up to `spread` degrees either way.

    AugNet's study (Rommel et al. 2022) with glyphs of our own: images turned by more than 90 degrees would belong to
    the other class, so 90 - spread degrees more are safe: 45 in the study, and none where the classes touch.

    Args:
        images: in the pool, a quarter of each class.
        test: in the test set.
        spread: half-width of the angles in degrees; 45 in the study, 90 for classes that touch.
    """

    name: ClassVar[str] = "glyphs"

    images: int = Field(default=10_000, ge=16)
    test: int = Field(default=5_000, ge=16)
    spread: float = Field(default=45.0, ge=0, le=BOUNDARY)

    def load(self, seed: int) -> Dataset:
        pool, test = (self._drawn(part, count, seed) for part, count in (("pool", self.images), ("test", self.test)))
        data = labelled(*pool, *test, ("flag", "flag upside-down", "hook", "hook upside-down"))
        safe = BOUNDARY - self.spread
        truth = Truth(invariant={"rotation": safe}) if safe > 0 else Truth(harmful={"rotation": BOUNDARY})
        return replace(data, truth=truth)

    def _drawn(self, part: str, count: int, seed: int) -> tuple[Array, Array]:
        generator = stream("glyphs", part, seed)
        y = generator.permutation(np.arange(count, dtype=np.int64) % 4)
        angle = generator.uniform(-self.spread, self.spread, count) + np.where(y % 2 == 1, 180.0, 0.0)
        glyphs = torch.stack([_image(_FLAG), _image(_HOOK)])
        return np.concatenate([
            _turned(glyphs[torch.from_numpy(y[rows] // 2)], torch.from_numpy(angle[rows]).float())
            for rows in np.array_split(np.arange(count), -(-count // CHUNK))
        ]), y


def _image(rows: tuple[str, ...]) -> torch.Tensor:
    """(3, 32, 32) in [0, 1]."""
    cells = torch.tensor([[_COLOURS[cell] for cell in row] for row in rows], dtype=torch.float32) / 255
    return cells.permute(2, 0, 1).repeat_interleave(4, 1).repeat_interleave(4, 2)


def _turned(x: torch.Tensor, degrees: torch.Tensor) -> Array:
    turned = warp(x, affine_matrix(AffineParameters(rotation_deg=degrees), *x.shape[-2:]))
    return (turned * 255).round().to(torch.uint8).numpy()
