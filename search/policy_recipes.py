"""Complete comparisons of searches for augmentation policies, by name; `recipes` finds them here."""

from __future__ import annotations

from typing import Any

from search.recipe_parts import oracle, policy_rows, rotated_digits, which_rotation


def policies() -> dict[str, Any]:
    """Every search of augmentation policies and its controls on digits, at twenty plain trainings each."""
    return {
        "problems": [rotated_digits(shots=30), which_rotation(shots=20)],
        "methods": [*policy_rows(), oracle(60.0)],
        "horizon": 240,
        "budget": 20.0,
        "max_trials": 200,  # a population of twenty has 160
        "confirm_seeds": 5,
    }


def policies_mnist() -> dict[str, Any]:
    """The same on 5,000 images of MNIST, upright in `train` and turned elsewhere; downloads to `data`."""
    source = {"name": "torchvision", "dataset": "MNIST", "root": "data", "limit": 5000}
    turned = {"name": "nuisance", "ranges": {"rotation": 60.0}, "on": ["outer", "select", "test"]}
    return {
        **policies(), "problems": [{"label": "mnist-rotated", "source": source, "wrappers": [turned]}],
        "hang_seconds": 1800.0,
    }


def missing_rotation() -> dict[str, Any]:
    """Do black boxes find turns that only held-out digits have, and none where there are none, or labels lie?"""
    turned = {"name": "nuisance", "ranges": {"rotation": 45.0}, "on": ["outer", "select", "test"]}
    lies = [turned, {"name": "shuffled_labels", "on": ["select"]}]  # all that black boxes choose by
    return {
        "problems": [
            {"label": "digits-turned", "source": {"name": "digits"}, "wrappers": [turned]},
            {"label": "digits-upright", "source": {"name": "digits"}},
            {"label": "digits-shuffled", "source": {"name": "digits"}, "wrappers": lies},
        ],
        "methods": [{"name": "plain"}, {"name": "fixed_policy"}, {"name": "pba", "settings": {"population": 10}}],
        "horizon": 600,
        "budget": 20.0,
        "max_trials": 100,
        "confirm_seeds": 5,
    }
