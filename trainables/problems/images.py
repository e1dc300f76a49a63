"""Image files and PIL images as arrays (C, H, W) uint8."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tracking.errors import UserError
from trainables.problems.dataset import Array

SIXTEEN = "I;16"  # with a letter for the order of bytes
OPAQUE = 255


def as_array(image: Any, size: int | None = None, grey: bool | None = None) -> Array:
    """A PIL image as (C, H, W) uint8 with 1 or 3 channels, upright as its EXIF says, on white where it is transparent.

    16 bits are scaled to 8: white stays white, whatever part of its range an image uses.

    Args:
        size: side of the square result: the shorter side is scaled to it (bilinear with antialiasing) and the
            centre is cut out, so that nothing is stretched; None keeps the image as it is.
        grey: one channel; None keeps grey images grey and turns all others into RGB.

    Raises:
        UserError: 32 bits or floating point, of which nobody says what is white.
    """
    image = _eight_bits(ImageOps.exif_transpose(image))
    if grey is None:
        grey = image.mode in ("1", "L")
    image = _on_white(image).convert("L" if grey else "RGB")
    if size is not None and image.size != (size, size):
        image = _centre(image, size)
    array = np.asarray(image, np.uint8)
    return array[None] if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def see_through(image: Any) -> bool:
    """Whether any pixel of a PIL image is less than opaque."""
    return bool(image.has_transparency_data) and image.convert("RGBA").getextrema()[3][0] < OPAQUE


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


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith(SIXTEEN) or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray(np.rint(np.asarray(image, np.float32) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UserError(
            "images must have 8 or 16 bits", f"mode {image.mode}, 32 bits",
            "save them with 8 bits, scaled as they should be seen",
        )
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


def _centre(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))
