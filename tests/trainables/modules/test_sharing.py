"""Sharing patterns: exact groups, what a step on v does to W, and that all but FULL start as the plain layer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d

from tracking.errors import UserError
from trainables.modules.group_sharing import (
    Permutation,
    compose,
    cyclic,
    dihedral,
    energy_within,
    equivariance_error,
    group_pattern,
    inverse,
    numerical_rank,
    output_action,
    principal_cosines,
    representation,
    shift_error,
)
from trainables.modules.networks import mlp, small_cnn
from trainables.modules.sharing import (
    Diagonal,
    FullSharing,
    Gain,
    KroneckerSharing,
    LocallyConnected1d,
    SharedConv2d,
    SharedLinear,
    Sharing,
    split_parameters,
)
from trainables.modules.sharing_network import Pattern, shared

GROUPS: dict[str, list[Permutation]] = {
    "Z_8": cyclic(8), "D_6": dihedral(6), "S_4": list(itertools.permutations(range(4))),
}


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def worst(weight: Tensor, group: Sequence[Permutation]) -> float:
    return max(
        float(equivariance_error(weight, representation(g, weight.dtype), output_action(group, g, weight.dtype)))
        for g in group
    )


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
class TestGroups:
    def test_is_a_group_and_acts_as_one(self, group: list[Permutation]) -> None:
        assert len(set(group)) == len(group)
        for g, h in itertools.product(group, repeat=2):
            assert compose(g, h) in group
            assert compose(g, inverse(g)) == tuple(range(len(g)))
            assert torch.equal(representation(compose(g, h)), representation(g) @ representation(h))

    def test_every_filter_gives_an_equivariant_layer(self, group: list[Permutation]) -> None:
        v = torch.randn(len(group[0]), generator=generator(), dtype=torch.float64)
        weight = (group_pattern(group) @ v).view(len(group), -1)
        x = torch.randn(len(v), generator=generator(1), dtype=torch.float64)
        for j, g in enumerate(group):  # the definition: (W x)[j] = sum_i v[g_j^-1 i] x[i]
            expected = sum(v[inverse(g)[i]] * x[i] for i in range(len(v)))
            assert torch.allclose(weight[j] @ x, expected, atol=1e-12)  # type: ignore[arg-type]
        assert worst(weight, group) < 1e-13
        assert int(torch.linalg.matrix_rank(group_pattern(group))) == len(v)

    def test_every_equivariant_layer_has_a_filter(self, group: list[Permutation]) -> None:
        """The mean over the group of a random layer is equivariant, and lies in the pattern's column space."""
        weight = torch.randn(len(group), len(group[0]), generator=generator(), dtype=torch.float64)
        mean = torch.stack([
            output_action(group, g).T @ weight @ representation(g) for g in group
        ]).mean(0)
        assert worst(mean, group) < 1e-13
        assert worst(weight, group) > 0.5
        assert float(energy_within(mean.flatten()[:, None], group_pattern(group))) == pytest.approx(1)

    def test_a_step_on_the_filter_keeps_it(self, group: list[Permutation]) -> None:
        pattern = group_pattern(group)
        v = torch.randn(pattern.shape[1], generator=generator(), dtype=torch.float64, requires_grad=True)
        x, y = (torch.randn(5, n, generator=generator(2), dtype=torch.float64) for n in (len(group[0]), len(group)))
        loss = (x @ (pattern @ v).view(len(group), -1).T - y).square().mean()
        gradient, = torch.autograd.grad(loss, v)
        assert float(gradient.abs().max()) > 1e-3
        assert worst((pattern @ (v - gradient).detach()).view(len(group), -1), group) < 1e-13

    def test_the_error_grows_linearly_with_a_perturbation(self, group: list[Permutation]) -> None:
        pattern = group_pattern(group)
        noise = torch.randn(pattern.shape, generator=generator(3), dtype=torch.float64)
        v = torch.randn(pattern.shape[1], generator=generator(), dtype=torch.float64)
        errors = [worst(((pattern + size * noise) @ v).view(len(group), -1), group) for size in (1e-5, 2e-5, 4e-5)]
        assert errors[1] / errors[0] == pytest.approx(2, rel=1e-3)
        assert errors[2] / errors[0] == pytest.approx(4, rel=1e-3)


