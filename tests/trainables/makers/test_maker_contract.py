"""Every maker under the contract; every check refuses a maker that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from pydantic import create_model

from tests.support.artefacts import MAKER
from tracking.cost import Phase
from trainables import maker_contract as contract
from trainables import makers, plugins
from trainables.maker import MakerContext
from trainables.method import Slice, State

plugins.load([MAKER])
Toy: Any = plugins.maker_config("toy_maker")
SMALL = {"amortised_extractor": {"width": 8, "features": 16, "groups": 2, "images": 4}}  # its defaults take minutes


def small(name: str) -> Any:
    """A maker's configuration class with defaults that take seconds."""
    made = plugins.maker_config(name)
    fields = {field: (made.model_fields[field].annotation, value) for field, value in SMALL.get(name, {}).items()}
    return create_model("Config", __base__=made, **fields) if fields else made  # type: ignore[call-overload]


@pytest.mark.parametrize("check", contract.ALL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [*makers.names(), "toy_maker"])
def test_a_maker_keeps_the_contract(name: str, check: contract.Check) -> None:
    check(small(name))


class _Broken:
    """An honest maker with one member replaced."""

    def __init__(self, inner: Any, context: MakerContext) -> None:
        self.inner, self.context = inner, context

    def step(self) -> Slice:
        return self.inner.step()

    def state_dict(self) -> State:
        return self.inner.state_dict()

    def load_state_dict(self, state: State) -> None:
        self.inner.load_state_dict(state)

    def result(self) -> State:
        return self.inner.result()


def breaking(**members: Callable[..., Any]) -> Any:
    """A configuration class whose maker has other members."""
    maker = type("Maker", (_Broken,), members)

    class Config(Toy):  # type: ignore[misc]  # its base is found at run time
        name: ClassVar[str] = ""

        def build(self, context: MakerContext) -> Any:
            return maker(Toy.build(self, context), context)

    return Config


def noisy(self: Any) -> Slice:
    piece = self.inner.step()
    return Slice({"noise": float(torch.rand(()))}, piece.phase, piece.ready, piece.done)


def uncopied(self: Any) -> Slice:
    """Its weights change in place."""
    piece = self.inner.step()
    self.__dict__.setdefault("kept", torch.zeros(1)).add_(1)
    return piece


def disturbed(self: Any) -> State:
    self.inner._update()
    return self.inner.result()


class Unversioned(Toy):  # type: ignore[misc]
    name: ClassVar[str] = ""
    version: ClassVar[Any] = None


BROKEN = {
    "no version": (contract.check_config, Unversioned, "version"),
    "global generator": (contract.check_same_seed_same_result, breaking(step=noisy), "global random generator"),
    "forgets on loading": (
        contract.check_resume_is_exact, breaking(load_state_dict=lambda self, state: None), "resumed after step 0",
    ),
    "hands out what it changes": (
        contract.check_states_are_snapshots, breaking(step=uncopied, result=lambda self: {"kept": self.kept}),
        "copy its tensors",
    ),
    "trains on when asked": (
        contract.check_states_are_snapshots, breaking(result=disturbed), "asking for the result",
    ),
    "another phase": (
        contract.check_every_step_is_pretraining,
        breaking(step=lambda self: Slice({}, Phase.TRAIN, False, self.inner.step().done)), "phase `pretrain`",
    ),
    "no work": (
        contract.check_every_step_is_pretraining,
        breaking(step=lambda self: Slice({}, Phase.PRETRAIN, False, True)), "charged no FLOPs",
    ),
    "a module": (
        contract.check_result_is_plain_and_finite, breaking(result=lambda self: {"net": torch.nn.Linear(1, 1)}),
        "tensors and plain values",
    ),
    "not a number": (
        contract.check_result_is_plain_and_finite,
        breaking(result=lambda self: {"deep": [torch.tensor([1.0, float("nan")])]}), "not finite",
    ),
}


@pytest.mark.parametrize(("check", "broken", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_maker_is_refused(check: contract.Check, broken: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(broken)
