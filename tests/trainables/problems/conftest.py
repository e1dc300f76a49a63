"""Small folders of PNG images, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """A folder `name` with images per class: make_folder(cat=10, dog=4)."""

    def make(name: str = "images", **sizes: int) -> Path:
        generator = np.random.default_rng(0)
        for k, (label, count) in enumerate(sizes.items()):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(60 * k, 60 * k + 60, (12, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i:03d}.png")
        return tmp_path / name

    return make
