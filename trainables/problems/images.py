"""Image files and PIL images as arrays (C, H, W) uint8."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from tracking.errors import UserError
from trainables.problems.dataset import Array

SIXTEEN = "I;16"  # with a letter for the order of bytes
OF_SIXTEEN = ("PNG", "PPM")  # formats whose 16 bits Pillow may give as 32
OPAQUE, WHITE = 255, 255
ORIENTATION, WHITE_IS_ZERO = 0x0112, 262  # tags of EXIF and of TIFF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def as_array(image: Any, size: int | None = None, grey: bool | None = None) -> Array:
    """A PIL image as (C, H, W) uint8 with 1 or 3 channels, upright as its EXIF says, on white where it is transparent.

    16 bits are scaled to 8: white stays white, whatever part of its range an image uses.

    Args:
        size: side of the square result: the shorter side is scaled to it (bilinear with antialiasing) and the
            centre is cut out, so that nothing is stretched; None keeps the image as it is.
        grey: one channel; None keeps grey images grey and turns all others into RGB.

    Raises:
        UserError: numbers of which nobody says what is white: with a sign, of more than 16 bits, floating point.
    """
    image = _eight_bits(_upright(image))
    if grey is None:
        grey = image.mode in ("1", "L")
    image = _on_white(image).convert("L" if grey else "RGB")
    if size is not None and image.size != (size, size):
        image = _centre(image, size)
    array = np.asarray(image, np.uint8)
    return array[None] if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def see_through(image: Any) -> bool:
    """Whether any pixel of a PIL image is less than opaque; raises as `as_array`."""
    image = _eight_bits(image)
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


def _upright(image: Image.Image) -> Image.Image:
    """By the orientation alone: the rest of the EXIF may be damaged without the image being so."""
    image.load()  # a TIFF is turned by that
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # whatever a parser falls over
        return image
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """As it is, but for 16 bits of grey; of which a colour may stand for transparency."""
    if not image.mode.startswith(SIXTEEN) and image.mode not in ("I", "F"):
        return image
    if not image.mode.startswith(SIXTEEN) and (image.mode == "F" or image.format not in OF_SIXTEEN):
        raise UserError(
            "images must have 8 or 16 bits without a sign", f"mode {image.mode}",
            "save them with 8 bits, scaled as they should be seen",
        )
    values = np.asarray(image, np.int64)
    clear = image.info.get("transparency")
    opaque = np.full(values.shape, OPAQUE) if clear is None else np.where(values == clear, 0, OPAQUE)
    grey = np.rint(values / 257)
    if getattr(image, "tag_v2", {}).get(WHITE_IS_ZERO) == 0:
        grey = WHITE - grey
    if clear is None:
        return Image.fromarray(grey.astype(np.uint8))
    return Image.fromarray(np.stack((grey, opaque), -1).astype(np.uint8))


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
