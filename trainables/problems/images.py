"""Image files and PIL images as arrays (C, H, W) uint8."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from tracking.errors import UserError
from trainables.problems.dataset import Array


def as_array(image: Any, size: int | None = None, grey: bool | None = None) -> Array:
    """A PIL image as (C, H, W) uint8 with 1 or 3 channels.

    Args:
        size: side of the square result: the shorter side is scaled to it (bilinear with antialiasing) and the
            centre is cut out, so that nothing is stretched; None keeps the image as it is.
        grey: one channel; None keeps grey images grey and turns all others into RGB.
    """
    if grey is None:
        grey = image.mode in ("1", "L", "I;16", "I", "F")
    image = image.convert("L" if grey else "RGB")
    if size is not None and image.size != (size, size):
        image = _centre(image, size)
    array = np.asarray(image, np.uint8)
    return array[None] if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def stacked(images: list[Array]) -> Array:
    """(B, C, H, W) from images of one shape.

    Raises:
        UserError: the shapes differ.
    """
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        got = f"{shapes[0]} and {shapes[-1]}"
        raise UserError("images of different sizes need a common `size`", got, "e.g. size: 32")
    return np.stack(images)


def _centre(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))
