"""Rows and problems that several recipes share."""

from __future__ import annotations

from typing import Any

# Rows of the comparison of policies alone: other settings of a method that is there already.
VARIANTS = (
    "plain-long", "pba-2", "pba-5", "trivial_augment-wide", "trivial_augment-ra", "uniform_policy-half",
    "unrolled-short",
)


def everything(quality: str, budget: float) -> list[dict[str, Any]]:
    """Every method that needs not be told the answer and of which a few trials fit in ten plain trainings.

    `lila` is left out: one of its trainings is 22 plain ones (16 copies, and fewer find nothing). A control that spends
    the budget on a single long training is in.

    Args:
        quality: of the extractors.
        budget: of the tuning, in plain trainings.
    """
    amortised = ("descriptor", "hyperinvariances", "unconditional")
    layers = ("augnet", "augerino", "learned_ranges", "instance_ranges")
    return [
        *(row for row in policy_rows() if row.get("label") not in VARIANTS),
        {"name": "plain", "label": "plain-long", "settings": {"length": budget - 1}},
        *({"name": name} for name in layers),
        *({"name": name, "settings": {"extractor": {"quality": quality}}} for name in amortised),
    ]


def policy_rows() -> list[dict[str, Any]]:
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
        *(("trivial_augment", f"trivial_augment-{variant}", {"variant": variant}) for variant in ("wide", "ra")),
        ("uniform_policy", "uniform_policy-half", {"magnitude": 0.5}),  # where the black box begins
        # At its defaults one trial is more than five plain trainings.
        ("unrolled", "unrolled-short", {"search_fraction": 0.5, "outer_interval": 4}),
    ]
    return [
        *({"name": name} for name in names),
        *({"name": name, "label": label, "settings": settings} for name, label, settings in varied),
    ]


def crop_and_flip(settings: dict[str, Any]) -> dict[str, Any]:
    """What CIFAR-10 is augmented with by custom: shifts by up to 4 pixels of 32 and mirror images."""
    ranges = {"translate_x": 0.125, "translate_y": 0.125, "flip_horizontal": 0.5}
    return {"name": "fixed_ranges", "label": "crop-and-flip", "settings": {"ranges": ranges, **settings}}


def published() -> dict[str, Any]:
    """Settings of MSR's published code that are not ours."""
    return {
        "rate_form": "linear", "inner_rate": 0.1, "inner_steps": 1, "decay": False, "outer_learning_rate": 1e-3,
    }


def meta_learners(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """MAML, its head alone, sharing, and the step sizes of sharing without the sharing; equal settings.

    And two of them as published, with nothing tuned.
    """
    old = {**settings, **published()}
    return [
        {"name": "maml", "settings": settings},
        {"name": "maml", "label": "anil", "settings": {"head_only": True, **settings}},
        *({"name": "msr", "label": f"msr-{kind}", "settings": {"pattern": kind, **settings}}
          for kind in ("kronecker", "gain", "diagonal")),
        {"name": "maml", "label": "maml-published", "settings": old},
        {"name": "msr", "label": "msr-kronecker-published", "settings": {"pattern": "kronecker", **old}},
    ]


def turned_episodes(source: dict[str, Any], label: str) -> dict[str, Any]:
    """Ten classes: three for tests, and of the seven others 3, 1 and 3 for train, outer and select."""
    turned = {"name": "episodes", "ways": 3, "shots": 1, "queries": 5, "ranges": {"rotation": 45.0}}
    return {"label": label, "source": source, "wrappers": [turned], "shares": [0.4, 0.2, 0.4]}


def oracle(half_width_deg: float) -> dict[str, Any]:
    """Told what was planted."""
    return {"name": "oracle", "settings": {"ranges": {"rotation": half_width_deg}}}


def rotated_digits(shots: int) -> dict[str, Any]:
    """Few digits, upright in `train` and turned by up to 60 degrees elsewhere: knowing the invariance replaces data."""
    return {
        "label": "digits-rotated",
        "source": {"name": "digits"},
        "wrappers": [
            {"name": "few_shot", "shots": shots},
            {"name": "nuisance", "ranges": {"rotation": 60.0}, "on": ["outer", "select", "test"]},
        ],
    }


def which_rotation(shots: int) -> dict[str, Any]:
    """The label is how far the digit was turned: invariance to rotation makes the task impossible."""
    return {
        "label": "which-rotation",
        "source": {"name": "digits"},
        "wrappers": [
            {"name": "few_shot", "shots": shots},
            {"name": "transform_label", "operation": "rotation", "values": [-30.0, -10.0, 10.0, 30.0]},
        ],
    }


def planted(source: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    """One source seven times: as it is, four invariances missing from `train`, two labels that they would harm."""
    few, elsewhere = {"name": "few_shot", "shots": 30}, ["outer", "select", "test"]
    missing: dict[str, dict[str, float]] = {
        "rotated": {"rotation": 60.0}, "shifted": {"translate_x": 0.2, "translate_y": 0.2}, "scaled": {"scale": 0.35},
        "contrast": {"contrast": 0.7},
    }
    labels = {
        "which-rotation": ("rotation", [-30.0, -10.0, 10.0, 30.0]),
        "which-contrast": ("contrast", [-0.6, -0.2, 0.2, 0.6]),
    }
    return [
        {"label": f"{prefix}-upright", "source": source, "wrappers": [few]},
        *({"label": f"{prefix}-{name}", "source": source,
           "wrappers": [few, {"name": "nuisance", "ranges": ranges, "on": elsewhere}]}
          for name, ranges in missing.items()),
        *({"label": f"{prefix}-{name}", "source": source,
           "wrappers": [few, {"name": "transform_label", "operation": operation, "values": values}]}
          for name, (operation, values) in labels.items()),
    ]
