"""The rows beside ours are what they are called: the papers' method as published, an ordinary extractor as control."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainables.makers.test_amortised_extractor import build
from trainables import methods
from trainables.contract_toy import toy_context
from trainables.makers.amortised_extractor import Config
from trainables.problems.spec import ProblemSpec

LAMBDAS = ("sensitivity", "calibration", "erasure", "leakage")


def asked(name: str) -> dict[str, Any]:
    """The settings of the extractor that a method asks for."""
    source = ProblemSpec.model_validate({"label": "digits", "source": {"name": "digits"}})
    (spec,) = methods.config_class(name)().needs(source, 0).values()
    return dict(spec.settings)


def test_the_papers_extractor_is_the_papers() -> None:
    """Kernels from a hyper-network, corners, off is omitted, a head for each corner, the contrastive loss alone."""
    settings = asked("hyperinvariances")
    named = {name: settings[name] for name in ("conditioning", "begin", "views", "heads", "descriptors")}
    assert named == {
        "conditioning": "kernels", "begin": "block", "views": "omit", "heads": "per_corner", "descriptors": "corners",
    }
    assert all(settings[name] == 0 for name in LAMBDAS)


def test_the_ordinary_extractor_ignores_everything_and_is_told_nothing_else() -> None:
    settings = asked("unconditional")
    assert settings["descriptors"] == "fixed" and settings["fixed_entry"] == 1.0 and not settings["fixed"]
    assert all(settings[name] == 0 for name in LAMBDAS)


def test_ours_is_neither() -> None:
    settings = asked("descriptor")
    assert settings["descriptors"] == "continuous" and settings["views"] == "share"
    assert settings["calibration"] > 0 and settings["sensitivity"] > 0


def test_all_share_the_network_and_the_length() -> None:
    """Equal treatment: what differs is what the method is about."""
    ours = asked("descriptor")
    for name in ("hyperinvariances", "unconditional"):
        other = asked(name)
        for field in ("horizon", "width", "features", "groups", "images", "temperature", "learning_rate", "limits"):
            assert other[field] == ours[field], (name, field)


def test_trained_corners_have_two_entries_on_at_least() -> None:
    """2^7 - 7 - 1 of seven factors, each with a head of its own."""
    settings = {name: value for name, value in asked("hyperinvariances").items() if name in Config.model_fields}
    maker, _ = build({**settings, "horizon": 5, "width": 8, "features": 16, "groups": 3, "images": 4})
    assert len(maker._corners) == 120 and int(maker._corners.sum(1).min()) == 2


@pytest.mark.parametrize("start", [0.5, 0.25])
def test_the_papers_descriptor_starts_where_it_is_told(start: float) -> None:
    """At the middle of the cube, as published, unless another start is set."""
    assert methods.config_class("hyperinvariances")().start == 0.5  # type: ignore[attr-defined]
    method = methods.config_class("hyperinvariances").model_validate({"start": start}).build(toy_context())
    assert set(method.describe().values()) == {start}


def test_the_ordinary_extractor_is_used_all_on() -> None:
    method = methods.config_class("unconditional")().build(toy_context())
    method.step()
    assert {value for name, value in method.describe().items() if name.startswith("descriptor/")} == {1.0}
    assert torch.equal(method.descriptor, torch.ones(7))  # type: ignore[attr-defined]
