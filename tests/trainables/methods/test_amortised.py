"""Methods on a pre-trained extractor, under the harness: exact resume, what they refuse, what they agree on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.support.imbalanced import imbalanced_context
from tests.support.trials import assignment, finish, logical
from tracking.cost import Phase
from tracking.errors import UserError
from tracking.record import Stage
from tracking.storage import Place
from trainables import methods
from trainables.artefact_store import ArtefactStore
from trainables.assignment import Assignment
from trainables.contract_toy import toy_context
from trainables.harness import Harness
from trainables.modules.amortised import NAME
from trainables.modules.closed_form import ClosedForm
from trainables.problems.spec import ProblemSpec

NAMES = ("descriptor", "fixed_descriptor", "hyperinvariances", "unconditional")
DIGITS = ProblemSpec.model_validate({"label": "digits", "source": {"name": "digits"}})
ALL_ON = dict.fromkeys(("rotation", "translation", "scale", "shear", "brightness", "contrast", "blur"), 1.0)


def stored(tmp_path: Path, method: str, settings: dict[str, Any], **changes: Any) -> Assignment:
    """A trial whose extractor, trained for two updates, lies in a store."""
    toy = toy_context().artefacts[NAME]
    store = ArtefactStore(Place.of(tmp_path / "artefacts"))
    store.write(toy.key, toy.spec, toy.state, toy.ledger)
    described = assignment(tmp_path, method, Stage.RERUN, settings=settings, **changes)
    return described.model_copy(update={"artefacts": {NAME: toy.key}, "store": str(store.place)})


@pytest.mark.parametrize(("method", "settings"), [
    ("descriptor", {}), ("descriptor", {"search": "corners"}), ("fixed_descriptor", {"population": 5}),
    ("hyperinvariances", {"epochs": 3}), ("unconditional", {}),
])
def test_a_resumed_trial_reports_what_a_straight_one_does(
    tmp_path: Path, method: str, settings: dict[str, Any]
) -> None:
    straight = [logical(report) for report in finish(Harness(stored(tmp_path, method, settings)))]
    for k in range(1, len(straight)):
        described = stored(tmp_path, method, settings, place=str(tmp_path / f"after-{k}"))
        first = Harness(described)
        for _ in range(k):
            first.advance()
        first.save()
        again = Harness(described.model_copy(update={"known": k}))
        assert [logical(report) for report in finish(again)] == straight[k:]


def test_the_papers_row_resumes_in_its_middle(tmp_path: Path) -> None:
    assert len(finish(Harness(stored(tmp_path, "hyperinvariances", {"epochs": 3})))) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_each_asks_for_an_extractor_of_the_tasks_own_source(name: str) -> None:
    wrapped = DIGITS.model_copy(update={"label": "other"})
    spec = methods.config_class(name)().needs(DIGITS, 3)[NAME]
    assert spec.data_seed == 3 and spec.source.source == DIGITS.source
    assert spec.key() == methods.config_class(name)().needs(wrapped, 3)[NAME].key()
    assert spec.key() != methods.config_class(name)().needs(DIGITS, 4)[NAME].key()


def test_the_papers_extractor_and_the_controls_are_not_ours() -> None:
    keys = {name: methods.config_class(name)().needs(DIGITS, 0)[NAME].key() for name in NAMES}
    assert keys["descriptor"] == keys["fixed_descriptor"]
    assert len(set(keys.values())) == 3


def test_a_given_descriptor_is_taken_as_it_is() -> None:
    given = ALL_ON | {"rotation": 0.25}
    fixed = methods.config_class("fixed_descriptor").model_validate(given).build(toy_context())
    replay = methods.config_class("descriptor").model_validate({"descriptor": given}).build(toy_context())
    x = toy_context().problem.labelled().x
    for method in (fixed, replay):
        assert isinstance(method, ClosedForm)
        method.step()
        assert method.task.extractor.family.named(method.descriptor) == given
    assert torch.equal(fixed.predict(x), replay.predict(x))


def test_all_on_is_what_the_descriptor_falls_back_to() -> None:
    """Where no false alarm is allowed the default stays, and is the same classifier as the control's."""
    careful = methods.config_class("descriptor").model_validate({"false_alarms": 0}).build(toy_context())
    control = methods.config_class("fixed_descriptor").model_validate(ALL_ON).build(toy_context())
    x = toy_context().problem.labelled().x
    for method in (careful, control):
        method.step()
    assert torch.equal(careful.predict(x), control.predict(x))


