"""Layer problems: patterns against their definitions, targets against explicit loops, variances against theory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

from tracking.cost import Meter, Phase
from trainables.modules.group_sharing import (
    cyclic,
    equivariance_error,
    mirror_error,
    output_action,
    representation,
    shift_error,
    turn_error,
)
from trainables.problems.layers import Config, LinearLayers
from trainables.problems.patterns import Layer, Pattern, local_pattern, pattern
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.tasks import TaskProblem


def known(layer: Layer, seed: int = 0) -> Pattern:
    return pattern(layer, np.random.default_rng(seed))


def weights(found: Pattern, count: int = 8) -> torch.Tensor:
    v = np.random.default_rng(1).standard_normal((count, found.matrix.shape[1]))
    return torch.from_numpy(v @ found.matrix.T).view(count, *found.weight)


def built(folder: Path, layer: Layer, tasks: int = 60, **fields: int) -> TaskProblem:
    source = {"name": "layers", "layer": layer, "tasks": tasks, **fields}
    problem = ProblemSpec(label="x", source=source).build(0, 0, folder)
    assert isinstance(problem, TaskProblem)
    return problem


@pytest.mark.parametrize(("layer", "variance"), [(Layer.RANK1, 3.0), (Layer.ROT8, 0.64)])
def test_output_variance_is_the_sheets(layer: Layer, variance: float) -> None:
    assert LinearLayers(known(layer)).variance == pytest.approx(variance, abs=0.01)


def test_rank1_is_one_filter_everywhere_and_rank2_is_not() -> None:
    one, two = weights(known(Layer.RANK1)), weights(known(Layer.RANK2))
    for w in one:
        taps = w[0, :3]
        for j in range(68):
            row = torch.zeros(70, dtype=torch.float64)
            row[j : j + 3] = taps
            assert torch.equal(w[j], row)
    assert float(shift_error(one).max()) == 0
    assert float(shift_error(two).min()) > 0.1


def test_local_pattern_mixes_filters_by_position() -> None:
    mixing = np.array([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])
    filters = np.array([[1.0, 2.0], [3.0, 5.0]])
    w = (local_pattern(mixing, 2) @ filters.ravel()).reshape(3, 4)
    assert w.tolist() == [[1, 2, 0, 0], [0, 3, 5, 0], [0, 0, 2.5, 4.25]]


@pytest.mark.parametrize(("layer", "rank"), [
    (Layer.RANK1, 3), (Layer.RANK2, 6), (Layer.RANK5, 15), (Layer.ROT8, 18), (Layer.ROT8_FLIP, 18),
    (Layer.CYCLIC, 16), (Layer.DIHEDRAL, 16),
])
def test_degrees_of_freedom(layer: Layer, rank: int) -> None:
    matrix = known(layer).matrix
    assert matrix.shape[1] == rank == np.linalg.matrix_rank(matrix)


def test_kernels_turn_with_their_channels() -> None:
    w = weights(known(Layer.ROT8))
    assert w.shape == (8, 24, 1, 3, 3)
    assert float(turn_error(w).max()) < 1e-12
    assert float(turn_error(torch.randn(w.shape, generator=Generator().manual_seed(0))).min()) > 1, "negative control"
    for k in range(0, 8, 2):  # by hand: two channels on is a quarter turn counter-clockwise
        assert torch.allclose(w[:, (k + 2) % 8, 0], torch.rot90(w[:, k, 0], 1, (-2, -1)), atol=1e-12)


def test_a_45_degree_turn_moves_every_ring_by_one_pixel_where_it_is_exact() -> None:
    """Turning by 45 degrees eight times is nothing; once is no pixel rotation but keeps what has no angle."""
    w = weights(known(Layer.ROT8))
    assert torch.allclose(w[:, :8, 0, 1, 1], w[:, :1, 0, 1, 1].expand(-1, 8), atol=1e-12), "the centre has no angle"
    means = [w[:, :8, 0].flatten(-2)[..., [1, 3, 5, 7]].mean(-1), w[:, :8, 0].flatten(-2)[..., [0, 2, 6, 8]].mean(-1)]
    assert all(torch.allclose(mean[:, ::2], mean[:, :1].expand(-1, 4), atol=1e-12) for mean in means)


@pytest.mark.parametrize("quarters", range(4))
def test_kernels_of_turns_and_mirrors_know_both(quarters: int) -> None:
    w = weights(known(Layer.ROT8_FLIP))
    assert float(mirror_error(w, quarters).max()) < 1e-12 and float(turn_error(w, quarters).max()) < 1e-12
    noise = torch.randn(w.shape, generator=Generator().manual_seed(0))
    assert float(mirror_error(noise, quarters).min()) > 1, "negative control"
    turned_only = weights(known(Layer.ROT8))
    turned_only = torch.cat((turned_only[:, :8], turned_only[:, :8]), dim=1)  # no mirror image among its channels
    assert float(mirror_error(turned_only, quarters).min()) > 0.1


def test_mirrored_channels_are_mirror_images() -> None:
    w = weights(known(Layer.ROT8_FLIP))[:, :16, 0]  # one field: eight turned, eight turned and mirrored
    assert torch.allclose(w[:, 8], torch.flip(w[:, 0], (-2,)), atol=1e-12), "angle -> -angle turns upside down"
    assert not torch.allclose(w[:, 8], w[:, 0], atol=1e-3)


def test_the_cyclic_layer_commutes_with_every_shift_and_the_dihedral_one_with_its_turns() -> None:
    group = cyclic(16)
    for w in weights(known(Layer.CYCLIC)):
        for g in group:
            assert float(equivariance_error(w, representation(g), output_action(group, g))) < 1e-12
    turns, flip = [*range(1, 8), 0], [(-i) % 8 for i in range(8)]
    for w in weights(known(Layer.DIHEDRAL)):  # outputs: eight turns, eight turned flips; inputs: two orbits
        turn = [*turns, *(8 + t for t in turns)]
        assert torch.allclose(w[[*turns, *(8 + t for t in turns)]][:, turn], w, atol=1e-12)
        swap = [8 + f for f in flip] + flip
        assert torch.allclose(w[swap][:, swap], w, atol=1e-12)
    assert float(equivariance_error(weights(known(Layer.RANK1))[0][:16, :16], representation(group[1]),
                                    output_action(group, group[1]))) > 0.1


@pytest.mark.parametrize("layer", [Layer.RANK2, Layer.ROT8, Layer.DIHEDRAL])
def test_targets_are_those_of_explicit_layers(layer: Layer) -> None:
    found = known(layer)
    v = torch.randn(3, found.matrix.shape[1], generator=Generator().manual_seed(0))
    x = torch.randn(3, 2, *found.shape, generator=Generator().manual_seed(1))
    y = LinearLayers(found).targets(v, x)
    assert y.shape == (3, 2, found.outputs)
    for t in range(3):
        w = (torch.from_numpy(found.matrix).float() @ v[t]).view(found.weight)
        one = torch.conv2d(x[t], w).flatten(1) if w.dim() == 4 else x[t] @ w.T
        assert torch.allclose(y[t], one, atol=1e-5)


def test_the_true_layer_scores_one_and_zero_scores_about_nothing(tmp_path: Path) -> None:
    problem = built(tmp_path, Layer.RANK1, 1000)
    scores = [float(problem.score(torch.zeros_like(query.y), query.y)) for _, query in problem.judged(Split.TEST, 500)]
    assert abs(float(np.mean(scores))) < 0.15  # 500 tasks, each with 3 squared normals: standard error .036
    _, query = next(iter(problem.judged(Split.TEST, 10)))
    assert float(problem.score(query.y, query.y)) == 1


def test_episodes_follow_the_generator_and_the_split(tmp_path: Path) -> None:
    view = built(tmp_path, Layer.RANK1).view()
    first, same, other = (view.episodes(Generator().manual_seed(seed), 4) for seed in (0, 0, 1))
    assert torch.equal(first.query.x, same.query.x) and not torch.equal(first.query.x, other.query.x)
    assert first.support.x.shape == (4, 1, 70) and first.query.y.shape == (4, 19, 68)


def test_labels_of_outer_tasks_are_counted(tmp_path: Path) -> None:
    meter = Meter("cpu")
    view = built(tmp_path, Layer.RANK1).view(meter)  # 48 tasks in the pool: 24, 12 and 12
    view.episodes(Generator().manual_seed(0), 9, Split.TRAIN)
    assert meter.ledger().phases[Phase.TRAIN].label_reads == 0
    view.episodes(Generator().manual_seed(0), 9, Split.OUTER)
    assert meter.ledger().phases[Phase.TRAIN].label_reads == 9 * 20
    view.episodes(Generator().manual_seed(0), 9)
    assert meter.ledger().phases[Phase.TRAIN].label_reads == 9 * 20 + 60
    view.draw(Generator().manual_seed(0), 30, Split.OUTER)
    assert meter.ledger().phases[Phase.TRAIN].label_reads == 9 * 20 + 60 + 30


def test_judged_episodes_are_the_same_each_time_and_differ_by_split(tmp_path: Path) -> None:
    problem = built(tmp_path, Layer.RANK1)
    first, again, other = (
        [query.x for _, query in problem.judged(split, 120)] for split in (Split.TEST, Split.TEST, Split.SELECT)
    )
    assert len(first) == 3
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]), "batches are not repeats of one another"
    assert not torch.equal(first[0], other[0])


def test_fewer_tasks_than_splits_can_hold() -> None:
    with pytest.raises(ValueError, match="15"):
        Config(layer=Layer.RANK1, tasks=10)
