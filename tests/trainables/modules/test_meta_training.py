"""Meta-learners on planted layers: what is recovered, what controls must not do, and rates that explode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.toy_problems import image_toy
from tracking.cost import Meter, Phase
from tracking.errors import UserError
from tracking.flops import FlopCounter
from trainables import methods
from trainables.method import Context
from trainables.modules.group_sharing import (
    cyclic,
    dihedral,
    group_pattern,
    numerical_rank,
    principal_cosines,
    shift_error,
)
from trainables.modules.meta_training import MetaTraining
from trainables.modules.networks import builder
from trainables.modules.sharing_takeaway import equivariance, turned
from trainables.problems.layers import Config as Layers
from trainables.problems.patterns import Layer
from trainables.problems.problem import Problem, Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.tasks import TaskProblem

FULL = {"architecture": "dense", "pattern": "full"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def problem_of(folder: Path, layer: Layer, **fields: int) -> TaskProblem:
    built = ProblemSpec(label="x", source={"name": "layers", "layer": layer, **fields}).build(0, 0, folder)
    assert isinstance(built, TaskProblem)
    return built


def method_of(problem: Problem, name: str, updates: int, **settings: Any) -> MetaTraining:
    meter = Meter("cpu")
    context = Context(
        problem=problem.view(meter), horizon=updates, slice_updates=updates, seed=0, device=torch.device("cpu"),
        meter=meter, network=builder("mlp"),
    )
    method = methods.config_class(name).model_validate(settings).build(context)
    assert isinstance(method, MetaTraining)
    return method


def trained(problem: Problem, name: str, updates: int, **settings: Any) -> MetaTraining:
    method = method_of(problem, name, updates, **settings)
    method.step()
    return method


def mean_loss(problem: TaskProblem, method: MetaTraining, tasks: int = 500) -> float:
    losses = [problem.loss(method.predict(query.x, support), query.y).mean()
              for support, query in problem.judged(Split.TEST, tasks)]
    return float(torch.stack(losses).mean())


def pattern_of(method: MetaTraining) -> torch.Tensor:
    return next(value for name, value in method.slow.items() if name.endswith("pattern")).detach()


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


class TestExport:
    def test_spectrum_rank_and_equivariance_are_there(self, folder: Path, tmp_path: Path) -> None:
        method = trained(problem_of(folder, Layer.RANK1), "msr", 200, **FULL, latent=4, outer_learning_rate=1e-2)
        assert set(method.export(tmp_path)) == {"sharing", "weights", "patterns"}
        told = json.loads((tmp_path / "sharing.json").read_text())
        layer = told["layers"]["layer"]
        assert layer["spectrum"] == pytest.approx(torch.linalg.svdvals(pattern_of(method)).tolist())
        assert layer["rank"] == 3 and layer["equivariance/shift_1"] < 0.2
        assert told["inner_rates"].keys() == method.rates.keys()
        with Image.open(tmp_path / "patterns.png") as picture:
            assert picture.size[0] > 4 * 68 and picture.size[1] > 2 * 68

    def test_equivariance_is_told_by_group_element(self) -> None:
        """Filters of the group's own pattern are equivariant by every element but the identity, noise by none."""
        noise = torch.randn(5, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for group, names in (
            (cyclic(40), {f"shift_{k}" for k in range(1, 40)}),
            (dihedral(8), {f"shift_{k}" for k in range(1, 8)} | {f"mirror_{k}" for k in range(8)}),
        ):
            inputs = len(group[0])
            adapted = (noise[:, :inputs] @ group_pattern(group).T).view(5, len(group), inputs)
            errors = {name: error for name, error in equivariance(adapted).items() if "regular" not in name}
            assert errors.keys() == {f"equivariance/{name}" for name in names}
            assert max(errors.values()) < 1e-12
            other = torch.randn(adapted.shape, generator=torch.Generator().manual_seed(1))
            assert min(equivariance(other).values()) > 0.8

    @pytest.mark.parametrize(("layer", "zero", "other"), [
        (Layer.DIHEDRAL, "/regular_", "/shift_"), (Layer.CYCLIC, "/shift_", "/regular_mirror_"),
    ])
    def test_the_planted_groups_of_sixteen_points_are_told_apart(self, layer: Layer, zero: str, other: str) -> None:
        truth = torch.from_numpy(Layers(layer=layer).pattern(0).matrix)
        filters = torch.randn(5, truth.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        errors = equivariance((filters @ truth.T).view(5, 16, 16))
        assert len(errors) == 15 + 15
        assert max(value for name, value in errors.items() if zero in name) < 1e-12
        assert min(value for name, value in errors.items() if other in name) > 0.3

    def test_groups_that_are_too_large_have_a_few_shifts_only(self) -> None:
        square = torch.randn(2, 65, 65, generator=torch.Generator().manual_seed(0))
        assert equivariance(square).keys() == {f"equivariance/shift_{k}" for k in (1, 2, 4, 8)}

    def test_a_layer_that_knows_only_half_of_the_turns_is_told_by_them(self) -> None:
        """Shifts by two of a cyclic group, without those by one: even elements are exact, odd ones are not."""
        filters = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        rows = [filters[j % 2].roll(j) for j in range(16)]
        errors = equivariance(torch.stack(rows)[None])
        assert len([name for name in errors if "/shift_" in name]) == 15
        assert all((errors[f"equivariance/shift_{k}"] < 1e-12) == (k % 2 == 0) for k in range(1, 16))

    def test_shifts_of_other_layers_run_out_at_the_ends(self) -> None:
        weight = torch.zeros(1, 10, 12)
        for j in range(10):
            weight[0, j, j : j + 3] = torch.tensor([1.0, -2.0, 3.0])
        assert equivariance(weight) == {f"equivariance/shift_{k}": 0.0 for k in (1, 2, 4)}

    def test_directions_are_turned_onto_shifts(self) -> None:
        """Whatever basis U has, what is shown of a convolution's are its three diagonals, each alone."""
        truth = torch.from_numpy(Layers(layer=Layer.RANK1).pattern(0).matrix).float()
        mixing = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
        shown = turned(truth @ mixing, (68, 70)).view(3, 68, 70)
        for direction in range(3):
            diagonals = torch.stack([shown[direction].diagonal(offset) for offset in range(3)])  # (3, 68)
            strengths = diagonals.abs().mean(1) * 68**0.5
            assert sorted(strengths.tolist()) == pytest.approx([0, 0, 1], abs=1e-4)

    def test_kernels_of_a_network_with_several_layers(self, folder: Path, tmp_path: Path) -> None:
        method = trained(problem_of(folder, Layer.ROT8, tasks=20), "msr", 1, architecture="convolution", task_batch=2)
        method.export(tmp_path)
        layer = json.loads((tmp_path / "sharing.json").read_text())["layers"]["layer"]
        assert {"equivariance/turn_90_deg", "equivariance/turn_180_deg", "equivariance/turn_270_deg"} <= layer.keys()
        assert [len(values) for values in layer["spectra_of_factors"]] == [24, 1, 9]
