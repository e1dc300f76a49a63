"""What descriptor.json and model.pt say: every number against where it comes from, for each method that leaves them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from tracking.errors import UserError
from trainables import methods
from trainables.contract_toy import toy_context
from trainables.method import Context
from trainables.modules.amortised import Head
from trainables.modules.closed_form import ClosedForm
from trainables.modules.control import invariance
from trainables.modules.drift import probed
from trainables.modules.extractor import Extractor
from trainables.modules.report_card import SIMILAR_ENOUGH, Chosen, SpecialisedNetwork, export, rounding
from trainables.modules.risk_bound import BoundedLoss, RiskBound

# The extractor of the toys learned from digits of 8 x 8, of which 700 are test images.
SOURCES: tuple[dict[str, Any] | None, ...] = (
    None, {"name": "digits", "size": 8}, {"name": "digits", "test": 300}, {"name": "glyphs"},
)
APART = SOURCES[-1]
OWN_SOURCE: dict[str, Any] = {"source": {"label": "other", "source": {"name": "digits"}}}
FACTORS = ("rotation", "translation", "scale", "shear", "brightness", "contrast", "blur")


def context(source: dict[str, Any] | None = None) -> Context:
    return replace(toy_context(), source=source)


def finished(name: str, source: dict[str, Any] | None = None, **settings: Any) -> Any:
    method = methods.config_class(name).model_validate(settings).build(context(source))
    while not method.step().done:
        pass
    return method


def card_of(method: ClosedForm, folder: Path, **changes: Any) -> dict[str, Any]:
    fields = {"family_size": method.choices, "independent": True, **changes}
    files = export(method.task, Chosen(method.descriptor, method.head, **fields), folder, program=False)
    card: dict[str, Any] = json.loads((folder / files["descriptor"]).read_text())
    return card


def test_the_card_says_what_was_measured_and_in_which_units(tmp_path: Path) -> None:
    method = finished("descriptor")
    card, family = card_of(method, tmp_path), method.task.extractor.family
    ends = torch.stack((torch.zeros(7), method.descriptor, torch.ones(7)))
    measured = invariance(probed(method.task), ends)
    assert (measured[0] - measured[2]).abs().max() > 1e-3  # so that the two ends cannot be swapped unseen
    for place, factor in enumerate(family.factors):
        said = card["measured_invariance"][factor.value]
        assert [said[name] for name in ("all_off", "chosen", "all_on")] == pytest.approx(measured[:, place].tolist())
        for told in card["descriptor"][factor.value]["operations"]:
            assert told["half_width"] == family.limit(told["operation"])
    assert card["bound"]["family"] == method.choices > 1


def test_the_bound_says_whether_its_assumption_holds(tmp_path: Path) -> None:
    """An extractor that learned from the task's own source may have seen these images: the theorem is not for it."""
    said = []
    for place, source in enumerate(SOURCES):
        files = finished("unconditional", source).export(tmp_path / str(place))
        said.append(json.loads((tmp_path / str(place) / files["descriptor"]).read_text())["bound"]["assumption"])
    assert said[-1] == "holds" and all(one.startswith("does not hold") for one in said[:-1])


def test_an_extractor_that_may_have_seen_test_images_is_warned_of() -> None:
    """Where its source is the task's data divided otherwise; by one division test images are in no pool."""
    told = ["divided otherwise" in " ".join(finished("unconditional", source).warnings()) for source in SOURCES]
    assert told == [False, False, True, False]


def test_a_replay_pays_for_what_its_descriptor_was_chosen_among() -> None:
    search = finished("descriptor", search="corners")
    replay = search.found().build(context())
    replay.step()
    assert replay.choices == search.choices > 1
    assert replay.describe()["bound/choice"] == pytest.approx(search.describe()["bound/choice"])
    many = finished("fixed_descriptor", population=16)
    again = many.found().build(context())
    again.step()
    assert again.choices == many.choices == 16
    given = dict(search.task.extractor.family.named(search.descriptor))
    assert finished("descriptor", descriptor=given).choices == 1  # the control: nobody chose it


def test_the_report_has_the_bound_that_the_card_has(tmp_path: Path) -> None:
    """By terms, of a head that was fitted here; whether its assumption holds; and after a resume too."""
    for place, source in enumerate((None, APART)):
        method = finished("descriptor", source)
        files = method.export(tmp_path / str(place))
        card = json.loads((tmp_path / str(place) / files["descriptor"]).read_text())["bound"]
        again = methods.config_class("descriptor")().build(context(source))
        assert again.describe()["bound/total"] == 1.0, "nothing was fitted yet: the trivial bound"
        again.load_state_dict(method.state_dict())
        for said in (method.describe(), again.describe()):
            for name, term in {"total": "total", "empirical": "empirical", "complexity": "complexity",
                               "choice": "price"}.items():
                most = card["ceiling"] if name == "total" else float("inf")
                assert said[f"bound/{name}"] == pytest.approx(min(card[term], most))
            assert said["bound/holds"] == (card["assumption"] == "holds") == (source is APART)
        terms = said["bound/empirical"] + said["bound/complexity"] + said["bound/choice"]
        assert said["bound/total"] == pytest.approx(min(1.0, terms))


def test_a_bound_as_a_metric_is_at_most_the_largest_loss() -> None:
    """Finite or not: a report's mean over trials is of bounds, and the trivial one always holds."""
    method = finished("descriptor")
    for empirical in (0.2, 7.0, float("inf"), float("nan")):
        bound = RiskBound(BoundedLoss.CLIPPED, empirical, 0.1, 0.3, 0.1, 1.0, 2.0, 50, 50.0, 4, 0.05)
        assert method._terms(bound)["total"] == pytest.approx(0.6 if empirical == 0.2 else 1.0)


