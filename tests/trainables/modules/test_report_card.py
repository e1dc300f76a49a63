"""What a descriptor method leaves behind is what it computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trainables import methods
from trainables.contract_toy import toy_context
from trainables.modules.closed_form import ClosedForm
from trainables.modules.report_card import SpecialisedNetwork, neighbours


def trained() -> ClosedForm:
    method = methods.config_class("descriptor")().build(toy_context())
    assert isinstance(method, ClosedForm)
    method.step()
    return method


def test_the_specialised_network_is_the_method() -> None:
    method = trained()
    x = toy_context().problem.labelled().x[:7]
    network = SpecialisedNetwork(method.task.extractor, method.descriptor, method.head)
    assert torch.allclose(network(x), method.predict(x), atol=1e-4)
    other = SpecialisedNetwork(method.task.extractor, 1 - method.descriptor, method.head)
    assert not torch.allclose(other(x), method.predict(x), atol=1e-4)  # negative control


def test_neighbours_move_one_entry_to_each_end() -> None:
    moved = neighbours(torch.tensor([0.25, 1.0, 0.0]))
    assert moved.tolist() == [
        [0.0, 1.0, 0.0], [0.25, 0.0, 0.0], [0.25, 1.0, 0.0], [1.0, 1.0, 0.0], [0.25, 1.0, 0.0], [0.25, 1.0, 1.0],
    ]


@pytest.mark.slow  # the exporter takes seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_what_is_exported_needs_none_of_our_code(tmp_path: Path) -> None:
    method = trained()
    again = methods.config_class("descriptor")().build(toy_context())
    assert isinstance(again, ClosedForm)
    again.load_state_dict(method.state_dict())
    files = again.export(tmp_path)
    card = json.loads((tmp_path / files["descriptor"]).read_text())
    entries = {name: value["entry"] for name, value in card["descriptor"].items()}
    assert entries == pytest.approx(method.task.extractor.family.named(method.descriptor))
    assert card["descriptor"]["rotation"]["operations"][0]["unit"] == "deg"
    best = min(score["risk"] for score in card["scores"])
    assert card["scores"][0]["risk"] >= best and len(card["scores"]) == 1 + 14 + 128
    assert 0 <= card["bound"]["empirical"] <= card["bound"]["total"]
    x = toy_context().problem.labelled().x[:5]
    program = torch.export.load(tmp_path / files["program"]).module()
    assert torch.allclose(program(x), method.predict(x), atol=1e-4)
    weights = torch.load(tmp_path / files["weights"], weights_only=True)
    network = SpecialisedNetwork(method.task.extractor, 1 - method.descriptor, method.head)
    network.load_state_dict(weights)
    assert torch.allclose(network(x), method.predict(x), atol=1e-4)
