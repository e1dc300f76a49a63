"""What meta-learned sharing leaves behind: spectra, equivariance by group element, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.support.meta_learners import FULL, pattern_of, problem_of, trained
from trainables.modules.group_sharing import cyclic, dihedral, group_pattern
from trainables.modules.sharing_takeaway import equivariance, turned
from trainables.problems.layers import Config as Layers
from trainables.problems.patterns import Layer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_spectrum_rank_and_equivariance_are_there(folder: Path, tmp_path: Path) -> None:
    method = trained(problem_of(folder, Layer.RANK1), "msr", 200, **FULL, latent=4, outer_learning_rate=1e-2)
    assert set(method.export(tmp_path)) == {"sharing", "weights", "patterns"}
    told = json.loads((tmp_path / "sharing.json").read_text())
    layer = told["layers"]["layer"]
    assert layer["spectrum"] == pytest.approx(torch.linalg.svdvals(pattern_of(method)).tolist())
    assert layer["rank"] == 3 and layer["equivariance/shift_1"] < 0.2
    assert told["inner_rates"].keys() == method.rates.keys()
    with Image.open(tmp_path / "patterns.png") as picture:
        assert picture.size[0] > 4 * 68 and picture.size[1] > 2 * 68


def test_equivariance_is_told_by_group_element() -> None:
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
def test_the_planted_groups_of_sixteen_points_are_told_apart(layer: Layer, zero: str, other: str) -> None:
    truth = torch.from_numpy(Layers(layer=layer).pattern(0).matrix)
    filters = torch.randn(5, truth.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = equivariance((filters @ truth.T).view(5, 16, 16))
    assert len(errors) == 15 + 15
    assert max(value for name, value in errors.items() if zero in name) < 1e-12
    assert min(value for name, value in errors.items() if other in name) > 0.3


def test_groups_that_are_too_large_have_a_few_shifts_only() -> None:
    square = torch.randn(2, 65, 65, generator=torch.Generator().manual_seed(0))
    assert equivariance(square).keys() == {f"equivariance/shift_{k}" for k in (1, 2, 4, 8)}


def test_a_layer_that_knows_only_half_of_the_turns_is_told_by_them() -> None:
    """Shifts by two of a cyclic group, without those by one: even elements are exact, odd ones are not."""
    filters = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = [filters[j % 2].roll(j) for j in range(16)]
    errors = equivariance(torch.stack(rows)[None])
    assert len([name for name in errors if "/shift_" in name]) == 15
    assert all((errors[f"equivariance/shift_{k}"] < 1e-12) == (k % 2 == 0) for k in range(1, 16))


def test_kernels_in_fields_of_sixteen_are_told_by_turns_and_mirrors() -> None:
    truth = Layers(layer=Layer.ROT8_FLIP).pattern(0)
    matrix = torch.from_numpy(truth.matrix)
    filters = torch.randn(3, matrix.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = equivariance((filters @ matrix.T).view(3, *truth.weight))
    turns = {f"equivariance/turn_{90 * k}_deg" for k in (1, 2, 3)}
    assert errors.keys() == turns | {f"equivariance/mirror_{90 * k}_deg" for k in range(4)}
    assert max(errors.values()) < 1e-12
    assert equivariance(torch.randn(3, 24, 1, 3, 3)).keys() == turns


def test_shifts_of_other_layers_run_out_at_the_ends() -> None:
    weight = torch.zeros(1, 10, 12)
    for j in range(10):
        weight[0, j, j : j + 3] = torch.tensor([1.0, -2.0, 3.0])
    assert equivariance(weight) == {f"equivariance/shift_{k}": 0.0 for k in (1, 2, 4)}


def test_directions_are_turned_onto_shifts() -> None:
    """Whatever basis U has, what is shown of a convolution's are its three diagonals, each alone."""
    truth = torch.from_numpy(Layers(layer=Layer.RANK1).pattern(0).matrix).float()
    mixing = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    shown = turned(truth @ mixing, (68, 70)).view(3, 68, 70)
    for direction in range(3):
        diagonals = torch.stack([shown[direction].diagonal(offset) for offset in range(3)])  # (3, 68)
        strengths = diagonals.abs().mean(1) * 68**0.5
        assert sorted(strengths.tolist()) == pytest.approx([0, 0, 1], abs=1e-4)


def test_kernels_of_a_network_with_several_layers(folder: Path, tmp_path: Path) -> None:
    method = trained(problem_of(folder, Layer.ROT8, tasks=20), "msr", 1, architecture="convolution", task_batch=2)
    method.export(tmp_path)
    layer = json.loads((tmp_path / "sharing.json").read_text())["layers"]["layer"]
    assert {"equivariance/turn_90_deg", "equivariance/turn_180_deg", "equivariance/turn_270_deg"} <= layer.keys()
    assert [len(values) for values in layer["spectra_of_factors"]] == [24, 1, 9]