@pytest.mark.parametrize(("name", "settings"), [
    ("descriptor", {"search": "gradient"}), ("descriptor", {"search": "menu"}), ("descriptor", {"descriptor": ALL_ON}),
    ("fixed_descriptor", {"population": 4}), ("unconditional", {}),
])
def test_gradient_evaluations_are_the_searchs_and_a_head_in_closed_form_has_none(
    name: str, settings: dict[str, Any]
) -> None:
    """One for each pair of a descriptor and an image whose gradient was taken: starts times steps times labels."""
    context = toy_context()
    method: Any = methods.config_class(name).model_validate(settings).build(context)
    method.step()
    spent = {phase: cost.examples for phase, cost in context.meter.ledger().phases.items()}
    pairs = 0
    if settings == {"search": "gradient"}:
        starts = len(method.result.descent.starts)
        pairs = starts * 40 * len(method.task.targets)
        assert pairs == method.result.gradient_pairs > 0
    assert spent[Phase.SEARCH] == pairs and sum(spent.values()) == pairs


@pytest.mark.parametrize("name", NAMES)
def test_warnings_after_a_resume_are_those_of_before(name: str) -> None:
    """They look at images, which no state holds."""
    config = methods.config_class(name).quick()
    method: Any = config.build(toy_context())
    while not method.step().done:
        pass
    again: Any = config.build(toy_context())
    again.load_state_dict(method.state_dict())
    assert list(again.warnings()) == list(method.warnings())
    assert list(config.build(toy_context()).warnings()) == list(method.warnings())  # type: ignore[attr-defined]


def test_too_few_labels_to_test_the_default_are_told() -> None:
    """Eighteen of three classes, where 24 are needed; nothing is said where no evidence is asked for."""
    said = {}
    for name, context, settings in (
        ("few", imbalanced_context(sizes=(6, 4, 2)), {}), ("enough", imbalanced_context(), {}),
        ("not asked", imbalanced_context(sizes=(6, 4, 2)), {"false_alarms": 1.0}),
    ):
        method: Any = methods.config_class("descriptor").model_validate(settings).build(context)
        kept = method.step().metrics["search/enough_labels"]
        again: Any = methods.config_class("descriptor").model_validate(settings).build(context)
        again.load_state_dict(method.state_dict())
        said[name] = kept, [any("too few labels" in note for note in one.warnings()) for one in (method, again)]
        if name == "few":
            assert bool((method.descriptor == 1).all())
    assert said == {"few": (0.0, [True, True]), "enough": (1.0, [False, False]), "not asked": (0.0, [False, False])}


def test_the_papers_descriptor_stays_in_the_cube_and_moves() -> None:
    method = methods.config_class("hyperinvariances").model_validate(
        {"epochs": 5, "descriptor_learning_rate": 0.3}
    ).build(toy_context())
    while not method.step().done:
        pass
    entries = list(method.describe().values())  # type: ignore[attr-defined]
    assert min(entries) >= 0 and max(entries) <= 1 and any(entry != 0.5 for entry in entries)


def test_outputs_are_log_probabilities_that_fit() -> None:
    """The sharpened head has a lower cross-entropy on its own labels than the raw ridge outputs."""
    method = methods.config_class("descriptor")().build(toy_context())
    assert isinstance(method, ClosedForm)
    method.step()
    x, y = toy_context().problem.labelled()
    raw = method.predict(x) / method.head.sharpness
    loss = torch.nn.functional.cross_entropy
    assert float(method.head.sharpness) > 1 and loss(method.predict(x), y) < loss(raw, y)


@pytest.mark.parametrize(("method", "settings", "word"), [
    ("descriptor", {"descriptor": {"hue": 1.0}}, "hue"),
    ("descriptor", {"default": {"rotation": 2.0}}, "rotation"),
    ("hyperinvariances", {"descriptor": {"hue": 1.0}}, "hue"),
])
def test_a_descriptor_that_does_not_fit_is_told(method: str, settings: dict[str, Any], word: str) -> None:
    with pytest.raises((UserError, ValidationError), match=word):
        methods.config_class(method).model_validate(settings).build(toy_context())


@pytest.mark.parametrize("name", NAMES)
def test_without_an_extractor_there_is_a_clear_word(name: str) -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match="needs that extractor"):
        methods.config_class(name)().build(replace(toy_context(), artefacts={}))
