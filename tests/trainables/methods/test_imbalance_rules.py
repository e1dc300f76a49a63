"""Every method under rules for imbalanced classes: it honours them, keeps its contract and its replay, or refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.method_spec import MethodSpec
from tests.support.imbalanced import Noting, imbalanced_context
from tests.support.toy_problems import regression_toy
from tracking.errors import UserError
from trainables import contract, methods
from trainables.contract import Check
from trainables.contract_toy import toy_context
from trainables.contract_trace import difference, run, steps
from trainables.method import Finds, MethodConfig
from trainables.methods import fast_autoaugment, hyperinvariances, learned_ranges, lila, pba, unrolled
from trainables.modules import amortised
from trainables.modules.imbalance import ImbalanceConfig, ImbalanceRule, Loss, Sampling, Weighting
from trainables.modules.recipe import Decay, RecipeConfig

CLOSED = ("descriptor", "fixed_descriptor", "unconditional")
ON_TASKS = ("maml", "msr")
HONOURING = tuple(name for name in methods.names() if name not in (*CLOSED, *ON_TASKS))

BALANCED = ImbalanceConfig(sampling=Sampling.BALANCED)
DRS = ImbalanceConfig(sampling=Sampling.BALANCED, delay=0.5)
LDAM_DRW = ImbalanceConfig(weighting=Weighting.EFFECTIVE, loss=Loss.LDAM, delay=0.5)
FOCAL = ImbalanceConfig(sampling=Sampling.EFFECTIVE, weighting=Weighting.EFFECTIVE, loss=Loss.FOCAL, beta=0.9)
RULES = {"drs": DRS, "ldam-drw": LDAM_DRW, "focal": FOCAL}
PARTS: dict[str, dict[str, str]] = {
    "none": {}, "sampling": {"sampling": "balanced"}, "weighting": {"weighting": "effective"},
    "focal": {"loss": "focal"}, "ldam": {"loss": "ldam"},
}
SEARCHING = ("fast_autoaugment", "faster_autoaugment", "implicit", "score_function", "unrolled")
FINDING = (*SEARCHING, "augerino", "augnet", "hyperinvariances", "learned_ranges", "lila", "random_policy")
CHECKS = (
    contract.check_resume_is_exact, contract.check_same_seed_same_run, contract.check_every_step_is_charged,
    contract.check_bad_state_changes_nothing,
)


def with_rule(name: str, rule: ImbalanceConfig) -> type[MethodConfig]:
    """The method's configuration class, whose default is the rule."""
    config_class: Any = methods.config_class(name)
    fields = {"__module__": __name__, "__annotations__": {"imbalance": ImbalanceConfig}, "imbalance": rule}
    made: type[MethodConfig] = type("Config", (config_class,), fields)
    return made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["plain", "augnet", "unrolled"])
def test_methods_keep_their_contract_under_every_rule(name: str, rule: str, check: Check) -> None:
    check(with_rule(name, RULES[rule]), imbalanced_context)


@pytest.mark.parametrize("name", [name for name in HONOURING if name not in ("plain", "augnet", "unrolled")])
def test_every_other_method_keeps_its_contract_under_one(name: str) -> None:
    made = with_rule(name, DRS if name == "lila" else FOCAL)
    for check in (contract.check_resume_is_exact, contract.check_every_step_is_charged):
        check(made, imbalanced_context)


@pytest.mark.parametrize("name", CLOSED)
def test_a_head_in_closed_form_keeps_its_contract_under_a_rule(name: str) -> None:
    for check in (contract.check_resume_is_exact, contract.check_every_step_is_charged):
        check(with_rule(name, DRS), imbalanced_context)