def forms(shape: tuple[int, ...]) -> list[Sharing]:
    kronecker = KroneckerSharing(shape).double()
    with torch.no_grad():
        for factor in kronecker.parameters():
            factor += 0.3 * torch.randn(factor.shape, generator=generator(4), dtype=torch.float64)
    diagonal = Diagonal(shape).double()
    with torch.no_grad():
        diagonal.diagonal.copy_(torch.randn(shape, generator=generator(5), dtype=torch.float64))
    return [FullSharing(shape, 4, generator()).double(), kronecker, Gain(shape).double(), diagonal]


@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3, 3)])
@pytest.mark.parametrize("which", range(4))
def test_a_step_on_v_moves_the_weights_by_u_u_transposed(shape: tuple[int, ...], which: int) -> None:
    form = forms(shape)[which]
    v = torch.randn(form.start, generator=generator(6), dtype=torch.float64, requires_grad=True)
    weight = form(v)
    pull = torch.randn(shape, generator=generator(7), dtype=torch.float64)  # dL/dW of L = <pull, W>
    gradient, = torch.autograd.grad((pull * weight).sum(), v)
    moved = form(v - 0.1 * gradient) - weight
    matrix = form.matrix()
    assert matrix.shape == (weight.numel(), v.numel())
    expected = -0.1 * (matrix @ matrix.T @ pull.flatten())
    assert torch.allclose(moved.flatten(), expected, atol=1e-12)


def test_kronecker_is_the_product_of_its_factors() -> None:
    form = KroneckerSharing((3, 5)).double()
    a, b = (torch.randn(n, n, generator=generator(n), dtype=torch.float64) for n in (3, 5))
    with torch.no_grad():
        for factor, value in zip(form.factors, (a, b), strict=True):
            factor.copy_(value)
    assert torch.allclose(form.matrix(), torch.kron(a, b))
    w = torch.randn(3, 5, generator=generator(), dtype=torch.float64)
    assert torch.allclose(form(w), a @ w @ b.T)


@pytest.mark.parametrize("pattern", [Pattern.KRONECKER, Pattern.GAIN, Pattern.DIAGONAL])
@pytest.mark.parametrize("build", [small_cnn, mlp])
def test_a_network_with_patterns_begins_as_the_plain_one(pattern: Pattern, build: object) -> None:
    torch.manual_seed(0)
    network = build((1, 8, 8), 3)  # type: ignore[operator]
    x = torch.rand(5, 1, 8, 8, generator=generator())
    before = network(x)
    count = sum(1 for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d)))
    assert shared(network, pattern, 4, 0.01, generator()) is network
    assert torch.allclose(network(x), before, atol=1e-5)
    fast, slow = split_parameters(network)
    assert len({name.rpartition(".sharing")[0] for name in slow}) == count - 1, "all layers but the last"
    assert not fast.keys() & slow.keys()
    assert fast.keys() | slow.keys() == dict(network.named_parameters()).keys()
    with torch.no_grad():  # negative control: the pattern matters (a gain's effect a normalisation takes out again)
        for parameter in slow.values():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator(1)))
    assert pattern is Pattern.GAIN or not torch.allclose(network(x), before, atol=1e-3)


def test_a_shared_convolution_without_sharing_is_torchs() -> None:
    layer = SharedConv2d(Sharing((4, 2, 3, 3)), True, generator(), padding=1)
    x = torch.randn(3, 2, 7, 6, generator=generator(1))
    assert torch.equal(layer(x), conv2d(x, layer.filter, layer.bias, padding=1))


def test_locally_connected_with_one_filter_is_a_convolution() -> None:
    layer = LocallyConnected1d(10, 3, generator())
    with torch.no_grad():
        layer.weight.copy_(layer.weight[:1].expand(8, 3))
    x = torch.randn(4, 10, generator=generator(1))
    assert torch.allclose(layer(x), torch.conv1d(x[:, None], layer.weight[:1, None])[:, 0], atol=1e-6)


@pytest.mark.parametrize("latent", [0, 16])
def test_latent_sizes_out_of_range(latent: int) -> None:
    with pytest.raises(UserError, match="1 to 15"):
        FullSharing((3, 5), latent, generator())


