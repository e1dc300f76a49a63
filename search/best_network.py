"""Which network is to be kept as the best of its problem: by the select split, never by the test split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from search.account import trials
from search.plan import plan
from tracking.errors import StorageError
from tracking.journal import Event
from tracking.record import Stage, Status
from tracking.storage import Place
from trainables.program import NAME


def best_networks(events: Sequence[Event], exports: Place) -> Iterator[Mapping[str, Any]]:
    """One per problem: problem, method, `select_score` (mean over the confirm trainings), `program`.

    Of the rows that left a network, the one of the highest mean select score; the network is that of its first seed. A
    row that was told what is planted there is a bound, and nobody's best.
    """
    planned = plan(events)
    for problem in planned.problems:
        ranked = sorted(mean_select_scores(events, problem).items(), key=lambda pair: -pair[1])
        for method, score in ranked:
            if planned.bound(problem, method):
                continue
            try:
                program = (exports / problem / method).read(NAME)
            except (OSError, StorageError):
                continue
            yield {"problem": problem, "method": method, "select_score": score, "program": program}
            break


def mean_select_scores(events: Sequence[Event], problem: str) -> dict[str, float]:
    """method -> mean select score of its confirm trainings."""
    found: dict[str, list[float]] = {}
    for trial in trials(events).values():
        if (trial.problem, trial.stage, trial.status) == (problem, Stage.RERUN, Status.COMPLETE) and (
            trial.score is not None
        ):
            found.setdefault(trial.method, []).append(trial.score)
    return {method: fmean(scores) for method, scores in found.items()}