@pytest.mark.parametrize("name", CLOSED)
def test_weights_of_examples_change_a_head_in_closed_form(name: str) -> None:
    """Delay does not: the fit is the end of a training. Drawing by 1 / n_c and weighing by it are the same there."""
    rules = {
        "none": ImbalanceConfig(), "balanced": BALANCED, "delayed": DRS,
        "effective": ImbalanceConfig(sampling=Sampling.EFFECTIVE, beta=0.9),
        "weighted": ImbalanceConfig(weighting=Weighting.EFFECTIVE, beta=0.9),
        "both": ImbalanceConfig(sampling=Sampling.BALANCED, weighting=Weighting.EFFECTIVE, beta=0.9),
    }
    ends = {
        label: run(with_rule(name, rule).quick(), imbalanced_context()).outputs[-1] for label, rule in rules.items()
    }
    same = {(a, b) for a, b in combinations(rules, 2) if torch.equal(ends[a], ends[b])}
    assert same == {("balanced", "delayed"), ("effective", "weighted")}


def test_of_many_labels_a_head_in_closed_form_keeps_the_rare_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60, 18 and 6 labels the first 30 hold few of the rarest; under a rule all six are among them."""
    monkeypatch.setattr(amortised, "MOST_LABELS", 30)
    counts = {}
    for rule in (ImbalanceConfig(), BALANCED):
        method: Any = with_rule("unconditional", rule)().build(imbalanced_context())
        method.step()
        counts[rule.sampling] = torch.bincount(method.task.targets.labels, minlength=3).tolist()
    assert sum(counts[Sampling.UNIFORM]) == sum(counts[Sampling.BALANCED]) == 30
    assert counts[Sampling.UNIFORM][2] < 6 and counts[Sampling.BALANCED] == [12, 12, 6]


def test_what_a_head_in_closed_form_leaves_behind_names_its_rule(tmp_path: Path) -> None:
    for rule, said in ((ImbalanceConfig(), None), (DRS, DRS.model_dump(mode="json"))):
        method: Any = with_rule("unconditional", rule)().build(imbalanced_context())
        method.step()
        method.export(tmp_path / str(rule.sampling))
        card = json.loads((tmp_path / str(rule.sampling) / "descriptor.json").read_text())
        assert card["imbalance"] == said
        assert (card["bound"]["effective"] < card["bound"]["examples"]) == (said is not None)


@pytest.mark.parametrize("name", HONOURING)
def test_every_part_of_a_rule_changes_the_training_of_every_method(name: str) -> None:
    """None is ignored: predictions after the last step differ from those without the rule, and between rules."""
    parts = {part: PARTS[part] for part in ("none", "sampling")} if name == "lila" else PARTS
    ends = {}
    for part, settings in parts.items():
        made = with_rule(name, ImbalanceConfig.model_validate(settings))
        ends[part] = run(made.quick(), imbalanced_context()).outputs[-1]
    assert len({tuple(output.flatten().tolist()) for output in ends.values()}) == len(parts)


@pytest.mark.parametrize("name", SEARCHING)
def test_every_part_of_a_rule_changes_the_search_too(name: str) -> None:
    """After the first slice, which is all search. The critic of density matching has no use for margins and focus."""
    states: dict[str, Any] = {}
    for part, settings in PARTS.items():
        made = with_rule(name, ImbalanceConfig.model_validate(settings))
        states[part] = run(made.quick(), imbalanced_context()).states[0]["body"]
    same = {(a, b) for a, b in combinations(PARTS, 2) if difference(states[a], states[b]) is None}
    critic = {("none", "focal"), ("none", "ldam"), ("focal", "ldam")}
    assert same == (critic if name == "faster_autoaugment" else set())


def test_these_are_all_methods_that_find_something() -> None:
    found = {name for name in HONOURING if isinstance(methods.config_class(name).quick().build(toy_context()), Finds)}
    assert found == set(FINDING)


@pytest.mark.parametrize("name", FINDING)
def test_what_was_found_is_trained_by_the_rule_of_the_search(name: str) -> None:
    config = with_rule(name, BALANCED).quick()
    schedule = {"learning_rate_decay": Decay.STEPS, "drops": (0.3, 0.6), "drop_factor": 0.1}
    if isinstance(config, RecipeConfig):
        config = config.model_copy(update=schedule)
    method = config.build(imbalanced_context())
    for _ in steps(method):
        pass
    found = method.found()  # type: ignore[attr-defined]
    fields = ("imbalance", *schedule) if isinstance(config, RecipeConfig) else ("imbalance",)
    assert [getattr(found, field) for field in fields] == [getattr(config, field) for field in fields]
    if name == "hyperinvariances":
        return  # draws rows of what it has loaded
    context = imbalanced_context()
    view: Any = Noting(context.problem)
    again = type(found).model_validate_json(found.model_dump_json())
    for _ in steps(again.build(replace(context, problem=view))):
        pass
    assert view.drawn and {what for what, _ in view.drawn} == {"draw_classes"}


def test_a_schedule_that_was_bred_keeps_the_rule() -> None:
    first = pba.Config(imbalance=DRS, learning_rate_decay=Decay.STEPS).begun(np.random.default_rng(0), 1)
    for config in (first, first.continued(np.random.default_rng(1), True), first.whole()):
        assert config.imbalance == DRS and config.learning_rate_decay is Decay.STEPS


# Which split is drawn how.


def test_a_bilevel_search_draws_both_its_batches_by_the_rule() -> None:
    """Rarest classes are 4 of 56 in `train` and 2 of 28 in `outer`; balanced, they are a third of both.

    10 batches of 32 and of 64: within 5 standard deviations (6e-7).
    """
    context = imbalanced_context()
    view = Noting(context.problem)
    config = unrolled.Config(batch_size=32, outer_warm_up=0.0, imbalance=BALANCED)
    config.build(replace(context, problem=view, horizon=10, slice_updates=10)).step()
    assert [len(y) for _, y in view.drawn] == [32, 64] * 10
    for first in (0, 1):
        labels = torch.cat([y for _, y in view.drawn[first::2]])
        error = (2 / 9 / len(labels)) ** 0.5
        assert abs(float((labels == 2).float().mean()) - 1 / 3) < 5 * error


def test_held_out_images_of_a_bilevel_search_are_judged_without_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Margins are about fitting: of `risk` and `loss`, which both are asked, the outer step asks the first."""
    asked = {"risk": 0, "loss": 0}
    for name in asked:
        own = getattr(ImbalanceRule, name)

        def counted(self: ImbalanceRule, *arguments: Any, name: str = name, own: Any = own) -> Any:
            asked[name] += 1
            return own(self, *arguments)

        monkeypatch.setattr(ImbalanceRule, name, counted)
    config = unrolled.Config(imbalance=LDAM_DRW, outer_warm_up=0.0)
    config.build(replace(imbalanced_context(), horizon=10, slice_updates=10)).step()
    assert asked["risk"] >= 10 and asked["loss"] >= 10


