"""Rows and problems that the recipes of long tails share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Zhou et al. (2022): levels up to 99 of 255; dilations up to 4 pixels and erosions of 2; any turn.
NUISANCES: dict[str, dict[str, float]] = {
    "background": {"background": 99 / 255}, "stroke": {"stroke": 3.0}, "rotation": {"rotation": 180.0},
    "tilt": {"rotation": 40.0},  # ours: turns that are no group
}
SMALL = 100  # examples up to which a class of MNIST's tail is augmented
DELAY = 0.6  # of the training, then classes are resampled and the tail is augmented
DELAYED = {"sampling": "balanced", "delay": DELAY}


EXPONENTIAL: dict[str, Any] = {"largest": 1500, "ratio": 8 / 1500}
ZIPF: dict[str, Any] = {"tail": "zipf", "largest": 4800, "exponent": 2.0, "least": 5}  # the first ten of K49-LT


def mnist_tail(nuisance: str, order: int, sizes: Mapping[str, Any] = EXPONENTIAL) -> dict[str, Any]:
    """MNIST with few large classes and many small ones, all varied alike.

    Args:
        sizes: by default 1,500 examples of the largest class and 8 of the smallest.
    """
    return {
        "label": f"mnist-{nuisance}-{order}",
        "source": {"name": "torchvision", "dataset": "MNIST", "root": "data"},
        "actions": ["background", "stroke"],
        "limits": {"rotation": 180.0},
        "wrappers": [{
            "name": "long_tailed", **sizes, "order": order, "select": 30, "ranges": NUISANCES[nuisance],
        }],
    }


def digits_step(order: int) -> dict[str, Any]:
    """Digits turned by up to 60 degrees; five classes have 60 examples, five have 6."""
    return {
        "label": f"digits-step-{order}",
        "source": {"name": "digits"},
        "wrappers": [{
            "name": "long_tailed", "tail": "step", "largest": 60, "ratio": 0.1, "order": order, "select": 30,
            "ranges": {"rotation": 60.0},
        }],
    }


def cifar_tail(largest: int, limit: int | None) -> dict[str, Any]:
    """CIFAR-10-LT, 100 to 1 in the data's own order of classes; without a planted nuisance.

    Args:
        limit: images that are read; None: all.
    """
    source = {"name": "torchvision", "dataset": "CIFAR10", "root": "data", "size": 32, "limit": limit}
    return {
        "label": "cifar10-lt", "source": source,
        "wrappers": [{"name": "long_tailed", "largest": largest, "ratio": 0.01, "order": None, "select": 50}],
    }


def rules() -> list[dict[str, Any]]:
    """Empirical risk and resampling, from the start and delayed."""
    return [
        {"name": "plain"},
        {"name": "plain", "label": "balanced", "settings": {"imbalance": {"sampling": "balanced"}}},
        {"name": "plain", "label": "drs", "settings": {"imbalance": DELAYED}},
    ]


def losses() -> list[dict[str, Any]]:
    """Weights, margins and the focal loss, as they are usually combined."""
    varied = {
        "reweighted": {"weighting": "effective"},
        "drw": {"weighting": "effective", "delay": DELAY},
        "focal": {"loss": "focal"},
        "ldam-drw": {"loss": "ldam", "weighting": "effective", "delay": DELAY},
        "ldam-drs": {"loss": "ldam", **DELAYED},
    }
    return [{"name": "plain", "label": label, "settings": {"imbalance": rule}} for label, rule in varied.items()]


def transfers(nuisance: str, kind: str = "style", cutoff: int = SMALL) -> list[dict[str, Any]]:
    """What augments the tail under delayed resampling: learned, generic, planted and wrong.

    Args:
        kind: of the generator.
    """
    tail = {"imbalance": DELAYED, "start": DELAY, "cutoff": cutoff}
    wrong = NUISANCES["rotation" if nuisance == "stroke" else "stroke"]
    generator = {"generator": {"kind": kind}}
    return [
        {"name": "git", "settings": {"cutoff": cutoff, **generator}},
        {"name": "git", "label": "git-all", "settings": generator},
        {"name": "trivial_augment", "label": "trivial-tail", "settings": tail},
        {"name": "oracle", "label": "oracle-tail", "settings": {**tail, "ranges": NUISANCES[nuisance]}},
        {"name": "oracle", "label": "wrong-tail", "settings": {**tail, "ranges": wrong, "redraws": False}},
    ]
