"""What every maker of artefacts must satisfy, as code: house makers and the users' own are held to the same checks.

A check takes a configuration class whose fields all have defaults, and a function that gives a fresh, equal context at
every call; it raises AssertionError with what is wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch

from tracking.cost import Phase, PhaseCost
from tracking.record import check_metrics
from trainables.artefact_store import packed, unpacked
from trainables.contract_globals import global_generators_seeded, global_state
from trainables.contract_toy import toy_maker_context
from trainables.contract_trace import MANY, difference
from trainables.maker import Maker, MakerConfig, MakerContext
from trainables.method import Slice, State

Make = Callable[[], MakerContext]
Check = Callable[..., None]  # (type[MakerConfig], Make = toy_maker_context) -> None


def check_config(config_class: type[MakerConfig], make: Make = toy_maker_context) -> None:
    """Frozen, refuses unknown fields, survives JSON, and has a version."""
    config = config_class()
    again = config_class.model_validate_json(config.model_dump_json())
    assert again == config, f"JSON changed the configuration: {difference(config.model_dump(), again.model_dump())}"
    settings = (config.model_config.get("frozen"), config.model_config.get("extra"))
    assert settings == (True, "forbid"), "a MakerConfig is frozen and refuses fields that it does not have"
    assert isinstance(getattr(config_class, "version", None), int), "a maker sets `version: ClassVar[int]`"


def check_same_seed_same_result(config_class: type[MakerConfig], make: Make = toy_maker_context) -> None:
    """Equal contexts give equal metrics and the same artefact, wherever global generators stand; which stay there."""
    runs = []
    for seed in (1, 2):
        with global_generators_seeded(seed):
            before = global_state()
            runs.append(_run(config_class().build(make())))
            changed = difference(before, global_state())
            assert changed is None, f"a global random generator was used: {changed}"
    changed = difference(runs[0], runs[1])
    assert changed is None, f"two makings with the same seed differ: {changed}"


def check_resume_is_exact(config_class: type[MakerConfig], make: Make = toy_maker_context) -> None:
    """After any step: save maker and meter, load into new ones, go on; bit for bit what a straight making gives."""
    context, states, metrics = make(), list[bytes](), list[dict[str, float]]()
    straight = config_class().build(context)
    for piece in _steps(straight):
        states.append(packed({"maker": straight.state_dict(), "meter": context.meter.state_dict()}))
        metrics.append(dict(piece.metrics))
    result = _plain(straight)
    for k, saved in enumerate(states[:-1]):
        context, state = make(), unpacked(saved, "cpu")
        again = config_class().build(context)
        again.load_state_dict(state["maker"])
        context.meter.load_state_dict(state["meter"])
        rest = [dict(piece.metrics) for piece in _steps(again)]
        changed = difference((metrics[k + 1 :], result), (rest, _plain(again)))
        assert changed is None, f"a making resumed after step {k} differs from a straight one: {changed}"


def check_states_are_snapshots(config_class: type[MakerConfig], make: Make = toy_maker_context) -> None:
    """A state or a result stays as it is when its maker goes on, and taking them changes nothing."""
    maker = config_class().build(make())
    maker.step()
    state, result = maker.state_dict(), maker.result()
    copied = copy.deepcopy((state, result))
    maker.step()
    assert difference(copied, (state, result)) is None, "a state or result changed with its maker: copy its tensors"
    untouched = config_class().build(make())
    changed = difference(_run(config_class().build(make())), _run(untouched, lambda: untouched.result()))
    assert changed is None, f"asking for the result in between changed the making: {changed}"


def check_every_step_is_pretraining(config_class: type[MakerConfig], make: Make = toy_maker_context) -> None:
    """Every slice charges FLOPs to `pretrain` and nothing to another phase; its metrics are its own and finite."""
    context = make()
    maker, before = config_class().build(context), 0
    for piece in _steps(maker):
        assert piece.phase is Phase.PRETRAIN, f"a maker's slices are of phase `pretrain`, but got {piece.phase}"
        check_metrics(piece.metrics)
        phases = context.meter.ledger().phases
        elsewhere = {str(p) for p, cost in phases.items() if p is not Phase.PRETRAIN and _worked(cost)}
        assert not elsewhere, f"work was charged to {elsewhere}"
        assert phases[Phase.PRETRAIN].flops > before, "a step charged no FLOPs: wrap updates in `meter.unit(...)`"
        before = phases[Phase.PRETRAIN].flops


def check_result_is_plain_and_finite(config_class: type[MakerConfig], make: Make = toy_maker_context) -> None:
    """What is made loads with `weights_only=True`, and its numbers are numbers."""
    maker = config_class().build(make())
    for _ in _steps(maker):
        pass
    try:
        state = _plain(maker)
    except ValueError as error:
        raise AssertionError(str(error)) from error
    assert all(bool(tensor.isfinite().all()) for tensor in _floats(state)), "the result has numbers that are not finite"


ALL_CHECKS: tuple[Check, ...] = (
    check_config, check_same_seed_same_result, check_resume_is_exact, check_states_are_snapshots,
    check_every_step_is_pretraining, check_result_is_plain_and_finite,
)


def _steps(maker: Maker) -> Iterator[Slice]:
    for _ in range(MANY):
        piece = maker.step()
        yield piece
        if piece.done:
            return
    raise AssertionError(f"the maker is not done after {MANY} slices")


def _run(maker: Maker, between: Callable[[], Any] = lambda: None) -> tuple[list[dict[str, float]], State]:
    metrics = []
    for piece in _steps(maker):
        metrics.append(dict(piece.metrics))
        between()
    return metrics, _plain(maker)


def _plain(maker: Maker) -> State:
    return unpacked(packed(maker.result()), "cpu")


def _worked(cost: PhaseCost) -> bool:
    return bool(cost.flops or cost.examples or cost.label_reads)


def _floats(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _floats(inner)