def test_how_sure_the_choice_is_outlives_a_resume(tmp_path: Path) -> None:
    method = finished("descriptor")
    again = methods.config_class("descriptor")().build(toy_context())
    again.load_state_dict(method.state_dict())
    assert isinstance(again, ClosedForm)
    again.programs = False
    files = again.export(tmp_path)
    sure = json.loads((tmp_path / files["descriptor"]).read_text())["certainty"]
    found = method.result
    assert sure["p_value"] == pytest.approx(found.evidence.p_value)
    assert sure["standard_error"] == pytest.approx(found.choice.standard_error)
    names = [factor.value for factor in method.task.extractor.family.factors]
    ends = [[sure[f"{end}/{name}"] for name in names] for end in ("low", "high")]
    assert ends == [pytest.approx(found.choice.low.tolist()), pytest.approx(found.choice.high.tolist())]


@pytest.mark.parametrize("loss", ["cross_entropy", "ldam"])
def test_the_papers_method_leaves_its_network_and_no_bound(tmp_path: Path, loss: str) -> None:
    method = finished("hyperinvariances", epochs=3, imbalance={"loss": loss})
    descriptor, head = method._descriptor.detach(), method._head()
    files = export(method.task, Chosen(descriptor, head, None, True), tmp_path, program=False)
    card = json.loads((tmp_path / files["descriptor"]).read_text())
    assert card["bound"] is None
    named = {name: value["entry"] for name, value in card["descriptor"].items()}
    assert named == pytest.approx(method.task.extractor.family.named(descriptor))
    x = toy_context().problem.labelled().x[:9]
    network = SpecialisedNetwork(method.task.extractor, torch.zeros(7), head)
    network.load_state_dict(torch.load(tmp_path / files["weights"], weights_only=True))
    assert_close(network(x), method.predict(x), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(SpecialisedNetwork(method.task.extractor, 1 - descriptor, head)(x), network(x), atol=1e-3)
    assert isinstance(method.warnings(), list)


def test_weights_that_cancel_are_exported_up_to_rounding_and_no_other_network_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head of 10^5 along a direction that the compared images do not have: sums of thousands that come to nothing."""
    method = finished("unconditional")
    task, head = method.task, method.head
    assert task.images is not None
    features = task.extractor.finish(task.respond(task.images[:4]), method.descriptor[None])[0]
    flat = torch.linalg.svd(features.double(), full_matrices=True).Vh[-1]
    steep = Head((1e5 * flat).float().expand_as(head.weight).clone(), torch.zeros_like(head.bias), head.sharpness)
    outputs, usual = (float(one(features).abs().max()) for one in (steep, head))
    assert rounding(steep, features) > 10 * SIMILAR_ENOUGH * max(1.0, outputs)
    assert rounding(head, features) < SIMILAR_ENOUGH * max(1.0, usual)
    chosen = Chosen(method.descriptor, steep, 1, True)
    export(task, chosen, tmp_path, program=False)
    bake = type(task.extractor).bake
    monkeypatch.setattr(type(task.extractor), "bake", lambda self, descriptor: bake(self, 1 - descriptor))
    for wrong in (chosen, Chosen(method.descriptor, head, 1, True)):
        with pytest.raises(RuntimeError, match="the baked network must equal"):
            export(task, wrong, tmp_path, program=False)


def test_wrong_descriptors_and_images_are_told() -> None:
    extractor: Extractor = finished("descriptor").task.extractor
    x = toy_context().problem.labelled().x[:2]
    response = extractor.respond(x)
    for wrong in (torch.full((7,), 3.0), torch.full((7,), float("nan"))):
        with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
            extractor.bake(wrong)
    for short in (torch.ones(5), torch.ones(1, 7)):
        with pytest.raises(ValueError, match="has 7 entries"):
            extractor.bake(short)
    with pytest.raises(ValueError, match="has 7 entries"):
        extractor.finish(response, torch.ones(2, 5))
    with pytest.raises(ValueError, match="that it was trained on"):
        extractor.respond(torch.zeros(2, 1, 28, 28))
    with pytest.raises(ValueError, match="must name every entry"):
        finished("descriptor", descriptor={"rotation": 1.0})


@pytest.mark.parametrize("name", ["descriptor", "hyperinvariances"])
def test_what_an_extractor_would_not_serve_is_told_before_it_is_trained(name: str) -> None:
    """Digits are 8 x 8, the toy's images are not; the family has no such factor."""
    context, make = toy_context(), methods.config_class(name).model_validate
    make({}).fits(context.problem, context.network)
    with pytest.raises(UserError, match="that it was trained on"):
        make({"extractor": OWN_SOURCE}).fits(context.problem, context.network)
    with pytest.raises(UserError, match="did you mean `rotation`"):
        make({"descriptor": {"rotatoin": 1.0}}).fits(context.problem, context.network)
    for whole, said in (({"rotation": 1.0}, "must name every entry"), (dict.fromkeys(FACTORS, 1.5), r"\[0, 1\]")):
        with pytest.raises(UserError, match=said):
            make({"descriptor": whole}).fits(context.problem, context.network)
    with pytest.raises(UserError, match="rotatoin"):
        make({"extractor": {"settings": {"factors": ["rotatoin"]}}}).fits(context.problem, context.network)


def test_training_from_a_trunk_is_told_of_its_shape_too() -> None:
    context = toy_context()
    with pytest.raises(UserError, match="that it was trained on"):
        methods.config_class("plain").model_validate({"pretrained": OWN_SOURCE}).fits(context.problem, context.network)

