"""What every method's state must satisfy: exact resume, snapshots, and refusal of what does not fit."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from trainables.contract_toy import Make, toy_of
from trainables.contract_trace import Trace, difference, run
from trainables.method import MethodConfig, State, StateMismatchError


def check_resume_is_exact(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """After any step: save, load into a new object, go on; bit for bit what a straight run does."""
    make = make or toy_of(config_class)
    straight = run(config_class.quick(), make())
    for k, saved in enumerate(straight.saved[:-1]):
        context = make()
        method = config_class.quick().build(context)
        state = torch.load(io.BytesIO(saved), weights_only=True)
        try:
            method.load_state_dict(state["method"])
        except Exception as error:
            raise AssertionError(f"the method's own state after step {k} was refused: {error!r}") from error
        context.meter.load_state_dict(state["meter"])
        changed = difference(straight.after(k), Trace.of(method, context))
        assert changed is None, f"a run resumed after step {k} differs from a straight one: {changed}"


def check_state_is_a_snapshot(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """A state stays as it is when the method it was taken from, or loaded into, goes on."""
    make = make or toy_of(config_class)
    context = make()
    method = config_class.quick().build(context)
    method.step()
    state = method.state_dict()
    copied = copy.deepcopy(state)
    method.step()
    assert difference(copied, state) is None, "the saved state changed with the method: copy its tensors"
    other = config_class.quick().build(make())
    other.load_state_dict(state)
    other.step()
    assert difference(copied, state) is None, "the loaded state changed with the method: copy its tensors"


def check_bad_state_changes_nothing(config_class: type[MethodConfig], make: Make | None = None) -> None:
    """A state that does not fit raises StateMismatchError before anything is changed."""
    make = make or toy_of(config_class)
    context = make()
    method = config_class.quick().build(context)
    method.step()
    donor = config_class.quick().build(make())
    for _ in range(2):
        donor.step()
    before = copy.deepcopy(method.state_dict())
    for what, bad in _damaged(donor.state_dict()):
        try:
            method.load_state_dict(bad)
        except StateMismatchError:
            pass
        except Exception as error:
            raise AssertionError(f"{what} must raise StateMismatchError, but raised {error!r}") from error
        else:
            raise AssertionError(f"{what} was loaded without an error")
        changed = difference(before, method.state_dict())
        assert changed is None, f"{what} changed the method before it was refused: {changed}"


def _damaged(state: State) -> Iterator[tuple[str, Any]]:
    """States that no method may accept: emptied, and with the last or first tensor of another shape."""
    yield "an empty state", {}
    for name in state:
        yield f"a state without `{name}`", {key: value for key, value in state.items() if key != name}
    yield "a state with a key too many", {**state, "stranger": 1}
    for what, position in (("first", 0), ("last", -1)):
        bad = copy.deepcopy(state)
        holders = list(_tensor_places(bad))
        if holders:
            holder, key = holders[position]
            holder[key] = torch.cat((holder[key].flatten(), holder[key].new_zeros(1)))
            yield f"a state whose {what} tensor has another shape", bad


def _tensor_places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        if isinstance(item, Tensor):
            yield value, key
        else:
            yield from _tensor_places(item)
