"""What all policy searches share: what they refuse, what they cost, what they say, and that settings arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import Operation
from tracking.cost import Phase
from tracking.errors import UserError
from tracking.record import NotFiniteError
from trainables.contract_toy import toy_context
from trainables.contract_trace import run
from trainables.method import Context, MethodConfig
from trainables.methods import faster_autoaugment, implicit, random_policy, score_function, unrolled
from trainables.modules.arms import Arms
from trainables.modules.hypergradient import Derivative, OneStep
from trainables.modules.implicit_gradient import Implicit, Solver
from trainables.modules.policy_method import PolicyMethod
from trainables.modules.policy_search import PolicySearch
from trainables.problems.problem import Split

BILEVEL = (unrolled.Config, implicit.Config, score_function.Config)


def long(horizon: int = 20) -> Context:
    return replace(toy_context(), horizon=horizon, slice_updates=5)


def search_of(config: MethodConfig) -> PolicySearch:
    method = config.build(long())
    assert isinstance(method, PolicyMethod)
    assert isinstance(method._search, PolicySearch)
    return method._search


def test_settings_arrive_at_the_estimator() -> None:
    assert search_of(unrolled.Config(derivative=Derivative.DIFFERENCE))._estimator == OneStep(Derivative.DIFFERENCE)
    for more in ({"alpha": 0.07}, {"solver": Solver.CONJUGATE_GRADIENT}):
        settings: dict[str, Any] = {"products": 3, "damping": 0.2, **more}
        assert search_of(implicit.Config(**settings))._estimator == Implicit(**settings)


@pytest.mark.parametrize("derivative", Derivative)
def test_the_inner_loss_is_one_function_also_where_cutout_is_placed_at_random(derivative: Derivative) -> None:
    config = unrolled.Config(derivative=derivative, operations=(Operation.CUTOUT,), initial_range=0.9)
    search, seen = search_of(config), []

    class Twice:
        passes = 3

        def estimate(self, inner: Callable[[Any], torch.Tensor], outer: Any, theta: Any, phi: Any, step: Any) -> Any:
            seen.extend([inner(theta).detach(), inner(theta).detach()])
            return OneStep(derivative).estimate(inner, outer, theta, phi, step)

        def warning(self, series: Any) -> None:
            return None

    search._estimator = Twice()
    batch = search._draw(search._order, 8, Split.TRAIN)
    search._estimated(batch, search._draw(search._outer, 16, Split.OUTER))
    assert torch.equal(*seen)
    search._noise.manual_seed(5)
    search._estimated(batch, search._draw(search._outer, 16, Split.OUTER))
    assert not torch.equal(seen[0], seen[2]), "and another one for other draws"


@pytest.mark.parametrize(("config", "passes"), [
    (unrolled.Config(batch_size=8, outer_warm_up=0.5), 3),
    (implicit.Config(batch_size=8, outer_warm_up=0.5, outer_interval=1, products=4, alpha=0.01), 11),
    (score_function.Config(batch_size=8, outer_warm_up=0.5), 2),
], ids=["unrolled", "implicit", "score_function"])
def test_examples_are_counted_as_gradient_evaluations(config: MethodConfig, passes: int) -> None:
    context = long(10)
    run(config, context)
    assert context.meter.ledger().phases[Phase.SEARCH].examples == 5 * 8 + 5 * (passes * 8 + 16)


def test_warnings_tell_of_series_that_were_cut_and_survive_a_checkpoint() -> None:
    config = implicit.Config(alpha=50.0, outer_warm_up=0.0, outer_interval=1)
    method = config.build(long())
    assert isinstance(method, PolicyMethod)
    assert method.warnings() == ()
    metrics = method.step().metrics
    assert metrics["search/series_diverged"] > 0.5
    (said,) = method.warnings()
    assert "alpha = 50" in said
    again = config.build(long())
    assert isinstance(again, PolicyMethod)
    again.load_state_dict(method.state_dict())
    assert again.warnings() == (said,)
    while not method.step().done:
        pass
    assert method.warnings(), "after the search too"
    quiet = implicit.Config(alpha=1e-4, outer_warm_up=0.0, outer_interval=2).build(long())
    quiet.step()
    assert quiet.warnings() == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("config", [*BILEVEL, faster_autoaugment.Config])
def test_networks_whose_loss_is_another_one_every_time_are_refused(config: type[MethodConfig]) -> None:
    def build(shape: tuple[int, ...], outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, outputs))

    with pytest.raises(UserError, match="BatchNorm1d, Dropout"):
        config().build(replace(long(), network=build))


@pytest.mark.parametrize("config", BILEVEL)
def test_a_search_without_an_outer_step_is_refused(config: type[MethodConfig]) -> None:
    with pytest.raises(UserError, match="needs an outer step"):
        config.model_validate({"outer_warm_up": 0.9, "tail": 0.1}).build(long(3))


@pytest.mark.parametrize(("horizon", "settings", "steps"), [
    (50, {"outer_interval": 1000}, 1), (50, {"outer_interval": 6}, 8), (50, {"outer_interval": 5}, 9),
    (9, {"outer_interval": 1}, 8), (50, {"outer_interval": 4}, None), (12, {"outer_interval": 1}, None),
    (24, {"outer_interval": 1, "search_fraction": 0.5}, None),
])
@pytest.mark.parametrize("config", BILEVEL)
def test_a_search_of_few_outer_steps_says_so(
    config: type[MethodConfig], horizon: int, settings: dict[str, Any], steps: int | None
) -> None:
    """As many as it takes, by its own count."""
    method = config.model_validate({**settings, "batch_size": 8}).build(long(horizon))
    assert isinstance(method, PolicyMethod) and method._search is not None
    said, taken = method.warnings(), 0
    while method._search is not None and method._search.left:
        taken += method._search.update().outer is not None
    if steps is None:
        assert taken >= 10 and said == ()
    else:
        assert taken == steps and said[0].startswith(f"{steps} outer step")


@pytest.mark.parametrize("config", BILEVEL)
def test_the_average_begins_after_warm_up(config: type[MethodConfig]) -> None:
    """Else it holds the policy as it began: at `tail` 1 a search whose warm-up takes .6 moves less than half as far."""
    for settings in ({"tail": 1.0}, {"tail": 0.5, "outer_warm_up": 0.6}):
        with pytest.raises(ValueError, match="averaged over outer steps alone"):
            config.model_validate(settings)
    turn = {"entries": [{"operation": "rotation", "weight": 0.5}]}
    for settings in (
        {"tail": 0.9}, {"tail": 0.1, "outer_warm_up": 0.9}, {"tail": 0.3, "outer_warm_up": 0.7},
        {"tail": 1.0, "outer_warm_up": 0.0}, {"tail": 1.0, "policy": turn},
    ):
        config.model_validate(settings)


@pytest.mark.parametrize("config", BILEVEL)
def test_a_search_that_diverges_fails_as_not_finite(config: type[MethodConfig]) -> None:
    with pytest.raises(NotFiniteError):
        run(config.model_validate({"learning_rate": 1e20, "outer_warm_up": 0.0, "outer_interval": 1}), long())


@pytest.mark.parametrize("slice_updates", [5, 20], ids=["in slices", "at once"])
@pytest.mark.parametrize("settings", [
    {}, {"mixing": "exact"}, {"learns": "ranges"}, {"learns": "choice", "mixing": "exact"},
], ids=lambda value: "-".join(value.values()) or "defaults")
def test_a_policy_that_is_not_finite_at_the_end_of_its_search_fails_as_such(
    settings: dict[str, str], slice_updates: int
) -> None:
    """And not as a policy that nobody could have written: trials are counted by their cause."""
    context = replace(long(), slice_updates=slice_updates)
    config = unrolled.Config.model_validate({"learning_rate": 1e20, "outer_warm_up": 0.0, "batch_size": 8, **settings})
    with pytest.raises(NotFiniteError, match="policy of a search must be finite"):
        run(config, context)


def test_arms_that_are_not_finite_are_no_policy() -> None:
    arms = Arms((Operation.ROTATION,))
    for value in (float("nan"), float("inf")):
        with pytest.raises(NotFiniteError):
            arms.policy(torch.tensor([0.0, value, 0.0, 0.0, 0.0]))


def test_operations_must_differ_and_a_batch_must_have_two_images() -> None:
    twice = (Operation.ROTATION, Operation.ROTATION)
    for config in (*BILEVEL, random_policy.Config):
        with pytest.raises(ValueError, match="searched over once"):
            config(operations=twice)
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        unrolled.Config(batch_size=1)


def test_a_policy_is_checked_against_the_images_and_operations_are_then_not_asked() -> None:
    hue = Policy(entries=(PolicyEntry(operation=Operation.HUE, weight=0.5),))
    turn = Policy(entries=(PolicyEntry(operation=Operation.ROTATION, weight=0.5),))
    for config in (*BILEVEL, random_policy.Config):
        with pytest.raises(UserError, match="must fit the images"):
            config(policy=hue).build(toy_context())
        config(policy=turn, operations=(Operation.HUE,)).build(toy_context())
