"""`invsearch pretrain`: from a few words to a sweep that makes one artefact, the one that comparisons then find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from search import pretrain_recipes, pretraining
from search.pretraining import Pretraining
from search.settings import Limits
from search.wanted import wanted_of
from tests.support.artefacts import MAKER, SOURCE, spec
from tests.support.simulation import needy
from tracking.errors import UserError

TOYS = Path(__file__).resolve().parents[1] / "support" / "toy_problems.py"


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A file as a user writes it: a bare source."""
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({"maker": "toy_maker", "source": {"name": "toy_images"}}))
    return path


def load(source: Path, *overrides: str) -> Any:
    return pretraining.load(str(source), overrides, [TOYS, MAKER.path])


def test_a_file_describes_one_artefact(described: Path) -> None:
    comparison = load(described, "settings.horizon=7", "limits.trials=3", "hang_seconds=5", "seed=2", "data_seed=4",
                      "making_workers=2", "resources.cpus=2")
    (made,) = comparison.artefacts
    assert (made.maker, made.settings["horizon"], made.seed, made.data_seed) == ("toy_maker", 7, 2, 4)
    assert made.source.label == "toy_images"
    assert (comparison.problems, comparison.methods) == ((), ())
    assert (comparison.limits, comparison.hang_seconds, comparison.seed) == (Limits(trials=3), 5.0, 4)
    assert comparison.protocol().making_workers == 2


def test_a_whole_problem_may_be_the_source(described: Path, tmp_path: Path) -> None:
    path = tmp_path / "whole.yaml"
    path.write_text(yaml.safe_dump({"maker": "toy_maker", "source": SOURCE}))
    (whole,), (bare,) = load(path).artefacts, load(described).artefacts
    assert whole == spec() and bare.key() == whole.key(), "what it is called does not count"


def test_a_comparison_with_the_same_seed_uses_what_was_made() -> None:
    """The key that a method asks for is the key of what `pretrain` makes."""
    for seed in (0, 3):
        made = Pretraining.model_validate(
            {"maker": "toy_maker", "source": {"name": "digits"}, "data_seed": seed, "plugins": needy().plugins}
        ).comparison()
        assert wanted_of(made).specs.keys() == wanted_of(needy(seed=seed)).specs.keys()
    assert wanted_of(needy(seed=0)).specs.keys() != wanted_of(needy(seed=3)).specs.keys(), "the control"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["maker=toy_makr"], ["toy_makr", "did you mean `toy_maker`"]),
        (["settings.horizn=3"], ["horizn", "did you mean `horizon`"]),
        (["settings.horizon=0"], ["horizon", "0"]),
        (["settngs={}"], ["settngs", "did you mean `settings`"]),
        (["source.name=toy_imges"], ["toy_imges", "did you mean `toy_images`"]),
        (["source.nois=3"], ["nois", "did you mean `noise`"]),
        (["limits.trails=3"], ["trails", "did you mean `trials`"]),
    ],
)
def test_a_mistake_is_told_with_the_nearest_name(described: Path, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as told:
        load(described, *overrides)
    assert all(word in str(told.value) for word in words), str(told.value)


def test_every_recipe_is_a_whole_description() -> None:
    assert {"digits", "digits_quick", "mnist"} <= pretrain_recipes.names().keys()
    keys = [pretraining.load(name).artefacts[0].key() for name in pretrain_recipes.names()]
    assert len(set(keys)) == len(keys)
    with pytest.raises(UserError, match="did you mean `digits`"):
        pretraining.load("digit")
