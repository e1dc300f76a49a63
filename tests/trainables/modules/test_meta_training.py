"""Meta-learners on planted layers: what is recovered, what controls must not do, and rates that explode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.meta_learners import FULL, method_of, pattern_of, problem_of, trained
from tests.support.toy_problems import image_toy
from tracking.cost import Phase
from tracking.errors import UserError
from tracking.flops import FlopCounter
from trainables.modules.group_sharing import (
    numerical_rank,
    principal_cosines,
    shift_error,
)
from trainables.modules.meta_training import MetaTraining
from trainables.problems.layers import Config as Layers
from trainables.problems.patterns import Layer
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.tasks import TaskProblem


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def mean_loss(problem: TaskProblem, method: MetaTraining, tasks: int = 500) -> float:
    losses = [problem.loss(method.predict(query.x, support), query.y).mean()
              for support, query in problem.judged(Split.TEST, tasks)]
    return float(torch.stack(losses).mean())


def test_the_cyclic_group_is_found_and_a_dense_layer_finds_nothing(folder: Path) -> None:
    """16 points, 16 outputs, a filter of 16: 8 supports; errors as a share of E[y^2] = 16."""
    problem = problem_of(folder, Layer.CYCLIC, shots=8, queries=12)
    method = trained(problem, "msr", 500, **FULL, latent=16, deviation=0.1, outer_learning_rate=1e-2)
    truth = torch.from_numpy(Layers(layer=Layer.CYCLIC).pattern(0).matrix)
    assert float(principal_cosines(pattern_of(method), truth).min()) > 0.99
    assert numerical_rank(pattern_of(method)) == 16
    assert mean_loss(problem, method) < 0.1 * 16
    dense = trained(problem, "maml", 500, architecture="dense", outer_learning_rate=1e-2)
    assert mean_loss(problem, dense) > 0.4 * 16


@pytest.mark.slow
def test_rank1_as_the_sheet_has_it(folder: Path) -> None:
    """1,000 updates, three inner steps: MSE <= .02, cosines >= .99, shifts commute; a dense layer learns nothing."""
    problem = problem_of(folder, Layer.RANK1)
    published = {"rate_form": "linear", "inner_rate": 0.1, "decay": False, "outer_learning_rate": 1e-3}
    method = trained(problem, "msr", 1000, **FULL, latent=3, **published)
    truth = torch.from_numpy(Layers(layer=Layer.RANK1).pattern(0).matrix)
    assert mean_loss(problem, method, 2000) <= 0.02
    assert float(principal_cosines(pattern_of(method), truth).min()) >= 0.99
    support, _ = next(problem.judged(Split.TEST, 50))
    adapted = method.weights(support)
    assert adapted is not None and float(shift_error(adapted).mean()) <= 0.05
    assert mean_loss(problem, trained(problem, "maml", 1000, architecture="dense", **published), 2000) >= 2.6


@pytest.mark.slow
def test_latent_sizes_below_the_truth_fail_and_above_it_show_in_the_spectrum(folder: Path) -> None:
    problem = problem_of(folder, Layer.RANK1)
    losses = {k: trained(problem, "msr", 600, **FULL, latent=k) for k in (1, 2, 3, 6)}
    found = {k: mean_loss(problem, method, 2000) for k, method in losses.items()}
    assert found[1] > 1.5 and found[2] > 0.8
    assert max(found[3], found[6]) < 0.1
    assert [numerical_rank(pattern_of(losses[k])) for k in (3, 6)] == [3, 3]


def test_gain_and_diagonal_share_nothing(folder: Path) -> None:
    problem = problem_of(folder, Layer.RANK1, tasks=500)
    for pattern in ("gain", "diagonal"):
        method = trained(problem, "msr", 200, architecture="dense", pattern=pattern, outer_learning_rate=1e-2)
        assert mean_loss(problem, method) > 2, pattern
    sharing = trained(problem, "msr", 200, **FULL, latent=3, outer_learning_rate=1e-2)
    assert mean_loss(problem, sharing) < 0.1


def test_head_only_adapts_the_last_layer_alone(folder: Path) -> None:
    problem = problem_of(folder, Layer.CYCLIC, tasks=60)
    method = method_of(problem, "maml", 2, head_only=True)
    whole = method_of(problem, "maml", 2)
    assert len(method.rates) == 2 < len(whole.rates)
    support, _ = next(problem.judged(Split.TEST, 3))
    moved = method._loop.weights(method.fast, method.slow, method.rates, support)
    changed = {name for name, value in moved.items() if not torch.equal(value, method.fast[name].expand_as(value))}
    assert changed == set(method.rates)


class TestExplodingRates:
    def test_are_halved_counted_and_told(self, folder: Path) -> None:
        problem = problem_of(folder, Layer.CYCLIC, tasks=60)
        method = trained(problem, "maml", 30, architecture="dense", inner_rate=3000.0)
        explosions = float(method._explosions)
        assert explosions >= 3
        assert max(float(rate.detach()) for rate in method.rates.values()) < 3000 / 2 ** (explosions - 1)
        told, = method.warnings()
        assert f"in {int(explosions)} of 30 updates" in told and "inner_rate" in told
        assert all(bool(value.isfinite().all()) for value in (*method.fast.values(), *method.rates.values()))

    def test_that_overflow_count_too_and_end_no_trial(self, folder: Path) -> None:
        problem = problem_of(folder, Layer.CYCLIC, tasks=60)
        method = method_of(problem, "maml", 3, architecture="dense", inner_rate=1e4, inner_steps=12)
        piece = method.step()
        assert float(method._explosions) == 3
        assert all(np.isfinite(value) for value in piece.metrics.values())

    def test_change_no_weights(self, folder: Path) -> None:
        problem = problem_of(folder, Layer.CYCLIC, tasks=60)
        method = method_of(problem, "maml", 3, architecture="dense", inner_rate=3000.0)
        before = {name: value.detach().clone() for name, value in method.fast.items()}
        method.step()
        assert float(method._explosions) == 3
        assert all(torch.equal(before[name], value) for name, value in method.fast.items())

    def test_change_no_weights_after_ordinary_updates_either(self, folder: Path) -> None:
        """Adam would go on as it was going; with the momentum forgotten only the rates are halved."""
        problem = problem_of(folder, Layer.RANK1, tasks=60)
        method = method_of(problem, "msr", 30, **FULL, latent=4, outer_learning_rate=1e-2)
        for _ in range(10):
            method._update()
        before = [value.detach().clone() for value in method.network.parameters()]
        rates = {name: float(rate.detach()) for name, rate in method.rates.items()}
        method._untouched.mul_(1e-9)
        method._update()
        assert float(method._explosions) == 1
        assert all(map(torch.equal, before, method.network.parameters()))
        halved = {name: float(rate.detach()) for name, rate in method.rates.items()}
        assert halved == pytest.approx({name: rate / 2 for name, rate in rates.items()})
        method._untouched.mul_(1e9)
        method._update()
        assert not any(map(torch.equal, before, method.network.parameters())), "the next ordinary one is taken"

    def test_never_become_negative(self, folder: Path) -> None:
        """A published rate that Adam carried below zero is at zero after the next update's end."""
        problem = problem_of(folder, Layer.RANK1, tasks=60)
        method = method_of(problem, "maml", 2, architecture="dense", rate_form="linear", inner_rate=0.1)
        with torch.no_grad():
            method.raw_rates["layer.filter"].fill_(-5.0)
        method._update()
        assert float(method.rates["layer.filter"].detach()) == 0

    def test_are_bounded_and_told(self, folder: Path) -> None:
        problem = problem_of(folder, Layer.RANK1, tasks=60)
        method = trained(problem, "maml", 20, architecture="convolution", most_rate=0.02, inner_rate=0.019,
                         outer_learning_rate=0.05)
        assert float(method.rates["layer.weight"].detach()) == pytest.approx(0.02)
        told, = method.warnings()
        assert "layer.weight stands at its bound 0.02" in told

    def test_ordinary_ones_are_left_alone(self, folder: Path) -> None:
        problem = problem_of(folder, Layer.RANK1, tasks=60)
        method = trained(problem, "maml", 20, architecture="convolution", inner_rate=0.1)
        assert method.warnings() == [] and float(method._explosions) == 0


