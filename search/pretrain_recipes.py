"""Complete descriptions of artefacts by name, for `invsearch pretrain`.

A recipe is a function of this module without arguments that returns the fields of `Pretraining`; its docstring's first
line is what `invsearch recipes --pretrain` shows.
"""

from __future__ import annotations

from typing import Any

from search.recipe_book import book, chosen, lines


def digits() -> dict[str, Any]:
    """The extractor that comparisons on handwritten digits use: minutes."""
    return {"maker": "amortised_extractor", "settings": {}, "source": {"name": "digits"}}


def digits_quick() -> dict[str, Any]:
    """The same in under a minute: enough to see that it works."""
    return {"maker": "amortised_extractor", "settings": {"horizon": 200}, "source": {"name": "digits"}}


def mnist() -> dict[str, Any]:
    """An extractor for 28x28 handwriting: half an hour; downloads MNIST to `data`."""
    source = {"name": "torchvision", "dataset": "MNIST", "root": "data", "size": 28}
    return {"maker": "amortised_extractor", "settings": {}, "source": source}


def names() -> dict[str, str]:
    """Recipe -> its one line."""
    return lines(book(__name__))


def get(name: str) -> dict[str, Any]:
    """The fields of the recipe's description; UserError with the nearest name."""
    return chosen(book(__name__), name)
