"""Saved states: what a state must look like, checked in full before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from trainables.method import State, StateMismatchError


def require_like(expected: Any, given: Any, path: str = "state") -> None:
    """The same keys, lengths, types, shapes and dtypes, recursively; values may differ.

    Args:
        expected: the object's own `state_dict()`.
        given: the state to be loaded.

    Raises:
        StateMismatchError: names the first difference.
    """
    tensors = isinstance(expected, Tensor) and isinstance(given, Tensor)  # of whatever class: backends have their own
    if not tensors and type(expected) is not type(given):
        raise _mismatch(path, type(expected).__name__, type(given).__name__)
    if isinstance(expected, Tensor):
        if expected.shape != given.shape or expected.dtype != given.dtype:
            kinds = (f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in (expected, given))
            raise _mismatch(path, *kinds)
    elif isinstance(expected, dict):
        if expected.keys() != given.keys():
            raise _mismatch(path, f"keys {sorted(expected)}", f"{sorted(map(str, given))}")
        for key, value in expected.items():
            require_like(value, given[key], f"{path}.{key}")
    elif isinstance(expected, list):
        if len(expected) != len(given):
            raise _mismatch(path, f"{len(expected)} items", len(given))
        for index, value in enumerate(expected):
            require_like(value, given[index], f"{path}[{index}]")


def require_cursor(cursor: int, horizon: int) -> None:
    """Raises StateMismatchError where a saved position lies outside of [0, horizon]."""
    if not 0 <= cursor <= horizon:
        raise _mismatch("state.cursor", f"a position in [0, {horizon}]", cursor)


def module_state(module: nn.Module) -> State:
    """A copy that later training does not change."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def generators_state(generators: Iterable[Generator]) -> list[Tensor]:
    return [generator.get_state() for generator in generators]


def load_generators(generators: Iterable[Generator], states: Iterable[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state.cpu())


def optimiser_state(optimiser: Optimizer) -> list[State]:
    """The tensors an optimiser keeps per parameter, in the order of its parameters."""
    return [
        {name: value.detach().clone() for name, value in optimiser.state[parameter].items()}
        for parameter in _parameters(optimiser)
    ]


def load_optimiser(optimiser: Optimizer, states: list[State]) -> None:
    for parameter, state in zip(_parameters(optimiser), states, strict=True):
        for name, value in state.items():
            optimiser.state[parameter][name].copy_(value)


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _mismatch(path: str, expected: object, given: object) -> StateMismatchError:
    return StateMismatchError(f"a state must fit its method: {path} should be {expected}, but got {given}")
