"""What waits for one MLflow run, sent in few calls that may all be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from tracking import mlflow_results as results
from tracking.mlflow_run import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_PER_CALL, TEXTS_PER_CALL = 800, 90  # MLflow takes 1000 entities, 100 of them params and 100 tags


def send(api: MlflowClient, run: Run) -> None:
    """Rows, then the mark that they are stored, then the end: a crash repeats some and loses none.

    One call does where the rows fit in it: MLflow stores params, metrics and tags in this order.
    """
    if run.waiting and run.status != "RUNNING":
        reopen(api, run)
    _send_rows(api, run)
    if run.data is not None:
        problem = results.dataset_input(run.problem, *run.data)
        api.log_inputs(run.run_id, datasets=[problem])
        run.has_data = True
    if run.final is not None:
        end(api, run, *run.final)


def reopen(api: MlflowClient, run: Run) -> None:
    """A run that had ended goes on."""
    api.update_run(run.run_id, status="RUNNING")
    run.status = "RUNNING"


def end(api: MlflowClient, run: Run, status: str, time_ms: int) -> None:
    """Its status and its end."""
    api.set_terminated(run.run_id, status=status, end_time=time_ms)
    run.status = status
    run.latest = {}


def _send_rows(api: MlflowClient, run: Run) -> None:
    from mlflow.entities import Metric, Param, RunTag

    mark = {"written_seq": str(max(run.waiting)), "written_step": str(run.step)} if run.waiting else {}
    metrics = _chunks([Metric(*point) for point in run.points], METRICS_PER_CALL)
    params = _chunks([Param(*pair) for pair in run.params.items()], TEXTS_PER_CALL)
    tags = _chunks([RunTag(*pair) for pair in (run.tags | mark).items()], TEXTS_PER_CALL)
    calls = list(zip_longest(*(reversed(list(rows)) for rows in (metrics, params, tags)), fillvalue=()))
    for some_metrics, some_params, some_tags in reversed(calls):  # the mark is in the last call
        api.log_batch(run.run_id, some_metrics, some_params, some_tags, synchronous=True)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
