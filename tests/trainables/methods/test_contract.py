"""Every house method under the contract suite, and for every check a broken method that it must reject."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ConfigDict
from torch import Generator, Tensor

from spaces.domain import Float, Space
from spaces.policies import Policy
from tracking.cost import Phase
from trainables import contract, methods
from trainables.contract import Check
from trainables.contract_toy import toy_context, toy_of
from trainables.contract_trace import Trace, run
from trainables.method import Context, Method, MethodConfig, Slice, State
from trainables.methods.plain import Config as PlainConfig
from trainables.modules.supervised import Supervised
from trainables.problems.problem import Batch, Split

ROOT = Path(__file__).resolve().parents[3]

FRESH = """
import sys, torch
from trainables import methods
from trainables.contract_toy import toy_of
from trainables.contract_trace import run
from tests.trainables.methods.test_contract import fingerprint
torch.set_num_threads(1)
for name in sys.argv[1:]:
    config_class = methods.config_class(name)
    print(fingerprint(run(config_class.quick(), toy_of(config_class)())))
"""


FINDING = ("augnet", "unrolled", "implicit", "score_function", "faster_autoaugment", "fast_autoaugment")


@pytest.mark.parametrize("check", contract.ALL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", methods.names())
def test_house_method_keeps_its_contract(name: str, check: Check) -> None:
    check(methods.config_class(name))


@pytest.mark.parametrize("check", contract.ALL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", FINDING)
def test_what_was_found_keeps_the_contract_too(name: str, check: Check) -> None:
    if check in (contract.check_space_names_fields,):
        pytest.skip("a property of the class, which is the searching method's")
    config_class = methods.config_class(name)
    found = config_class().build(toy_context()).found()  # type: ignore[attr-defined]

    class Frozen(config_class):  # type: ignore[misc, valid-type]
        policy: Policy | None = found.policy

    check(Frozen)


def test_same_run_in_a_fresh_process() -> None:
    """Nothing depends on the process: hash seed, import order, memory addresses."""
    environment = {**os.environ, "PYTHONHASHSEED": "random", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *methods.names()],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        classes = [methods.config_class(name) for name in methods.names()]
        here = [fingerprint(run(config_class.quick(), toy_of(config_class)())) for config_class in classes]
    finally:
        torch.set_num_threads(before)
    assert done.stdout.split() == here


def fingerprint(trace: Trace) -> str:
    """Of everything that equal runs share."""
    digest = hashlib.sha256(json.dumps([trace.slices, trace.costs], sort_keys=True).encode())
    for tensor in trace.outputs:
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


# Broken methods: each is `plain` with one fault.


class Broken(PlainConfig):
    """`plain` with small batches, which the faults below start from."""

    name: ClassVar[str] = "broken"
    batch_size: int = 8

    def build(self, context: Context) -> Method:  # type: ignore[override]
        return Supervised(context, self)


class SpaceOfOtherFields(Broken):
    space: ClassVar[Space] = Space({"learning_rat": Float(low=0.1, high=1.0)})


class DefaultOutsideOfSpace(Broken):
    space: ClassVar[Space] = Space({"learning_rate": Float(low=1.0, high=2.0)})


class AcceptsAnything(Broken):
    model_config = ConfigDict(extra="ignore")


class _Fault(Broken):
    """Builds the class in `method`."""

    method: ClassVar[type[Supervised]]

    def build(self, context: Context) -> Method:  # type: ignore[override]
        return self.method(context, self)


class UsesGlobalTorch(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            with torch.no_grad():
                for parameter in self.trunk.network.parameters():
                    parameter += 0.01 * torch.randn_like(parameter)
            return super().step()


class UsesGlobalNumpy(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            np.random.rand()  # noqa: NPY002
            return super().step()


class UsesGlobalPython(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            random.random()
            return super().step()


class ForgetsMomentum(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            super().load_state_dict(state)
            for buffers in self.trunk._optimiser.state.values():
                buffers["momentum_buffer"].zero_()


class ForgetsGenerators(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            super().load_state_dict({**state, "generators": super().state_dict()["generators"]})


class AliasesItsState(_Fault):
    class method(Supervised):
        def state_dict(self) -> State:
            state = super().state_dict()
            return {**state, "trunk": {**state["trunk"], "network": self.trunk.network.state_dict()}}


class KeepsPythonObjects(_Fault):
    class method(Supervised):
        def state_dict(self) -> State:
            return {**super().state_dict(), "path": ROOT}

        def load_state_dict(self, state: State) -> None:
            super().load_state_dict({k: v for k, v in state.items() if k != "path"})


class LoadsInParts(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            if "trunk" in state:
                with torch.no_grad():
                    next(self.trunk.network.parameters()).zero_()
            super().load_state_dict(state)


class LoadsAnything(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            if state.keys() == self.state_dict().keys():
                super().load_state_dict(state)


class WrongError(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            try:
                super().load_state_dict(state)
            except ValueError as error:
                raise KeyError("oops") from error


class PredictDraws(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x + torch.rand(x.shape, generator=self._noise))


class PredictsProbabilityOfOneClass(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x)[:, :1]


class PredictsNan(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x) * float("nan")


class PredictKeepsAGraph(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            outputs: Tensor = self.trunk.network(x)
            return outputs


class PredictChangesItsInput(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x.clamp_(0.2, 0.8))


class NormalisesOverTheBatch(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x - x.mean(0, keepdim=True))


class ChargesNothing(_Fault):
    class method(Supervised):
        def _update(self) -> Tensor:
            x, y = self._context.problem.draw(self._order, 8)
            loss = self._context.problem.loss(self.trunk.network(x), y).mean()
            self.trunk.update(torch.autograd.grad(loss, tuple(self.trunk.network.parameters())))
            return loss.detach()


class ChargesAnotherPhase(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice(piece.metrics, Phase.SEARCH, piece.ready, piece.done)


class PeeksAtSelect(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            with suppress(PermissionError):  # and hides it
                self._context.problem.draw(self._order, 8, Split.SELECT)
            return super().step()


class ReportsAReservedName(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice({**piece.metrics, "val/score": 1.0}, piece.phase, piece.ready, piece.done)


class ReportsInfinity(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice({"train/loss": float("inf")}, piece.phase, piece.ready, piece.done)


class StopsEarly(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice(piece.metrics, piece.phase, piece.ready, True)


class NeverDone(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step() if not self.trunk.finished else Slice({}, Phase.TRAIN, True, True)
            return Slice(piece.metrics, piece.phase, piece.ready, False)


class DescribesNan(_Fault):
    class method(Supervised):
        def describe(self) -> Mapping[str, float]:
            return {"rotation/width_deg": float("nan")}


class DescribesNothing(_Fault):
    class method(Supervised):
        def describe(self) -> Mapping[str, float]:
            return {}


class SamplesFromItsOwnStream(_Fault):
    class method(Supervised):
        def sample(self, x: Tensor, generator: Generator) -> Tensor:
            return (x + 0.1 * torch.rand(x.shape, generator=self._noise)).clamp(0, 1)


class SamplesOutOfRange(_Fault):
    class method(Supervised):
        def sample(self, x: Tensor, generator: Generator) -> Tensor:
            return x + torch.randn(x.shape, generator=generator)


class SamplesInPlace(_Fault):
    class method(Supervised):
        def sample(self, x: Tensor, generator: Generator) -> Tensor:
            return x.mul_(0.5)


class FindsASearch(Broken):
    """What it finds is the search itself."""

    def build(self, context: Context) -> Method:  # type: ignore[override]
        config = methods.config_class("unrolled")()
        method: Any = config.build(context)
        method.found = lambda: config
        return method  # type: ignore[no-any-return]


REJECTED: list[tuple[Check, type[MethodConfig]]] = [
    (contract.check_space_names_fields, SpaceOfOtherFields),
    (contract.check_space_names_fields, DefaultOutsideOfSpace),
    (contract.check_config_survives_json, AcceptsAnything),
    (contract.check_same_seed_same_run, UsesGlobalTorch),
    (contract.check_leaves_global_generators, UsesGlobalTorch),
    (contract.check_leaves_global_generators, UsesGlobalNumpy),
    (contract.check_leaves_global_generators, UsesGlobalPython),
    (contract.check_resume_is_exact, ForgetsMomentum),
    (contract.check_resume_is_exact, ForgetsGenerators),
    (contract.check_resume_is_exact, KeepsPythonObjects),
    (contract.check_state_is_a_snapshot, AliasesItsState),
    (contract.check_bad_state_changes_nothing, LoadsInParts),
    (contract.check_bad_state_changes_nothing, LoadsAnything),
    (contract.check_bad_state_changes_nothing, WrongError),
    (contract.check_predict_has_no_side_effects, PredictDraws),
    (contract.check_predict_has_no_side_effects, PredictsProbabilityOfOneClass),
    (contract.check_predict_has_no_side_effects, PredictsNan),
    (contract.check_predict_has_no_side_effects, PredictKeepsAGraph),
    (contract.check_predict_has_no_side_effects, PredictChangesItsInput),
    (contract.check_predict_is_per_example, NormalisesOverTheBatch),
    (contract.check_every_step_is_charged, ChargesNothing),
    (contract.check_every_step_is_charged, ChargesAnotherPhase),
    (contract.check_reads_train_and_outer_only, PeeksAtSelect),
    (contract.check_metrics_are_its_own, ReportsAReservedName),
    (contract.check_metrics_are_its_own, ReportsInfinity),
    (contract.check_done_at_the_horizon, StopsEarly),
    (contract.check_done_at_the_horizon, NeverDone),
    (contract.check_describe_is_finite, DescribesNan),
    (contract.check_describe_is_finite, DescribesNothing),
    (contract.check_sample, SamplesFromItsOwnStream),
    (contract.check_sample, SamplesOutOfRange),
    (contract.check_sample, SamplesInPlace),
    (contract.check_found_is_free_of_search, FindsASearch),
]


@pytest.mark.parametrize(
    ("check", "broken"), REJECTED, ids=[f"{check.__name__}-{broken.__name__}" for check, broken in REJECTED]
)
def test_check_rejects_a_broken_method(check: Check, broken: type[MethodConfig]) -> None:
    check(Broken)  # holds without the fault, so what is rejected is the fault
    with pytest.raises(AssertionError):
        check(broken)


def test_every_check_has_a_negative_control() -> None:
    assert {check for check, _ in REJECTED} == set(contract.ALL_CHECKS)
