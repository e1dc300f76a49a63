"""A descriptor from outside and its neighbours: what is tried, and that the best of it is taken."""

from __future__ import annotations

import torch

from tracking.cost import Phase
from trainables.contract_toy import toy_context
from trainables.method import Role
from trainables.methods.fixed_descriptor import Config
from trainables.modules.amortised import AmortisedTask
from trainables.modules.closed_form import best_of
from trainables.modules.descriptor_search import SearchConfig
from trainables.modules.report_card import scores


def loaded() -> AmortisedTask:
    task = AmortisedTask(toy_context())
    task.load(Phase.SEARCH)
    return task


def test_the_best_of_some_descriptors_is_taken_wherever_it_stands() -> None:
    task, candidates = loaded(), torch.eye(7)
    risk = scores(task, candidates, SearchConfig()).risk
    for order in (candidates, candidates.flip(0)):
        chosen = best_of(task, order, SearchConfig(), Phase.SEARCH)
        assert torch.equal(chosen.descriptor, candidates[int(risk.argmin())])
        assert chosen.choices == 7


def test_a_population_is_the_given_descriptor_and_others_within_the_radius() -> None:
    config = Config(rotation=0.9, blur=0.1, population=60, radius=0.2)
    drawn = config._population(loaded(), toy_context().generator(Role.SEARCH))
    given = torch.tensor([0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1])
    assert drawn.shape == (60, 7) and torch.allclose(drawn[0], given)
    away = (drawn[1:] - given).abs()
    assert float(away.max()) <= 0.2 + 1e-6 and float(away.amax(0).min()) > 0.09  # every entry moves
    assert float(drawn.min()) >= 0 and float(drawn.max()) <= 1  # two of them would leave the cube


def test_a_trial_with_a_population_ends_with_its_best_and_says_how_many_there_were() -> None:
    method = Config(population=5).build(toy_context())
    method.step()
    drawn = Config(population=5)._population(loaded(), toy_context().generator(Role.SEARCH))
    risk = scores(loaded(), drawn, SearchConfig()).risk
    assert torch.equal(method.descriptor, drawn[int(risk.argmin())])  # type: ignore[attr-defined]
    assert method.choices == 5  # type: ignore[attr-defined]
