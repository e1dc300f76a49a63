"""Ask and tell with Optuna's TPE inside one trial, where an evaluation is far cheaper than a trial."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import torch
from optuna.trial import create_trial

from spaces.distributions import KnownSpaceTPE, distributions
from spaces.domain import Choice, Domain, Point, Space, Value
from trainables.method import State, StateMismatchError, stable_seed
from trainables.modules.state import require_cursor, require_like

STARTUP = 10  # random proposals before the estimator's, as Optuna has it


class Parzen:
    """Values are maximised. The sampler is made anew for every proposal, from the seed and the proposal's number, so
    that all there is to remember is what was told.

    Args:
        space: what is proposed in.
        seed: of all proposals.
        room: how many may be told.
    """

    def __init__(self, space: Space, seed: int, room: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._seed, self._distributions = space, seed, distributions(space)
        self._told = 0
        self._points = torch.zeros(room, len(space.root), dtype=torch.float64)
        self._values = torch.zeros(room, dtype=torch.float64)
        self._study = self._new_study()

    @property
    def left(self) -> int:
        """Proposals until the room is full."""
        return len(self._values) - self._told

    def advance(self, worth: Callable[[Point], float]) -> float:
        """Propose a point and learn what it is worth, finite; returns that."""
        seed = stable_seed(self._seed, self._told) % 2**32
        self._study.sampler = KnownSpaceTPE(self._distributions, seed, STARTUP)
        trial = self._study.ask(self._distributions)
        value = worth(dict(trial.params))
        self._study.tell(trial, value)
        self._points[self._told] = torch.tensor(
            [_number(domain, trial.params[name]) for name, domain in self._space.root.items()], dtype=torch.float64
        )
        self._values[self._told] = value
        self._told += 1
        return value

    def best(self, count: int) -> list[Point]:
        """The points with the highest values, the best first; of equal ones the earlier."""
        order = sorted(range(self._told), key=lambda number: -float(self._values[number]))
        return [self._point(number) for number in order[:count]]

    def state_dict(self) -> State:
        return {"told": self._told, "points": self._points.clone(), "values": self._values.clone()}

    def check_state(self, state: State) -> None:
        """Raises StateMismatchError where the numbers are no points of the space; changes nothing."""
        require_like(self.state_dict(), state)
        require_cursor(state["told"], len(self._values))
        told = state["points"][: state["told"]].cpu()
        for (name, domain), column in zip(self._space.root.items(), told.T, strict=True):
            low, high = (0, len(domain.options) - 1) if isinstance(domain, Choice) else (domain.low, domain.high)
            if not bool(((column >= low) & (column <= high)).all()):
                raise StateMismatchError(f"saved values of {name} must lie in [{low}, {high}]")

    def load_state_dict(self, state: State) -> None:
        self.check_state(state)
        self._told = state["told"]
        self._points, self._values = state["points"].cpu().clone(), state["values"].cpu().clone()
        self._study = self._new_study()
        self._study.add_trials([
            create_trial(params=self._point(k), distributions=self._distributions, value=float(self._values[k]))
            for k in range(self._told)
        ])

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(direction="maximize")

    def _point(self, number: int) -> Point:
        row = self._points[number].tolist()
        return {name: _value(domain, x) for (name, domain), x in zip(self._space.root.items(), row, strict=True)}


def _number(domain: Domain, value: Value) -> float:
    """A value as a number that gives it back exactly."""
    if isinstance(domain, Choice):
        return float(domain.options.index(value))
    assert isinstance(value, int | float)
    return float(value)


def _value(domain: Domain, number: float) -> Value:
    return domain.options[round(number)] if isinstance(domain, Choice) else type(domain.low)(number)
