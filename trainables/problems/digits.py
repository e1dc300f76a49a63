"""Scikit-learn's handwritten digits: 1797 real images that ship with a dependency; the embedded default."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import interpolate

from trainables.problems.dataset import Array, Dataset, SourceConfig, labelled, stream
from trainables.problems.partition import held_out


class Config(SourceConfig):
    """Handwritten digits (UCI, 1797 images of 8x8 in 17 grey levels), upsampled bilinearly; no download.

    Args:
        size: side of the square images in pixels.
        test: images in the stratified test set; the other 1797 - test form the labelled pool.
    """

    name: ClassVar[str] = "digits"

    size: int = Field(default=16, ge=8, le=256)
    test: int = Field(default=700, ge=10, le=1700)

    def load(self, seed: int) -> Dataset:
        from sklearn.datasets import load_digits  # heavy: only where the data are made

        x, y = load_digits(return_X_y=True)
        images, labels = _upsampled(x.reshape(-1, 8, 8), self.size), y.astype(np.int64)
        pool, test = held_out(labels, self.test, stream("digits", "test", seed))
        return labelled(images[pool], labels[pool], images[test], labels[test], tuple("0123456789"))


def _upsampled(x: Array, size: int) -> Array:
    """(N, 8, 8) in 0..16 -> (N, 1, size, size) uint8 in 0..255."""
    images = torch.from_numpy(np.asarray(x, np.float32) / 16).unsqueeze(1)
    if size != 8:
        images = interpolate(images, (size, size), mode="bilinear", align_corners=False)
    return (images * 255).round().to(torch.uint8).numpy()
