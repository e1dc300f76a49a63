"""What must hold of any extractor, however briefly trained: on one that was trained for a moment.

The long properties, which need a real training, are in test_properties.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.planted_features import FACTORS, planted
from tracking.storage import Place
from trainables.artefact import Artefact
from trainables.artefact_store import ArtefactStore
from trainables.contract_toy import toy_context
from trainables.methods import descriptor
from trainables.modules.amortised import NAME, AmortisedTask
from trainables.modules.control import features
from trainables.modules.descriptor_search import SearchConfig, SearchKind, search
from trainables.modules.extractor import Extractor
from trainables.modules.ridge import loo_residuals


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return toy_context().artefacts[NAME]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return toy_context().problem.labelled().x[:20]


def drawn(count: int, extractor: Extractor, seed: int = 0) -> Tensor:
    return torch.rand(count, len(extractor.family.factors), generator=Generator().manual_seed(seed))


def test_11_many_descriptors_together_are_one_after_the_other(artefact: Artefact, images: Tensor) -> None:
    extractor = Extractor(artefact.state)
    descriptors = drawn(9, extractor)
    response = extractor.respond(images)
    together = features(extractor, response, descriptors)
    apart = torch.stack([extractor.network(images, one) for one in descriptors])
    assert torch.allclose(together, apart, atol=1e-5)
    assert not torch.allclose(together, apart.flip(0), atol=1e-3)  # negative control


def test_11_training_and_evaluation_see_the_same_features(artefact: Artefact, images: Tensor) -> None:
    extractor = Extractor(artefact.state)
    one = drawn(1, extractor)[0]
    evaluated = extractor.network.eval()(images, one)
    assert torch.equal(extractor.network.train()(images, one), evaluated)


def test_11_what_is_stored_comes_back_bit_for_bit(artefact: Artefact, images: Tensor, tmp_path: Path) -> None:
    store = ArtefactStore(Place.of(tmp_path / "artefacts"))
    store.write(artefact.key, artefact.spec, artefact.state, artefact.ledger)
    before, after = Extractor(artefact.state), Extractor(store.load(artefact.key).state)
    descriptors = drawn(4, before)
    one, other = (made.finish(made.respond(images), descriptors) for made in (before, after))
    assert torch.equal(one, other)


def test_12_the_slope_of_the_leave_one_out_risk_is_that_of_finite_differences(artefact: Artefact) -> None:
    context = toy_context()
    task = AmortisedTask(context)
    task.extractor.network.double()
    x, y = context.problem.labelled()
    response = task.extractor.respond(x.double())
    values = torch.nn.functional.one_hot(y, context.problem.outputs).double()

    def risk(one: Tensor) -> Tensor:
        seen = task.extractor.finish(response, one[None])[0]
        return loo_residuals(seen, values, torch.tensor(-2.0, dtype=torch.float64)).square().sum(-1).mean()

    at = drawn(1, task.extractor)[0].double().requires_grad_()
    assert torch.autograd.gradcheck(risk, (at,), eps=1e-5, atol=1e-6)
    (slope,) = torch.autograd.grad(risk(at), at)
    assert float(slope.abs().min()) > 1e-9  # negative control: every entry has a slope that could have been wrong


@pytest.mark.parametrize("how", [SearchKind.GRADIENT, SearchKind.SURROGATE])
def test_12_what_is_found_lies_in_the_cube_and_depends_on_the_seed_alone(how: SearchKind) -> None:
    """With steps as wide as the cube itself."""
    settings = SearchConfig(learning_rate=5.0, steps=10, points=10)

    def found(seed: int) -> descriptor.Descriptor:
        method = descriptor.Config(search=how, settings=settings).build(toy_context(seed))
        assert isinstance(method, descriptor.Descriptor)
        method.step()
        return method

    first, again, other = found(0), found(0), found(1)
    assert first.result is not None and again.result is not None and other.result is not None
    for method in (first, other):
        assert method.result is not None
        every = method.result.evaluated.descriptors
        assert bool(((every >= 0) & (every <= 1)).all())
    assert torch.equal(first.descriptor, again.descriptor)
    assert torch.equal(first.result.evaluated.losses, again.result.evaluated.losses)
    if how is SearchKind.SURROGATE:  # negative control: another seed draws other descriptors
        assert not torch.equal(first.result.evaluated.descriptors, other.result.evaluated.descriptors)


def test_13_permuted_entries_hide_what_there_is_to_find() -> None:
    """Entry k stands for factor k + 1: the label's factor is then found under another name."""
    task, on, k = planted(0, 200, label_factor=2), torch.ones(FACTORS), 2

    def permuted(descriptors: Tensor, rows: Tensor | None) -> Tensor:
        return task(descriptors.roll(1, -1), rows)

    right, wrong = (
        search(of, task.targets, SearchKind.GRADIENT, on, Generator().manual_seed(0)).choice.descriptor
        for of in (task, permuted)
    )
    assert right[k] < 0.2
    assert wrong[k] > 0.2 and wrong[k - 1] < 0.2