def test_images_that_policies_are_judged_on_are_balanced_too() -> None:
    """40 % of 60, 18 and 6 images are judged: 24, 7 and 2; drawn balanced, the rarest class is a third of 33."""
    shares = {}
    for sampling in (Sampling.UNIFORM, Sampling.BALANCED):
        config = fast_autoaugment.Config(kept=2, folds=40, imbalance=ImbalanceConfig(sampling=sampling))
        method: Any = config.build(replace(imbalanced_context(), horizon=80))
        judged = torch.cat([fold.judged.y for fold in method._search._folds])
        shares[sampling] = float((judged == 2).float().mean())
    assert shares[Sampling.UNIFORM] == pytest.approx(2 / 33)
    assert abs(shares[Sampling.BALANCED] - 1 / 3) < 5 * (2 / 9 / 1320) ** 0.5


def test_lilas_estimate_is_of_the_examples_it_trains_on() -> None:
    context = imbalanced_context()
    view = Noting(context.problem)
    config = lila.Config(copies=1, block=8, burn_in=0.0, interval=1, imbalance=BALANCED)
    config.build(replace(context, problem=view)).step()  # type: ignore[arg-type]
    assert [(what, len(y)) for what, y in view.drawn] == [("draw_classes", 8), ("draw_classes", 64)] * 2


