"""Complete comparisons by name; every table in the README names its recipe.

A recipe is a function of this module without arguments that returns the fields of `Comparison`; its docstring's first
line is what `invsearch recipes` shows.
"""

from __future__ import annotations

from typing import Any

from search.recipe_book import book, chosen, lines


def digits() -> dict[str, Any]:
    """The main job: handwritten digits, one problem where rotation invariance helps, one where it harms."""
    return {
        "problems": [_rotated_digits(shots=30), _which_rotation(shots=20)],
        "methods": [
            {"name": "plain"},
            {"name": "trivial_augment"},
            {"name": "augnet"},
            # A shorter search than the default, so that the common budget holds at least six of its trials.
            {"name": "unrolled", "settings": {"search_fraction": 0.5, "outer_interval": 2}},
            # On short pre-trainings; `invsearch pretrain digits` makes a better extractor.
            {"name": "descriptor", "settings": {"extractor": {"quality": "quick"}}},
            {"name": "hyperinvariances", "settings": {"extractor": {"quality": "quick"}}},
            {"name": "unconditional", "settings": {"extractor": {"quality": "quick"}}},
        ],
        "horizon": 240,
        "budget": 14.0,
        "confirm_seeds": 5,
    }


def layers() -> dict[str, Any]:
    """Learned augmentation layers and their controls: glyphs that may be turned by 45 degrees, and digits twice."""
    return {
        "problems": [
            {
                "label": "glyphs", "source": {"name": "glyphs", "images": 400, "test": 2000},
                "limits": {"rotation": 180.0},
            },
            _rotated_digits(shots=30),
            _which_rotation(shots=20),
        ],
        "methods": [{"name": name} for name in ("plain", "trivial_augment", "augnet", "augerino", "learned_ranges")],
        "horizon": 240,
        "budget": 8.0,
        "confirm_seeds": 5,
    }


def policies() -> dict[str, Any]:
    """Every search of augmentation policies and its controls on digits, at twenty plain trainings each."""
    return {
        "problems": [_rotated_digits(shots=30), _which_rotation(shots=20)],
        "methods": [*_policy_rows(), _oracle(60.0)],
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


def cifar10() -> dict[str, Any]:
    """Learned layers against fixed augmentation on CIFAR-10, a ResNet-18, for one GPU; downloads to `data`."""
    recipe = {"batch_size": 128}
    names = ("plain", "trivial_augment", "augnet", "augerino", "learned_ranges", "instance_ranges")
    return {
        "problems": [{
            "label": "cifar10",
            "source": {"name": "torchvision", "dataset": "CIFAR10", "root": "data", "size": 32},
        }],
        "methods": [{"name": name, "settings": recipe} for name in names],
        "network": "resnet18",
        "resources": {"cpus": 2, "gpus": 1},
        "horizon": 19_500,  # about 65 epochs of train + outer
        "budget": 4.0,
        "confirm_seeds": 3,
    }


def reward_sweep() -> dict[str, Any]:
    """What the weight of the reward does to learned ranges: six weights on glyphs whose classes leave 45 degrees."""
    weights = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
    return {
        "problems": [{"label": "glyphs", "source": {"name": "glyphs", "images": 1000, "test": 2000}}],
        "methods": [{"name": "plain"}, *(
            {"name": "learned_ranges", "label": f"reward-{weight:g}", "settings": {"reward": weight}}
            for weight in weights
        )],
        "horizon": 480,
        "budget": 5.0,
        "confirm_seeds": 5,
    }


def smoke() -> dict[str, Any]:
    """A minute: two methods, one problem, just enough to see every layer work."""
    return {
        "problems": [_rotated_digits(shots=20)],
        "methods": [{"name": "plain"}, {"name": "trivial_augment"}],
        "horizon": 48,
        "slices": 6,
        "budget": 3.0,
        "confirm_seeds": 2,
    }


def big() -> dict[str, Any]:
    """For a cluster: six public data sets in four settings each, four methods, ten seeds; downloads to `data`."""
    sets: list[dict[str, Any]] = [{"name": "digits"}, *(
        {"name": "torchvision", "dataset": dataset, "root": "data", "size": size}
        for dataset, size in [("MNIST", 28), ("FashionMNIST", 28), ("KMNIST", 28), ("SVHN", 32), ("CIFAR10", 32)]
    )]
    few = {"name": "few_shot", "shots": 50}
    elsewhere = ["outer", "select", "test"]
    settings: dict[str, list[dict[str, Any]]] = {
        "upright": [few],
        "rotated": [few, {"name": "nuisance", "ranges": {"rotation": 60.0}, "on": elsewhere}],
        "shifted": [few, {"name": "nuisance", "ranges": {"translate_x": 0.2, "translate_y": 0.2}, "on": elsewhere}],
        "which-rotation": [
            few, {"name": "transform_label", "operation": "rotation", "values": [-30.0, -10.0, 10.0, 30.0]},
        ],
    }
    return {
        "problems": [
            {"label": f"{source.get('dataset', 'digits')}-{setting}", "source": source, "wrappers": wrappers}
            for source in sets for setting, wrappers in settings.items()
        ],
        "methods": digits()["methods"],
        "horizon": 960,
        "budget": 24.0,
        "confirm_seeds": 10,
    }


def names() -> dict[str, str]:
    """Recipe -> its one line."""
    return lines(book(__name__))


def get(name: str) -> dict[str, Any]:
    """The fields of the recipe's comparison; UserError with the nearest name."""
    return chosen(book(__name__), name)


def _policy_rows() -> list[dict[str, Any]]:
    """Controls, gradient searches, density matching with either of its choices, and the black box."""
    names = (
        "plain", "trivial_augment", "rand_augment", "uniform_policy", "random_policy", "unrolled", "implicit",
        "score_function", "fixed_policy", "pba",
    )
    varied: list[tuple[str, str, dict[str, Any]]] = [
        ("plain", "plain-long", {"length": 19.0}),  # one training that takes the budget
        *(("faster_autoaugment", f"faster_autoaugment-{reference}", {"reference": reference})
          for reference in ("train", "outer")),
        *(("fast_autoaugment", f"fast_autoaugment-{reward}", {"reward": reward}) for reward in ("mean", "any")),
        # Its population is what the budget holds, so smaller budgets are rows of their own.
        *(("pba", f"pba-{members}", {"population": members}) for members in (2, 5)),
    ]
    return [
        *({"name": name} for name in names),
        *({"name": name, "label": label, "settings": settings} for name, label, settings in varied),
    ]


def _oracle(half_width_deg: float) -> dict[str, Any]:
    """Told what was planted."""
    return {"name": "oracle", "settings": {"ranges": {"rotation": half_width_deg}}}


def _rotated_digits(shots: int) -> dict[str, Any]:
    """Few digits, upright in `train` and turned by up to 60 degrees elsewhere: knowing the invariance replaces data."""
    return {
        "label": "digits-rotated",
        "source": {"name": "digits"},
        "wrappers": [
            {"name": "few_shot", "shots": shots},
            {"name": "nuisance", "ranges": {"rotation": 60.0}, "on": ["outer", "select", "test"]},
        ],
    }


def _which_rotation(shots: int) -> dict[str, Any]:
    """The label is how far the digit was turned: invariance to rotation makes the task impossible."""
    return {
        "label": "which-rotation",
        "source": {"name": "digits"},
        "wrappers": [
            {"name": "few_shot", "shots": shots},
            {"name": "transform_label", "operation": "rotation", "values": [-30.0, -10.0, 10.0, 30.0]},
        ],
    }
