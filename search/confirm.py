"""The confirm stage of one study: the best configuration from scratch on fresh seeds, test split read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracking.record import Stage, Status
from trainables.assignment import FIRST_SEED


@dataclass
class Confirmed:
    """One confirm trial, as far as it is known."""

    uid: str
    stage: Stage
    seed_index: int  # FIRST_SEED..S; paired across methods, and a replay with its rerun; S more for each further replay
    settings: dict[str, Any]
    status: Status = Status.RUNNING
    flops: int = 0


class Confirm:
    """`rerun`: search and train again on every seed; `replay`: what that rerun found, frozen, from scratch.

    Args:
        prefix: "PROBLEM/METHOD".
        settings: the chosen configuration.
        seeds: S.
        replays: how often what was found is trained on its own.
    """

    def __init__(self, prefix: str, settings: dict[str, Any], seeds: int, replays: int) -> None:
        self.trials: dict[str, Confirmed] = {}
        self._prefix, self._seeds, self._replays = prefix, seeds, replays
        self._waiting = [self._planned(Stage.RERUN, index, settings) for index in range(FIRST_SEED, FIRST_SEED + seeds)]

    @property
    def may_ask(self) -> bool:
        return bool(self._waiting)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def done(self) -> bool:
        return not self._waiting and all(t.status is not Status.RUNNING for t in self.trials.values())

    def ask(self) -> Confirmed:
        trial = self._waiting.pop(0)
        self.trials[trial.uid] = trial
        return trial

    def take(self, uid: str) -> Confirmed:
        """Ask for one particular trial, as the journal says it was asked."""
        self._waiting.sort(key=lambda trial: trial.uid != uid)  # stable: the others keep their order
        return self.ask()

    def complete(self, uid: str, found: dict[str, Any] | None) -> None:
        trial = self.trials[uid]
        trial.status = Status.COMPLETE
        if trial.stage is Stage.RERUN and found is not None:
            indices = (trial.seed_index + number * self._seeds for number in range(self._replays))
            self._waiting += [self._planned(Stage.REPLAY, index, found) for index in indices]

    def fail(self, uid: str) -> None:
        self.trials[uid].status = Status.FAILED

    def _planned(self, stage: Stage, index: int, settings: dict[str, Any]) -> Confirmed:
        return Confirmed(f"{self._prefix}/{stage}-{index}", stage, index, settings)


def search_of(index: int, seeds: int) -> int:
    """The search whose finding a replay trains, of S: the index of its rerun."""
    return (index - FIRST_SEED) % seeds + FIRST_SEED
