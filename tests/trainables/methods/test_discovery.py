"""Methods are found by their files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.toy_problems import signal_toy
from tracking.errors import UserError
from trainables import methods
from trainables.contract_toy import toy_context
from trainables.method import MethodConfig
from trainables.modules.meta_recipe import META_DOMAINS, MetaConfig
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig


def test_names_are_the_files() -> None:
    folder = Path(methods.__file__).parent
    assert set(methods.names()) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {"plain", "trivial_augment", "augnet", "unrolled"} <= set(methods.names())


def test_listing_imports_no_method() -> None:
    code = "import sys; from trainables import methods; methods.names(); print([m for m in sys.modules if m.startswith('trainables.methods.')])"  # noqa: E501
    root = Path(methods.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean `augnet`"):
        methods.config_class("augnett")


FROZEN = {"descriptor", "fixed_descriptor", "hyperinvariances", "unconditional"}  # a head on a pre-trained extractor
SIGNALS = {"plain", "learned_ranges", "instance_ranges"}
BRED = {"pba"}  # nothing is sampled: the recipe stays at its defaults


@pytest.mark.parametrize("name", methods.names())
def test_all_methods_that_train_weights_share_the_recipe_and_its_domains(name: str) -> None:
    """Equal treatment: no method's learning rate is tuned over another range."""
    config_class = methods.config_class(name)
    assert issubclass(config_class, MethodConfig)
    if config_class.adapts:  # meta-learners share a recipe of their own
        assert issubclass(config_class, MetaConfig) and config_class.space.root == META_DOMAINS
        shared = {field: default for field, default in MetaConfig().model_dump().items() if field != "architecture"}
        assert shared.items() <= config_class().model_dump().items()
        return
    assert (name in FROZEN) is not issubclass(config_class, RecipeConfig)
    if name in FROZEN:
        return
    domains = {field: domain for field, domain in config_class.space.root.items() if field in RECIPE_DOMAINS}
    assert domains == ({} if name in BRED else RECIPE_DOMAINS)
    own = {"imbalance"} if name == "git" else set()  # delayed resampling is part of the method
    shared = {field: default for field, default in RecipeConfig().model_dump().items() if field not in own}
    assert shared.items() <= config_class().model_dump().items()


@pytest.mark.parametrize("name", [name for name in methods.names() if not methods.config_class(name).adapts])
def test_what_cannot_be_built_on_signals_is_told_before_any_work(name: str) -> None:
    """`fits` raises where `build` would: some methods run on signals, and the others say so first."""
    config, context = methods.config_class(name).quick(), replace(toy_context(), problem=signal_toy().view())

    def refused(ask: Callable[[], object]) -> bool:
        try:
            ask()
        except UserError:
            return True
        return False

    built = refused(lambda: config.build(context))
    assert refused(lambda: config.fits(context.problem, context.network)) == built
    assert built == (name not in SIGNALS)


def test_images_fit_every_method_that_asks_for_them() -> None:
    context = toy_context()
    for name in methods.names():
        if methods.config_class(name).images:
            methods.config_class(name).quick().fits(context.problem, context.network)
