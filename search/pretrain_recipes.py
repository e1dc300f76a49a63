"""Complete descriptions of artefacts by name, for `invsearch pretrain`.

A recipe is a function of this module without arguments that returns the fields of `Pretraining`; its docstring's first
line is what `invsearch recipes --pretrain` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.recipe_book import book, chosen, lines
from trainables.modules.amortised import PAPERS, SETTINGS, Quality

BOTH_CORES: Mapping[str, Any] = {"resources": {"cpus": 2.0}}


def digits() -> dict[str, Any]:
    """The extractor that comparisons on handwritten digits use."""
    return {**_extractor(Quality.STANDARD, {"name": "digits"}), **BOTH_CORES}


def digits_quick() -> dict[str, Any]:
    """A short one: what `invsearch compare digits` uses."""
    return {**_extractor(Quality.QUICK, {"name": "digits"}), **BOTH_CORES}


def mnist() -> dict[str, Any]:
    """An extractor for 28x28 handwriting; downloads MNIST to `data`."""
    source = {"name": "torchvision", "dataset": "MNIST", "root": "data", "size": 28}
    return {**_extractor(Quality.LONG, source), **BOTH_CORES}


def papers_digits() -> dict[str, Any]:
    """The papers' own extractor on handwritten digits: kernels, corners, off is omitted, one head per corner."""
    return {**_extractor(Quality.STANDARD, {"name": "digits"}, PAPERS), **BOTH_CORES}


def names() -> dict[str, str]:
    """Recipe -> its one line."""
    return lines(book(__name__))


def get(name: str) -> dict[str, Any]:
    """The fields of the recipe's description; UserError with the nearest name."""
    return chosen(book(__name__), name)


def _extractor(quality: Quality, source: dict[str, Any], settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """As methods ask for it, so that what is made here is what they find."""
    return {"maker": "amortised_extractor", "settings": {**SETTINGS[quality], **(settings or {})}, "source": source}