@pytest.mark.parametrize("layer", [
    nn.Conv2d(1, 2, 3, stride=2), nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(1, 2, 3, dilation=2),
    nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
])
def test_convolutions_that_patterns_cannot_stand_for(layer: nn.Module) -> None:
    network = nn.Sequential(layer, nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UserError, match="stride 1"):
        shared(network, Pattern.KRONECKER, 1, 0.01, generator())


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 2, 3), nn.ConvTranspose2d(1, 2, 3)])
def test_layers_that_would_be_left_out_silently(layer: nn.Module) -> None:
    with pytest.raises(UserError, match="linear layers and Conv2d"):
        shared(nn.Sequential(layer, nn.Flatten(), nn.Linear(4, 2)), Pattern.KRONECKER, 1, 0.01, generator())


def test_latent_sizes_of_a_network_are_cut_to_a_layers_and_no_larger_than_the_largest() -> None:
    """Layers of 6, 12 and 8 weights, of which the last stays plain."""
    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 6), nn.Linear(6, 2))

    made = shared(network(), Pattern.FULL, 12, 0.01, generator())
    assert [len(layer.filter) for layer in made if isinstance(layer, SharedLinear)] == [6, 12]
    with pytest.raises(UserError, match="1 to 12, the largest layer's"):
        shared(network(), Pattern.FULL, 13, 0.01, generator())
    shared(network(), Pattern.GAIN, 13, 0.01, generator())  # has no latent size


def test_a_free_pattern_begins_near_zero() -> None:
    """U ~ N(0, deviation^2) and v ~ N(0, 1 / m^2): of 136,000 and 2,000 draws, within four standard errors."""
    sharing = FullSharing((68, 40), 50, generator(), 0.01)
    v = torch.cat([sharing.first(generator(seed)) for seed in range(40)])
    u = sharing.matrix().detach()
    assert float(u.std()) == pytest.approx(0.01, rel=4 / (2 * 136_000) ** 0.5)
    assert float(v.std()) == pytest.approx(1 / 68, rel=4 / (2 * 2_000) ** 0.5)
    assert abs(float(u.mean())) < 4 * 0.01 / 136_000**0.5


def test_a_network_without_layers() -> None:
    with pytest.raises(UserError, match="needs a layer"):
        shared(nn.Flatten(), Pattern.KRONECKER, 1, 0.01, generator())


class TestMeasures:
    def test_cosines_do_not_depend_on_the_basis_and_see_a_turned_direction(self) -> None:
        truth = torch.eye(6, dtype=torch.float64)[:, :3]
        mixing = torch.randn(3, 3, generator=generator(), dtype=torch.float64)
        assert principal_cosines(truth @ mixing, truth).tolist() == pytest.approx([1, 1, 1])
        turned = truth.clone()
        angle = torch.tensor(0.5, dtype=torch.float64)
        turned[2, 2], turned[3, 2] = torch.cos(angle), torch.sin(angle)
        assert principal_cosines(turned @ mixing, truth).tolist() == pytest.approx([1, 1, float(torch.cos(angle))])

    def test_faint_columns_are_no_part_of_what_was_learned(self) -> None:
        truth = torch.eye(6, dtype=torch.float64)[:, :2]
        more = torch.cat([truth, 0.05 * torch.eye(6, dtype=torch.float64)[:, 4:]], dim=1)
        assert principal_cosines(more, truth).tolist() == pytest.approx([1, 1])
        assert numerical_rank(more) == 2
        assert float(energy_within(more, truth)) == pytest.approx(2 / (2 + 2 * 0.05**2))

    def test_a_random_space_is_told_from_the_truth(self) -> None:
        """3 of 200 dimensions at random: the largest cosine is about 2 sqrt(3 / 200) = .24."""
        truth = torch.eye(200, dtype=torch.float64)[:, :3]
        assert float(principal_cosines(torch.randn(200, 3, generator=generator()), truth).max()) < 0.5

    def test_shift_error_of_a_convolution_is_zero_and_of_noise_the_square_root_of_two(self) -> None:
        taps = torch.randn(3, generator=generator())
        weight = torch.zeros(68, 70)
        for j in range(68):
            weight[j, j : j + 3] = taps
        assert float(shift_error(weight)) == 0
        assert float(shift_error(torch.randn(68, 70, generator=generator()))) == pytest.approx(2**0.5, rel=0.05)


def test_shared_linear_takes_any_leading_axes() -> None:
    layer = SharedLinear(KroneckerSharing((3, 5)), True, generator())
    x = torch.randn(2, 4, 5, generator=generator())
    assert torch.allclose(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
