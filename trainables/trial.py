"""The only file here that knows Ray: a method under a `Harness`, or a maker under its own, as a class Trainable.

Nothing that a method raises leaves the trainable: Ray would throw the worker away and lose a slot. A failure is an
ordinary report with `status=failed`, the cause and the reason, and every key that the scheduler reads. A method that
hangs cannot report: its process ends itself, and the driver knows by the silence before it.
"""

from __future__ import annotations

import gc
import os
import traceback
from contextlib import suppress
from typing import Any

import torch
from ray import tune

from tracking.record import Cause, NotFiniteError, Status
from trainables.assignment import Making, Report, read_job
from trainables.harness import Harness
from trainables.making import MakerHarness
from trainables.team import LostRankError
from trainables.time_limit import time_limit

TRACE_CHARACTERS = 4000


class Trial(tune.Trainable):  # type: ignore[misc]  # Ray carries no types
    """Runs the assignment in `config["assignment"]` (JSON), one slice per step.

    `config` says beside it the `uid`, the `hang_seconds` of a slice, and how many reports are `known` already: an
    assignment that cannot even be read still has to fail by its name.

    Each result holds the report as JSON under "report", and "val/score", "cost/flops" and "done" beside it. Workers
    are reused: every trial starts from a fresh harness, and nothing of the one before is kept.
    """

    _harness: Harness | MakerHarness | None = None
    _failure: BaseException | None = None

    def setup(self, config: dict[str, Any]) -> None:
        # Ray's default leaves torch as many threads as the node has cores; then workers fight for them.
        torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
        gc.collect()
        gc.freeze()  # what the imports made is never garbage; without it each collection below takes 0.25 s
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        with time_limit(self._hang_seconds):
            report = self._failed() if self._harness is None else self._advance(self._harness)
        return {
            "report": report.model_dump_json(),
            "val/score": report.score if report.score is not None else 0.0,
            "cost/flops": report.flops,
            "done": report.status is not Status.RUNNING,
        }

    def cleanup(self) -> None:
        """The sweep stops in order: what was done since the last checkpoint is kept."""
        harness, self._harness = self._harness, None
        if harness is not None and self._failure is None:
            with suppress(Exception):  # there is nobody left to tell; the checkpoint before stays valid
                harness.save()
        if isinstance(harness, MakerHarness):
            harness.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self._harness, self._failure, self._next = None, None, int(config["known"])
        gc.collect()  # the last trial's tensors go before this one's come
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._uid, self._hang_seconds = str(config["uid"]), float(config["hang_seconds"])
        try:
            with time_limit(self._hang_seconds):
                job = read_job(config["assignment"])
                self._harness = MakerHarness(job) if isinstance(job, Making) else Harness(job)
        except (Exception, SystemExit) as error:
            self._failure = error

    def _advance(self, harness: Harness | MakerHarness) -> Report:
        try:
            report = harness.advance()
        except (Exception, SystemExit) as error:  # a method that calls `sys.exit` fails, and not its worker
            self._failure = error
            return self._failed()
        self._next = max(self._next, report.index + 1)
        return report

    def _failed(self) -> Report:
        spent = {} if self._harness is None else self._harness.meter.ledger().metrics()
        return Report(
            uid=self._uid, index=self._next, status=Status.FAILED, ready=False, score=None,
            flops=int(spent.get("cost/flops", 0)), metrics=spent,
            reason="the trial has no harness" if self._failure is None else _reason(self._failure),
            cause=_cause(self._failure),
        )


def _cause(failure: BaseException | None) -> Cause:
    """A process of a team that ends without a word has died; what it raises it says."""
    if isinstance(failure, LostRankError):
        return Cause.DIED
    return Cause.NOT_FINITE if isinstance(failure, NotFiniteError) else Cause.RAISED


def _reason(error: BaseException) -> str:
    """One line first, for tables; the end of the traceback after it, for the log."""
    trace = "".join(traceback.format_exception(error))[-TRACE_CHARACTERS:]
    return f"{type(error).__name__}: {error}\n{trace}"
