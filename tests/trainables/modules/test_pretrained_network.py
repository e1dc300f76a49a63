"""Methods that train weights can start from the pre-trained trunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tracking.errors import UserError
from trainables import methods
from trainables.contract_toy import toy_context
from trainables.method import Method
from trainables.modules.amortised import NAME, ExtractorChoice
from trainables.modules.extractor import Extractor
from trainables.modules.pretrained_network import on_trunk
from trainables.problems.spec import ProblemSpec


def build(name: str, **settings: Any) -> Method:
    return methods.config_class(name).model_validate(settings).build(toy_context())


def steps(method: Method) -> Iterator[bool]:
    while True:
        done = method.step().done
        yield done
        if done:
            return


def test_the_network_is_the_extractor_with_all_on_under_a_fresh_head() -> None:
    context = toy_context()
    network = on_trunk(context).build_network()
    extractor = Extractor(context.artefacts[NAME].state)
    x = context.problem.labelled().x[:5]
    features = extractor.finish(extractor.respond(x), torch.ones(1, len(extractor.family.factors)))[0]
    expected = network.head(features * extractor.features**0.5)
    assert torch.allclose(network(x), expected, atol=1e-5)
    assert all(parameter.requires_grad for parameter in network.parameters())
    again = on_trunk(toy_context()).build_network()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", ["plain", "trivial_augment", "augnet", "unrolled"])
def test_every_method_that_trains_weights_takes_it(name: str) -> None:
    trained, fresh = (build(name, pretrained=choice) for choice in ({}, None))
    x = toy_context().problem.labelled().x[:5]
    assert not torch.equal(trained.predict(x), fresh.predict(x))
    before = trained.predict(x)
    assert list(steps(trained))[-1]
    assert not torch.equal(trained.predict(x), before)


def test_the_trunk_is_asked_for_and_shared() -> None:
    problem = ProblemSpec.model_validate({"label": "digits", "source": {"name": "digits"}})
    plain, unrolled, descriptor = (methods.config_class(name) for name in ("plain", "unrolled", "descriptor"))
    assert plain().needs(problem, 0) == {}
    wanted = plain(pretrained=ExtractorChoice()).needs(problem, 0)[NAME].key()
    assert wanted == unrolled(pretrained=ExtractorChoice()).needs(problem, 0)[NAME].key()
    assert wanted == descriptor().needs(problem, 0)[NAME].key()
    assert wanted != plain(pretrained=ExtractorChoice(seed=1)).needs(problem, 0)[NAME].key()


def test_images_of_another_shape_are_refused() -> None:
    context = toy_context()

    class Wide:
        shape = (1, 16, 16)

    with pytest.raises(UserError, match="channels and the size"):
        on_trunk(replace(context, problem=Wide()))  # type: ignore[arg-type]