def test_predictions_of_a_task_depend_on_its_support_alone(folder: Path) -> None:
    problem = problem_of(folder, Layer.RANK1, tasks=60)
    method = trained(problem, "msr", 20, **FULL, deviation=0.1)
    support, query = next(problem.judged(Split.TEST, 6))
    together = method.predict(query.x, support)
    alone = method.predict(query.x[2:3], type(support)(support.x[2:3], support.y[2:3]))
    assert torch.allclose(together[2:3], alone, atol=1e-5)
    swapped = method.predict(query.x, type(support)(support.x.roll(1, 0), support.y.roll(1, 0)))
    assert not torch.allclose(together, swapped, atol=1e-2)


@pytest.mark.parametrize(("settings", "message"), [
    ({**FULL, "latent": 5000}, "`latent` must lie in 1 to 4760"),
    ({**FULL, "architecture": "convolution"}, "dense layers and kernels"),
    ({**FULL, "architecture": "local"}, "dense layers and kernels"),
])
def test_settings_that_do_not_fit(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        method_of(problem_of(folder, Layer.RANK1, tasks=60), "msr", 2, **settings)


def test_problems_that_are_not_made_of_tasks_and_layers_for_images(folder: Path) -> None:
    with pytest.raises(UserError, match="made of tasks"):
        method_of(image_toy(), "msr", 2)
    wrapper = {"name": "episodes", "ways": 3}
    images = ProblemSpec(label="x", source={"name": "digits"}, wrappers=[wrapper], shares=(0.4, 0.2, 0.4))
    with pytest.raises(UserError, match="for layer problems"):
        method_of(images.build(0, 0, folder), "msr", 2, architecture="dense")
    with pytest.raises(UserError, match="one-dimensional"):
        method_of(problem_of(folder, Layer.ROT8, tasks=20), "maml", 2, architecture="local")


def test_every_update_is_charged_what_it_costs(folder: Path) -> None:
    """The look at untouched weights happens once and is charged once, beside updates that all cost the same."""
    problem = problem_of(folder, Layer.CYCLIC, tasks=60)
    costs = []
    for updates in (1, 2, 3):
        method = trained(problem, "maml", updates, architecture="dense")
        costs.append(method._context.meter.ledger().phases[Phase.TRAIN].flops)
    update = costs[1] - costs[0]
    _, query = problem.view().episodes(torch.Generator().manual_seed(0), 32)
    counter = FlopCounter()
    with counter:
        problem.loss(method.predict(query.x.flatten(0, 1)), query.y.flatten(0, 1)).mean()
    assert costs[2] - costs[1] == update > 0
    assert costs[0] - update == counter.flops
