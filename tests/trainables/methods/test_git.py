"""Generative invariance transfer: what it is made of, and what it says of a generator that does nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tracking.errors import UserError
from trainables.artefact import Artefact
from trainables.contract_toy import toy_context
from trainables.method import Context
from trainables.methods import git, plain
from trainables.modules.generators.choice import NAME
from trainables.modules.generators.measures import Measures
from trainables.modules.imbalance import ImbalanceConfig, Sampling
from trainables.problems.spec import ProblemSpec

DRS = ImbalanceConfig(sampling=Sampling.BALANCED, delay=0.6)


def weights(config: git.Config | plain.Config, context: Context) -> torch.Tensor:
    method = config.build(context)
    while not method.step().done:
        pass
    return torch.cat([p.detach().flatten() for p in method.trunk.network.parameters()])


def test_nothing_replaced_is_delayed_resampling_bit_for_bit() -> None:
    alone = weights(plain.Config(imbalance=DRS), toy_context())
    assert torch.equal(alone, weights(git.Config(replaced=0.0), toy_context()))
    assert not torch.equal(alone, weights(git.Config(), toy_context()))


def test_before_the_start_it_is_delayed_resampling_too() -> None:
    first, second = git.Config().build(toy_context()), plain.Config(imbalance=DRS).build(toy_context())
    first.step()
    second.step()  # two of five updates: 0.4 of the horizon
    pairs = zip(first.trunk.network.parameters(), second.trunk.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_generator_learns_from_the_problem_itself_and_is_shared() -> None:
    problem = ProblemSpec(label="x", source={"name": "digits"}, wrappers=({"name": "few_shot", "shots": 9},))
    needs = [git.Config(cutoff=cutoff, replaced=share).needs(problem, 7) for cutoff, share in ((5, 0.5), (9, 1.0))]
    assert needs[0][NAME].key() == needs[1][NAME].key(), "phase 2's settings cost no further generator"
    assert needs[0][NAME].source == problem and needs[0][NAME].data_seed == 7
    spatial = git.Config.model_validate({"generator": {"kind": "spatial"}}).needs(problem, 7)
    assert spatial[NAME].maker == "spatial_generator"


def with_measures(measures: Measures) -> Context:
    context = toy_context()
    known = context.artefacts[NAME]
    state = {**known.state, "measures": measures.state()}
    return replace(context, artefacts={NAME: Artefact(known.key, known.spec, known.ledger, lambda: state)})


def test_a_collapsed_generator_is_told_and_the_run_is_marked() -> None:
    collapsed = git.Config().build(with_measures(Measures(0.01, 0.2, 0.5, 0.02, 0.5)))
    assert collapsed.describe()["generator/collapsed"] == 1.0
    assert "collapsed to the identity" in collapsed.warnings()[0]
    sound = git.Config().build(with_measures(Measures(0.2, 0.2, 0.5, 0.02, 0.46)))
    assert sound.describe()["generator/collapsed"] == 0.0 and not sound.warnings()


def test_without_its_generator_it_is_refused() -> None:
    with pytest.raises(UserError, match="needs a learned generator"):
        git.Config().build(replace(toy_context(), artefacts={}))
