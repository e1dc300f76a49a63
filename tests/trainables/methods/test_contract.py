"""Every house method under the contract suite, and for every check a broken method that it must reject."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spaces.policies import Policy
from tests.support.broken_methods import (
    AcceptsAnything,
    AliasesItsState,
    Broken,
    ChargesAnotherPhase,
    ChargesNothing,
    DefaultOutsideOfSpace,
    DescribesNan,
    DescribesNothing,
    DividesByZero,
    FindsASearch,
    ForgetsGenerators,
    ForgetsMomentum,
    KeepsPythonObjects,
    LoadsAnything,
    LoadsInParts,
    NeverDone,
    NormalisesOverTheBatch,
    PeeksAtSelect,
    PredictChangesItsInput,
    PredictDraws,
    PredictKeepsAGraph,
    PredictsNan,
    PredictsProbabilityOfOneClass,
    RefusesItsSpace,
    ReportsAReservedName,
    ReportsInfinity,
    RoundsItsSpace,
    SamplesFromItsOwnStream,
    SamplesInPlace,
    SamplesOutOfRange,
    SpaceOfOtherFields,
    StopsEarly,
    UsesGlobalNumpy,
    UsesGlobalPython,
    UsesGlobalTorch,
    WrongError,
)
from trainables import contract, methods
from trainables.contract import Check
from trainables.contract_toy import toy_context, toy_of
from trainables.contract_trace import Trace, run
from trainables.method import MethodConfig

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


REJECTED: list[tuple[Check, type[MethodConfig]]] = [
    (contract.check_space_names_fields, SpaceOfOtherFields),
    (contract.check_space_names_fields, DefaultOutsideOfSpace),
    (contract.check_space_names_fields, RefusesItsSpace),
    (contract.check_space_names_fields, RoundsItsSpace),
    (contract.check_space_names_fields, DividesByZero),
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
