"""What every method must satisfy, as code: house methods and the users' own are held to the same checks.

A check takes a configuration class whose fields all have defaults, and a function that gives a fresh, equal
context at every call; it raises AssertionError with what is wrong. All of them together take a second or two
on the default toy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from spaces.domain import Point, Space
from tracking.cost import Phase
from tracking.record import check_metrics
from trainables.contract_globals import global_generators_seeded, global_state
from trainables.contract_state import (
    check_bad_state_changes_nothing,
    check_resume_is_exact,
    check_state_is_a_snapshot,
)
from trainables.contract_toy import Make, toy_of
from trainables.contract_trace import WatchedView, difference, predicting, run, steps, with_view
from trainables.method import (
    Augments,
    Context,
    Describes,
    Finds,
    MethodConfig,
)

TRIED = 64  # points of a space
Check = Callable[..., None]  # (type[MethodConfig], Make | None = None: the toy of its kind) -> None


def check_space_names_fields(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """`space` names fields of the configuration; their defaults lie inside, and what lies inside is taken as it is.

    `idle` names some of `space`.
    """
    fields, config = config_class.model_fields, config_class()
    unknown = set(config_class.space.names) - set(fields)
    assert not unknown, f"`space` names {sorted(unknown)}, which are no fields of the configuration"
    assert config.idle() <= set(config_class.space.names), f"`idle` names {sorted(config.idle())}, not all in `space`"
    point = {name: getattr(config, name) for name in config_class.space.names}
    assert config_class.space.contains(point), f"the defaults {point} must lie in `space`"
    for point in _points(config_class.space):
        try:
            taken = config_class.model_validate(point)
        except Exception as error:
            raise AssertionError(f"the configuration refuses {point} of its `space`: {error!r}") from None
        changed = {name: getattr(taken, name) for name, value in point.items() if getattr(taken, name) != value}
        assert not changed, f"the configuration makes {changed} of {point}: a search would know another point"


def _points(space: Space) -> list[Point]:
    """The two ends of every domain together, and others at random."""
    generator = np.random.default_rng(0)
    ends = [space.decode([end] * len(space.names)) for end in (0.0, 1.0)]
    return [*ends, *(space.sample(generator) for _ in range(TRIED))]


def check_config_survives_json(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """A configuration is frozen, refuses unknown fields, and is the same after a trip through JSON."""
    config = config_class()
    again = config_class.model_validate_json(config.model_dump_json())
    changed = difference(config.model_dump(), again.model_dump())
    assert again == config, f"JSON changed the configuration: {changed}"
    settings = (config.model_config.get("frozen"), config.model_config.get("extra"))
    assert settings == (True, "forbid"), "a MethodConfig is frozen and refuses fields that it does not have"


def check_same_seed_same_run(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """Equal contexts give equal metrics, states, predictions and costs, wherever global generators stand."""
    make = make or toy_of(config_class)
    traces = []
    for seed in (1, 2):
        with global_generators_seeded(seed):
            traces.append(run(config_class.quick(), make()))
    changed = difference(traces[0], traces[1])
    assert changed is None, f"two runs with the same seed differ: {changed}"


def check_leaves_global_generators(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """Randomness comes from the context's generators; torch's, NumPy's and Python's own stay as they were."""
    make = make or toy_of(config_class)
    with global_generators_seeded(3):
        before = global_state()
        run(config_class.quick(), make())
        changed = difference(before, global_state())
    assert changed is None, f"a global random generator was used: {changed}"


def check_predict_has_no_side_effects(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """(B, *shape) -> finite (B, outputs), the same each time, without gradients; nothing changes."""
    make = make or toy_of(config_class)
    context = make()
    method = config_class.quick().build(context)
    for _ in _steps_and_start(method):
        x = _inputs(context)
        kept, before = x.clone(), copy.deepcopy(method.state_dict())
        predict = predicting(method, context)
        first, second = predict(x), predict(x)
        expected = (len(x), context.problem.outputs)
        assert first.shape == expected, f"predict gives {tuple(first.shape)}, but (B, outputs) is {expected}"
        assert not first.requires_grad, "predict must not keep a graph"
        assert bool(first.isfinite().all()), "predict gives outputs that are not finite"
        assert torch.equal(first, second), "predict differs from call to call"
        assert torch.equal(kept, x), "predict changed its input"
        changed = difference(before, method.state_dict())
        assert changed is None, f"predict changed the method: {changed}"


def check_predict_is_per_example(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """An output does not depend on what else is in the batch (up to rounding)."""
    make = make or toy_of(config_class)
    context = make()
    method = config_class.quick().build(context)
    for _ in steps(method):
        pass
    x = _inputs(context)
    predict = predicting(method, context)
    together, apart = predict(x), torch.cat([predict(part) for part in torch.split(x, 3)])
    worst = float((together - apart).abs().max())
    allowed = 1e-4 * (1 + float(together.abs().max()))
    assert worst <= allowed, f"outputs depend on the rest of the batch, by {worst:g}"


def check_every_step_is_charged(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """Each slice charges FLOPs, and gradient evaluations unless it may take none, to the phase it names."""
    make = make or toy_of(config_class)
    context = make()
    method = config_class.quick().build(context)
    before = context.meter.ledger()
    for index, piece in enumerate(steps(method)):
        after = context.meter.ledger()
        for unit in ("flops", "examples") if config_class.descends else ("flops",):
            spent = getattr(after.phases[piece.phase], unit) - getattr(before.phases[piece.phase], unit)
            assert spent > 0, f"step {index} charged no {unit} to its phase `{piece.phase}`"
        before = after


def check_reads_train_and_outer_only(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """Nothing but the splits train and outer is even asked for."""
    make = make or toy_of(config_class)
    context = make()
    watched = WatchedView(context.problem)
    with suppress(PermissionError):  # told below, together with attempts that the method hid
        run(config_class.quick(), with_view(context, watched))
    assert not watched.forbidden, f"the method asked for {sorted(watched.forbidden)}"


def check_metrics_are_its_own(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """Metrics are finite, and none has a name that belongs to the harness."""
    make = make or toy_of(config_class)
    for piece in steps(config_class.quick().build(make())):
        try:
            check_metrics(piece.metrics)
        except ValueError as error:
            raise AssertionError(str(error)) from error


def check_done_at_the_horizon(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """Slices that may be judged make one training of `horizon` updates (or are one, where the horizon does not matter);
    `done` is said on the last."""
    make = make or toy_of(config_class)
    context = make()
    pieces = list(steps(config_class.quick().build(context)))
    assert pieces[-1].ready, "the last slice must be ready to be judged"
    ready, expected = sum(piece.ready for piece in pieces), -(-context.horizon // context.slice_updates)
    single = ready == 1 and not config_class.scales_with_horizon
    assert single or ready == expected, f"{expected} ready slices make the horizon, but got {ready}"


def check_describe_is_finite(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """What was learned is a non-empty mapping to finite numbers, with the same names at any time."""
    make = make or toy_of(config_class)
    method = config_class.quick().build(make())
    if not isinstance(method, Describes):
        return
    names = set(method.describe())
    assert names, "describe() says nothing"
    for _ in _steps_and_start(method):
        learned = method.describe()
        bad = {name: value for name, value in learned.items() if not np.isfinite(value)}
        assert not bad, f"describe() must be finite, but got {bad}"
        assert set(learned) == names, f"describe() changed its names: {set(learned) ^ names}"


def check_sample(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """`sample` keeps shape, type and range, depends on its generator only, and changes nothing."""
    make = make or toy_of(config_class)
    context = make()
    method = config_class.quick().build(context)
    if not isinstance(method, Augments):
        return
    for _ in _steps_and_start(method):
        x = _inputs(context)
        kept, before = x.clone(), copy.deepcopy(method.state_dict())
        first, second = (method.sample(x, Generator().manual_seed(7)) for _ in range(2))
        kinds = ((first.shape, first.dtype), (x.shape, x.dtype))
        assert kinds[0] == kinds[1], f"sample gives {kinds[0]}, the input is {kinds[1]}"
        assert bool(first.isfinite().all()), "sample gives inputs that are not finite"
        if x.dim() == 4:
            low, high = float(first.min()), float(first.max())
            assert -1e-5 <= low <= high <= 1 + 1e-5, f"images must stay in [0, 1], but got [{low}, {high}]"
        assert torch.equal(first, second), "sample depends on more than its generator"
        assert torch.equal(kept, x), "sample changed its input"
        changed = difference(before, method.state_dict())
        assert changed is None, f"sample changed the method: {changed}"


def check_found_is_free_of_search(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """What was found builds and trains without a search, finds itself again, and survives JSON."""
    make = make or toy_of(config_class)
    method = config_class.quick().build(make())
    if not isinstance(method, Finds):
        return
    for _ in steps(method):
        pass
    found = method.found()
    assert isinstance(found, MethodConfig), f"found() gives a {type(found).__name__}, not a MethodConfig"
    again = type(found).model_validate_json(found.model_dump_json())
    changed = difference(found.model_dump(), again.model_dump())
    assert again == found, f"JSON changed what was found: {changed}"
    context = make()
    replay = again.build(context)
    for piece in steps(replay):
        assert piece.phase is not Phase.SEARCH, "what was found searches again"
    spent = context.meter.ledger().phases[Phase.SEARCH].flops
    assert spent == 0, f"what was found spends {spent} FLOPs on a search"
    if isinstance(replay, Finds):
        assert replay.found() == found, "training what was found gives another finding"


ALL_CHECKS: tuple[Check, ...] = (
    check_space_names_fields,
    check_config_survives_json,
    check_same_seed_same_run,
    check_leaves_global_generators,
    check_resume_is_exact,
    check_state_is_a_snapshot,
    check_bad_state_changes_nothing,
    check_predict_has_no_side_effects,
    check_predict_is_per_example,
    check_every_step_is_charged,
    check_reads_train_and_outer_only,
    check_metrics_are_its_own,
    check_done_at_the_horizon,
    check_describe_is_finite,
    check_sample,
    check_found_is_free_of_search,
)


def _steps_and_start(method: Any) -> Iterator[None]:
    """Before the first step, and after each."""
    yield
    for _ in steps(method):
        yield


def _inputs(context: Context) -> Tensor:
    return context.problem.unlabelled(Generator().manual_seed(11), 8).to(context.device)
