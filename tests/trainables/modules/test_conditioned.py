"""Conditioned extractors: one function, whatever is computed together, and conditioning that is on from the start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from spaces.descriptors import Factor, Family
from tracking.errors import UserError
from trainables import plugins
from trainables.modules.backbones import backbone
from trainables.modules.conditioned import Begin, ConditionedExtractor, Conditioning, ExtractorConfig
from trainables.modules.extractor import Extractor, packed

FACTORS = 3
FAMILY = Family(factors=(Factor.ROTATION, Factor.SCALE, Factor.BLUR))
ALL = [(c, b) for c in Conditioning for b in Begin]


@pytest.fixture(params=ALL, ids=lambda pair: "-".join(pair))
def network(request: pytest.FixtureRequest) -> Iterator[ConditionedExtractor]:
    conditioning, begin = request.param
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield ConditionedExtractor(ExtractorConfig(
            channels=1, factors=FACTORS, width=8, features=16, conditioning=conditioning, begin=begin
        ))


@pytest.mark.parametrize("name", ["mlp", "small_cnn", pytest.param("torchvision/resnet18", marks=pytest.mark.slow)])
def test_other_trunks_are_conditioned_after_them(name: str) -> None:
    config = ExtractorConfig(channels=1, factors=FACTORS, width=8, features=16, network=name, size=(12, 12))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = ConditionedExtractor(config)
    x, i = draw(4, 1, 12, 12), draw(FACTORS, seed=1)
    assert torch.equal(network.train()(x, i), network.eval()(x, i))
    assert not torch.allclose(network(x, i), network(x, 1 - i), atol=1e-3)
    assert torch.allclose(extractor(network).bake(i)(x), network(x, i), atol=1e-5)


@pytest.mark.parametrize(("fields", "word"), [
    ({"network": "mlp"}, "size"), ({"network": "mlp", "size": (12, 12), "begin": "block"}, "pooled"),
])
def test_a_trunk_without_what_it_needs_is_told(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ExtractorConfig(channels=1, factors=FACTORS, **fields)


def test_batch_norm_is_refused() -> None:
    def normalised(shape: tuple[int, ...], outputs: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, outputs), torch.nn.BatchNorm1d(outputs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "network_builder", lambda name: normalised)
        with pytest.raises(UserError, match="BatchNorm"):
            backbone("theirs", (1, 12, 12), 8)


def test_an_unknown_trunk_is_told() -> None:
    with pytest.raises(UserError, match="no network of that name"):
        backbone("mpl", (1, 12, 12), 8)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=Generator().manual_seed(seed))


def test_groups_are_the_same_as_one_by_one(network: ConditionedExtractor) -> None:
    x, descriptors = draw(4, 5, 1, 12, 12), draw(4, FACTORS, seed=1)
    together = network.groups(x, descriptors)
    assert together.shape == (4, 5, 16)
    apart = torch.stack([network(images, i) for images, i in zip(x, descriptors, strict=True)])
    assert torch.allclose(together, apart, atol=1e-5)
    per_image = network(x.flatten(0, 1), descriptors.repeat_interleave(5, 0)).view_as(together)
    assert torch.allclose(together, per_image, atol=1e-5)
    swapped = network.groups(x, descriptors.flip(0))  # negative control: the descriptor matters
    assert not torch.allclose(together, swapped, atol=1e-3)


def test_training_and_evaluation_are_the_same_function(network: ConditionedExtractor) -> None:
    x, i = draw(6, 1, 12, 12), draw(FACTORS, seed=1)
    trained = network.train()(x, i)
    assert torch.equal(trained, network.eval()(x, i))
    assert torch.allclose(trained[:2], network(x[:2], i), atol=1e-6)  # no image depends on the others
    assert torch.allclose(trained.norm(dim=-1), torch.ones(6), atol=1e-5)


def test_conditioning_is_on_from_the_start(network: ConditionedExtractor) -> None:
    """Switching one entry moves features by a measurable share of how far two images lie apart."""
    x = draw(32, 1, 12, 12)
    base = network(x, torch.full((FACTORS,), 0.5))
    spread = (base - base.mean(0)).norm(dim=-1).mean()
    for entry in range(FACTORS):
        off, on = torch.full((FACTORS,), 0.5), torch.full((FACTORS,), 0.5)
        off[entry], on[entry] = 0.0, 1.0
        moved = (network(x, on) - network(x, off)).norm(dim=-1).mean()
        assert moved > 0.1 * spread


def test_the_descriptors_gradient_is_that_of_finite_differences(network: ConditionedExtractor) -> None:
    network = network.double()
    x, i = draw(3, 1, 12, 12).double(), draw(FACTORS, seed=1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda i: network(x, i).sum(0), (i,), atol=1e-6, eps=1e-6)


def extractor(network: ConditionedExtractor) -> Extractor:
    return Extractor(packed(network.config, FAMILY, (1, 12, 12), network.state_dict()))


def test_what_is_packed_comes_back_bit_for_bit(network: ConditionedExtractor) -> None:
    x, i = draw(5, 1, 12, 12), draw(FACTORS, seed=1)
    again = extractor(network)
    response = again.respond(x)
    assert torch.equal(again.finish(response, i[None])[0], network(x, i))
    many = again.finish(response, draw(7, FACTORS, seed=2))
    assert many.shape == (7, 5, 16)


def test_a_baked_extractor_is_the_conditioned_one(network: ConditionedExtractor) -> None:
    x, i = draw(5, 1, 12, 12), draw(FACTORS, seed=1)
    baked = extractor(network).bake(i)
    assert torch.allclose(baked(x), network(x, i), atol=1e-5)
    assert not torch.allclose(baked(x), network(x, 1 - i), atol=1e-3)  # negative control
    assert sum(p.numel() for p in baked.parameters()) < sum(p.numel() for p in network.parameters())
    fresh = extractor(network).bake(1 - i)
    fresh.load_state_dict(baked.state_dict())
    assert torch.equal(fresh(x), baked(x))


@pytest.mark.slow  # the exporter takes seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_baked_extractor_can_be_exported(network: ConditionedExtractor) -> None:
    x = draw(5, 1, 12, 12)
    baked = extractor(network).bake(draw(FACTORS, seed=1))
    program = torch.export.export(baked, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1, max=64)}})
    other = draw(9, 1, 12, 12, seed=4)
    assert torch.allclose(program.module()(other), baked(other), atol=1e-5)


@pytest.mark.parametrize("damage", ["form", "weights", "family", "shape"])
def test_a_damaged_state_is_refused(network: ConditionedExtractor, damage: str) -> None:
    state = packed(network.config, FAMILY, (1, 12, 12), network.state_dict())
    extractor(network)
    state[damage] = {} if damage != "form" else 99
    if damage == "shape":
        del state["shape"]
    with pytest.raises(UserError, match="extractor of this version"):
        Extractor(state)


def test_images_of_another_shape_are_refused(network: ConditionedExtractor) -> None:
    made = extractor(network)
    made.require((1, 12, 12))
    for shape in ((3, 12, 12), (1, 28, 28)):
        with pytest.raises(UserError, match="channels and the size"):
            made.require(shape)
