"""Complete comparisons by name; every table in the README names its recipe.

A recipe is a function of this module, of `policy_recipes` or `tail_recipes`, without arguments that returns the fields
of `Comparison`; its docstring's first line is what `invsearch recipes` shows.
"""

from __future__ import annotations

from typing import Any

from search import policy_recipes, tail_recipes
from search.recipe_book import Recipe, book, chosen, lines
from search.recipe_parts import (
    crop_and_flip,
    everything,
    meta_learners,
    planted,
    published,
    rotated_digits,
    turned_episodes,
    which_rotation,
)


def digits() -> dict[str, Any]:
    """The main job: handwritten digits, one problem where rotation invariance helps, one where it harms."""
    return {
        "problems": [rotated_digits(shots=30), which_rotation(shots=20)],
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
            rotated_digits(shots=30),
            which_rotation(shots=20),
        ],
        "methods": [
            {"name": name}
            for name in ("plain", "fixed_ranges", "trivial_augment", "augnet", "augerino", "learned_ranges")
        ],
        "horizon": 240,
        "budget": 8.0,
        "confirm_seeds": 5,
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
        "methods": [crop_and_flip(recipe), *({"name": name, "settings": recipe} for name in names)],
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


def expressivity() -> dict[str, Any]:
    """Do learned ranges depend on what the network could learn itself? Three networks, two layers, turned glyphs."""
    networks = ("mlp", "small_cnn", "conv4")
    return {
        "problems": [{"label": "glyphs", "source": {"name": "glyphs", "images": 1000, "test": 2000}}],
        "methods": [
            {"name": name, "label": f"{name}-{network}", "network": network}
            for name in ("plain", "learned_ranges", "augnet") for network in networks
        ],
        "horizon": 480,
        "budget": 5.0,
        "confirm_seeds": 5,
    }


def smoke() -> dict[str, Any]:
    """A minute: two methods, one problem, just enough to see every layer work."""
    return {
        "problems": [rotated_digits(shots=20)],
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


def benchmark_digits() -> dict[str, Any]:
    """The big table: nearly every method on seven planted problems of digits, five seeds; many hours on two cores."""
    return {
        "problems": planted({"name": "digits"}, "digits"), "methods": everything("standard", 10.0),
        "horizon": 240, "budget": 10.0, "confirm_seeds": 5,
    }


def benchmark_mnist() -> dict[str, Any]:
    """A rotation that helps and one that harms on MNIST, one or two methods of each family; downloads to `data`."""
    source = {"name": "torchvision", "dataset": "MNIST", "root": "data", "limit": 5000}
    named = (
        "plain", "plain-long", "trivial_augment", "random_policy", "unrolled", "score_function", "fixed_policy",
        "fast_autoaugment-mean", "augnet", "augerino", "learned_ranges", "descriptor", "hyperinvariances",
        "unconditional",
    )
    asked = ("mnist-rotated", "mnist-which-rotation")
    return {
        "problems": [problem for problem in planted(source, "mnist") if problem["label"] in asked],
        "methods": [row for row in everything("quick", 10.0) if row.get("label", row["name"]) in named],
        "horizon": 240, "budget": 10.0, "confirm_seeds": 5,
    }


def benchmark_cifar10() -> dict[str, Any]:
    """Every method that scales to it on CIFAR-10 with a ResNet-18, five seeds, for a GPU; downloads to `data`."""
    small = ("hyperinvariances", "descriptor", "unconditional")  # their extractors are for small images
    batch = {"batch_size": 128}
    return {
        **cifar10(),
        "methods": [crop_and_flip(batch), *(
            {**row, "settings": {**row.get("settings", {}), **batch}}
            for row in everything("standard", 12.0) if row["name"] not in small
        )],
        "budget": 12.0,  # two trials of the dearest searches
        "confirm_seeds": 5,
    }


def symmetries() -> dict[str, Any]:
    """Meta-learned symmetries on layers with planted ones, inner rates tuned over four decades for every method."""
    layers = ("rank1", "rank2", "rank5")
    pair: list[tuple[str, str, dict[str, Any]]] = [
        ("maml", "maml-convolution", {"architecture": "convolution"}),
        ("msr", "msr-6", {"architecture": "dense", "pattern": "full", "latent": 6}),
    ]
    return {
        "problems": [{"label": layer, "source": {"name": "layers", "layer": layer}} for layer in layers],
        "methods": [
            *({"name": "maml", "label": f"maml-{kind}", "settings": {"architecture": kind}}
              for kind in ("dense", "local", "convolution")),
            *({"name": "msr", "label": f"msr-{k}",
               "settings": {"architecture": "dense", "pattern": "full", "latent": k}} for k in (6, 30)),
            *({"name": "msr", "label": f"preconditioner-{kind}",
               "settings": {"architecture": "dense", "pattern": kind}} for kind in ("gain", "diagonal")),
            # As published: one inner step and a rate that starts at .1 and moves by .001 per update.
            *({"name": name, "label": f"{label}-published", "settings": {**settings, **published()}}
              for name, label, settings in pair),
        ],
        "network": "mlp",
        "horizon": 2000,
        "slices": 20,
        "asha": {"grace": 0.5},  # the loss stands still for the first hundreds of updates
        "budget": 60.0,
        "max_trials": 16,  # a convolution's cost a hundredth of `msr-30`'s, and a rate over four decades needs no more
        "confirm_seeds": 5,
    }


def augmented_episodes() -> dict[str, Any]:
    """Tasks of digits that were not seen, upright support and turned queries: does sharing help a small network?"""
    return {
        "problems": [turned_episodes({"name": "digits"}, "digits-episodes")],
        "methods": meta_learners({"task_batch": 16}),
        "horizon": 500,
        "slices": 10,
        "asha": {"grace": 0.5},  # as of `symmetries`
        "budget": 60.0,
        "confirm_seeds": 5,
    }


def augmented_episodes_mnist() -> dict[str, Any]:
    """The same on 5,000 images of MNIST; downloads to `data`; some hours on two cores."""
    source = {"name": "torchvision", "dataset": "MNIST", "root": "data", "limit": 5000}
    return {**augmented_episodes(), "problems": [turned_episodes(source, "mnist-episodes")]}


def augmented_omniglot() -> dict[str, Any]:
    """Augmented Omniglot, 5 ways and 1 shot, four blocks of 32 filters, for a GPU; downloads to `data`."""
    source = {"name": "torchvision", "dataset": "Omniglot", "root": "data", "size": 28}
    moves = {"rotation": 30.0, "scale": 0.1, "flip_horizontal": 1.0, "flip_vertical": 1.0}
    episodes = {"name": "episodes", "ways": 5, "shots": 1, "queries": 5, "ranges": moves, "test_classes": 200}
    return {
        "problems": [{"label": "augmented-omniglot", "source": source, "wrappers": [episodes]}],
        "methods": meta_learners({"task_batch": 32}),
        "network": "conv4",
        "resources": {"cpus": 2, "gpus": 1},
        "horizon": 20_000,
        "slices": 20,
        "budget": 200.0,
        "confirm_seeds": 5,
        "hang_seconds": 3600.0,
    }


def names() -> dict[str, str]:
    """Recipe -> its one line."""
    return lines(_books())


def get(name: str) -> dict[str, Any]:
    """The fields of the recipe's comparison; UserError with the nearest name."""
    return chosen(_books(), name)


def _books() -> dict[str, Recipe]:
    return {**book(__name__), **book(policy_recipes.__name__), **book(tail_recipes.__name__)}