def test_ldam_makes_the_head_on_an_extractor_a_cosine_classifier() -> None:
    config = hyperinvariances.Config(epochs=1, imbalance=ImbalanceConfig(loss=Loss.LDAM, scale=5.0))
    method: Any = config.build(imbalanced_context())
    for _ in steps(method):
        pass
    x = imbalanced_context().problem.unlabelled(torch.Generator().manual_seed(0), 8)
    before = method.predict(x)
    assert float(before.abs().max()) <= 5.0 * (1 + 1e-5) and not method._bias.any()
    with torch.no_grad():
        method._weight *= 3
    torch.testing.assert_close(method.predict(x), before)


# Refusals.


@pytest.mark.parametrize("loss", [Loss.LDAM, Loss.FOCAL])
@pytest.mark.parametrize("name", CLOSED)
def test_heads_in_closed_form_refuse_other_losses(name: str, loss: Loss) -> None:
    toy, config = toy_context(), with_rule(name, ImbalanceConfig(loss=loss))()
    for ask in (lambda: config.fits(toy.problem, toy.network), lambda: config.build(toy)):
        with pytest.raises(UserError, match="closed form has the squared error for its loss"):
            ask()
    for rule in (ImbalanceConfig(), BALANCED, ImbalanceConfig(weighting=Weighting.EFFECTIVE)):
        with_rule(name, rule)().fits(toy.problem, toy.network)


@pytest.mark.parametrize("name", CLOSED)
def test_heads_in_closed_form_refuse_a_rule_without_classes(name: str) -> None:
    view = regression_toy().view()
    with pytest.raises(UserError, match="a rule for imbalanced classes"):
        with_rule(name, BALANCED)().require_rule(view)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ON_TASKS)
def test_meta_learners_have_no_rule(name: str) -> None:
    with pytest.raises(ValueError, match="no such field"):
        MethodSpec(name=name, settings={"imbalance": {"sampling": "balanced"}})


@pytest.mark.parametrize("settings", [{"loss": "ldam"}, {"loss": "focal"}, {"weighting": "effective"}])
def test_lila_refuses_what_its_likelihood_is_not_of(settings: dict[str, str]) -> None:
    toy, config = toy_context(), lila.Config.model_validate({"imbalance": settings})
    for ask in (lambda: config.fits(toy.problem, toy.network), lambda: config.build(toy)):
        with pytest.raises(UserError, match="marginal likelihood"):
            ask()
    given = config.model_copy(update={"ranges": lila.Config().build(toy).found().ranges})  # type: ignore[attr-defined]
    given.fits(toy.problem, toy.network)  # nothing is estimated
    given.build(toy)


def test_a_row_of_a_comparison_names_its_rule_and_is_refused_by_name() -> None:
    """As it stands in a comparison's file."""
    row = MethodSpec(name="learned_ranges", settings={"imbalance": {"sampling": "balanced", "delay": 0.8}})
    row.fits(imbalanced_context().problem, "small_cnn")
    config = row.config_class().model_validate(row.settings)
    assert isinstance(config, learned_ranges.Config) and config.imbalance.delay == 0.8
    with pytest.raises(UserError, match="row `learned_ranges`: a rule for imbalanced classes"):
        row.fits(regression_toy().view(), "small_cnn")


def test_weights_of_examples_change_a_search_among_neighbours_too() -> None:
    ends = [
        run(with_rule("fixed_descriptor", rule)(population=3), imbalanced_context()).outputs[-1]
        for rule in (ImbalanceConfig(), BALANCED)
    ]
    assert not torch.equal(*ends)
