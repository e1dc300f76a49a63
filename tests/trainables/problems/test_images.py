"""Image files of every kind, held to what a viewer shows."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tracking.errors import UserError
from trainables.problems.images import as_array, see_through

EXIF_ORIENTATION = 0x0112
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def through_a_file(image: Image.Image, form: str = "PNG", **how: Any) -> Image.Image:
    target = io.BytesIO()
    image.save(target, form, **how)
    return Image.open(target)


def test_centre_is_cut_without_stretching() -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    assert (as_array(Image.fromarray(wide), 10) == 200).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("grey", [True, False, None])
def test_sixteen_bits_are_scaled_to_eight(form: str, grey: bool | None) -> None:
    image = through_a_file(Image.fromarray(RAMP.astype(np.uint16) * 257), form)
    assert (as_array(image, grey=grey) == RAMP).all()


def test_sixteen_bits_of_the_other_order_of_bytes() -> None:
    swapped = Image.frombytes("I;16B", (16, 16), (RAMP.astype(">u2") * 257).tobytes())
    assert (as_array(swapped) == RAMP).all()


def test_sixteen_bits_that_pillow_gives_as_32() -> None:
    assert through_a_file(Image.fromarray(RAMP.astype(np.uint16) * 257), "PPM").mode == "I"
    assert (as_array(through_a_file(Image.fromarray(RAMP.astype(np.uint16) * 257), "PPM")) == RAMP).all()


def test_sixteen_bits_whose_white_is_zero() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    image = through_a_file(Image.fromarray(RAMP.astype(np.uint16) * 257), "TIFF", tiffinfo=tags)
    assert image.tag_v2[262] == 0  # type: ignore[attr-defined]
    assert (as_array(image) == 255 - RAMP).all()


def test_sixteen_bits_with_a_transparent_grey() -> None:
    drawn = np.array([[94, 0], [200, 94]], np.uint16) * 257
    image = through_a_file(Image.fromarray(drawn), transparency=94 * 257)
    assert see_through(image)
    assert as_array(image, grey=True)[0].tolist() == [[255, 0], [200, 255]]


def test_a_damaged_exif_costs_the_turn_and_not_the_image() -> None:
    image = through_a_file(Image.fromarray(RAMP))

    def damaged() -> Any:
        raise struct.error("unpack requires a buffer")

    image.getexif = damaged  # type: ignore[method-assign]
    assert (as_array(image) == RAMP).all()


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_of_32_bits_nobody_knows_what_is_white(kind: type) -> None:
    with pytest.raises(UserError, match="8 or 16 bits"):
        as_array(Image.fromarray(RAMP.astype(kind)))


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_upright_as_the_camera_says(orientation: int, turns: int) -> None:
    """The eight orientations of EXIF include these four turns; `turns` quarters anticlockwise."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image = through_a_file(Image.fromarray(RAMP[:, :8]), exif=exif)
    assert (as_array(image) == np.rot90(RAMP[:, :8], turns)).all()


def test_what_is_transparent_is_white() -> None:
    """A black mark on nothing stays a mark; an opaque image is as it was, and half of black is grey."""
    drawn = np.zeros((2, 2, 4), np.uint8)
    drawn[..., 3] = [[0, 255], [128, 255]]
    image = Image.fromarray(drawn)
    assert see_through(image)
    assert as_array(image)[0].tolist() == [[255, 0], [127, 0]]
    drawn[..., :3], drawn[..., 3] = RAMP[:2, :2, None], 255
    opaque = Image.fromarray(drawn)
    assert not see_through(opaque)
    assert (as_array(opaque)[0] == RAMP[:2, :2]).all()


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.fromarray(np.eye(2, dtype=np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 9, 9, 9])
    read = through_a_file(image, transparency=0)
    assert see_through(read)
    assert as_array(read, grey=True)[0].tolist() == [[9, 255], [255, 9]]
