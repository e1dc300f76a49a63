"""Turns journal events into MLflow runs, in few calls that may all be repeated.

A run per sweep (study, provenance, report), a parent run per (problem, method), a child run per trial; an artefact
is a version of a registered model, made by its trial's run or, where it was found, by a run of its own. Every run
carries the sequence number of the last event written to it and every row the journal's timestamp, so observing a
journal again, in whole or in part, stores nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracking import mlflow_network as network
from tracking import mlflow_results as results
from tracking import mlflow_rows as rows
from tracking.mlflow_models import register
from tracking.mlflow_run import Event, Run
from tracking.mlflow_send import end, reopen, send
from tracking.read import TRIAL, Store, connect, experiment_id, sweep_runs
from tracking.record import Status

if TYPE_CHECKING:
    from mlflow import MlflowClient

Key = tuple[str, ...]

SWEEP, PARENT, ARTEFACT = "sweep", "parent", "artefact"  # the tag `role`; TRIAL is the fourth
ARTEFACT_PARENT = "artefacts"      # stands for the problem in the parent run of a maker's trials
# Events of our own: files for the sweep's run, a row of the table, the best network of a problem.
ATTACH, RESULT, NETWORK = "attach", "result of a study", "network"
# Errors of the store that no retry helps.
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")


class Writer:
    """Turns batches of events into few calls; every call may be repeated."""

    KINDS = ("sweep", "resumed", "asked", "result", "ended", "stage_done", "artefact", "sweep_done")

    def __init__(self, store: Store, sweep: str) -> None:
        self.note: Callable[[object], None] = lambda error: None
        self._store, self._sweep = store, sweep
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._known: dict[int, dict[Key, Run]] = {}  # the sweep's start -> its runs
        self._started: int | None = None
        self._provenance: dict[str, str] = {}
        self._problems: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        self._overrides: dict[str, Any] = {}  # what drivers were told to change, the latest last
        self._last_ms = 0
        self._done = False
        self._artefacts: list[tuple[Event, Run]] = []  # to be registered

    @property
    def _runs(self) -> dict[Key, Run]:
        return self._known.setdefault(self._started or 0, {})

    def write(self, events: Sequence[Event]) -> int:
        """Store a batch; how many of its events no retry would help."""
        if self._client is None:
            self._connect()
        for run in self._runs.values():
            run.drop_waiting()  # what a failed attempt left behind comes again with the events
        self._artefacts = []
        refused = 0
        for event in events:
            try:
                self._take(event)
            except (KeyError, TypeError, AttributeError) as error:
                self.note(f"an event of kind {event.get('kind')} is malformed: {error!r}")
                refused += 1
        refused += sum(self._flush(run) for run in self._runs.values())
        self._register()
        return refused

    def finish(self) -> None:
        """Nothing stays RUNNING: a trial or a sweep without an end was interrupted; news of it will open it again."""
        trials = [run for run in self._runs.values() if run.role == TRIAL]
        unended = [run for run in trials if run.status in ("RUNNING", "KILLED")]
        others = [run for run in self._runs.values() if run.role in (SWEEP, PARENT)]
        for runs, status in ((unended, "KILLED"), (others, "FINISHED" if self._done else "KILLED")):
            for run in runs:
                if run.status != status:
                    end(self._api, run, status, self._last_ms)

    def _connect(self) -> None:
        client = connect(self._store)
        experiment, known = experiment_id(client, self._store), dict[int, dict[Key, Run]]()
        for run in sweep_runs(client, experiment, self._sweep):
            tags = run.data.tags
            found = Run(
                run.info.run_id, tags.get("role", ""), run.info.status,
                seq=int(tags.get("written_seq", -1)), step=int(tags.get("written_step", 0)),
                latest={} if run.info.status == "FINISHED" else dict(run.data.metrics),
                problem=tags.get("problem", ""), has_data=bool(run.inputs and run.inputs.dataset_inputs),
            )
            known.setdefault(int(tags.get("sweep_started_ms", 0)), {})[_key(tags)] = found
        self._client, self._experiment, self._known = client, experiment, known
        self._started = max(known, default=None)

    def _take(self, event: Event) -> None:
        """Sort one event into the runs' waiting rows."""
        kind = event["kind"]
        if kind == ATTACH:
            return self._attach(event["paths"])
        if kind == RESULT:
            return self._take_outcome(event)
        if kind == NETWORK:
            return self._take_network(event)
        self._last_ms = max(self._last_ms, event["time_ms"])
        if kind == "sweep" or self._started is None:
            self._started = event["time_ms"]  # tells this sweep from an earlier one of the same name
        self._done = kind == "sweep_done" or (self._done and kind != "resumed")
        match kind:
            case "sweep" | "resumed":
                self._take_sweep(event)
            case "asked":
                self._take_asked(event)
            case "result":
                self._take_result(event)
            case "ended":
                self._take_ended(event)
            case "artefact":
                self._take_artefact(event)
            case "stage_done":
                run = self._parent(event)
                if run.is_news(event):
                    summary = {f"{event['stage']}/{name}": value for name, value in event["summary"].items()}
                    run.add(rows.numbers(summary), event["time_ms"], 0)

    def _take_outcome(self, event: Event) -> None:
        run = self._parent({**event, "time_ms": self._last_ms})
        run.waiting.append(run.seq)
        run.params |= results.result_params(event)
        run.points += results.result_points(event, self._last_ms)

    def _take_network(self, event: Event) -> None:
        """Whatever the registry says: runs do not depend on it, and the next `sync` tries again."""
        run = self._parent({**event, "time_ms": self._last_ms})
        try:
            network.keep(self._api, event, run.run_id, self._sweep)
        except Exception as error:
            self.note(f"the best network of {event['problem']} could not be registered as a model: {error}")

    def _take_sweep(self, event: Event) -> None:
        self._problems = results.problems_of(event) or self._problems
        provenance = event.get("provenance") or {}
        self._provenance = rows.tags(provenance, "provenance.")
        if provenance.get("commit"):
            self._provenance["mlflow.source.git.commit"] = str(provenance["commit"])
        changed = {"overrides": self._overridden(event), "other_data": event.get("other_data")}
        run = self._run((SWEEP,), SWEEP, self._sweep, event["time_ms"], {})
        if run.is_news(event):
            run.params |= rows.params(event.get("study") or event.get("comparison"))
            run.tags |= self._provenance | rows.tags(changed)
            for other in self._runs.values():
                if other.role == PARENT and other.status == "KILLED":
                    reopen(self._api, other)

    def _overridden(self, event: Event) -> str | None:
        """What the sweep goes on with instead of its params, which MLflow never changes; in the words of `--set`."""
        if event["kind"] == "sweep":
            self._overrides = {}
        for key, value in (event.get("overrides") or {}).items():
            self._overrides.pop(key, None)
            self._overrides[key] = value
        return " ".join(f"{key}={json.dumps(value)}" for key, value in self._overrides.items()) or None

    def _take_asked(self, event: Event) -> None:
        parent = self._parent(event)
        tags = {name: str(event[name]) for name in ("uid", "problem", "method", "stage", "index", "seed")}
        tags["phase"] = tags["stage"]  # the word that people look for
        tags |= {name: str(event[name]) for name in ("generation", "parent") if event.get(name) is not None}
        tags["mlflow.parentRunId"] = parent.run_id
        run = self._run((TRIAL, event["uid"]), TRIAL, event["uid"], event["time_ms"], tags)
        if run.is_news(event):
            run.params |= {"seed": str(event["seed"])} | rows.params(event["config"])
            run.tags |= self._provenance

    def _take_result(self, event: Event) -> None:
        run, metrics = self._runs[TRIAL, event["uid"]], rows.numbers(event["metrics"])
        run.latest, run.step = metrics, event["index"]
        if run.is_news(event):
            run.add(metrics, event["time_ms"], event["index"])

    def _take_ended(self, event: Event) -> None:
        run, status = self._runs[TRIAL, event["uid"]], Status(event["status"])
        final = "FAILED" if status is Status.FAILED else "FINISHED"
        if run.is_news(event):
            metrics = rows.numbers(event.get("metrics")) | rows.ledger_numbers(event.get("ledger"))
            # The last report holds most of them: a second point of the same value would bend no curve.
            fresh = {name: value for name, value in metrics.items() if run.latest.get(name) != value}
            run.add(fresh, event["time_ms"], run.step)
            run.tags |= rows.tags({"outcome": str(status), "reason": event.get("reason"),
                                   "uncounted": (event.get("ledger") or {}).get("uncounted")})
        if run.waiting or run.status != final:
            run.final = (final, event["time_ms"])

    def _take_artefact(self, event: Event) -> None:
        """On the run of the trial that made it; one that was found gets a run, with the cost of its making."""
        run = self._runs.get((TRIAL, str(event.get("uid"))))
        if run is None:
            study = {"problem": ARTEFACT_PARENT, "method": event["spec"]["maker"], "time_ms": event["time_ms"]}
            tags = {"key": event["key"], "mlflow.parentRunId": self._parent(study).run_id}
            run = self._run((ARTEFACT, event["key"]), ARTEFACT, event["label"], event["time_ms"], tags)
        if run.is_news(event):
            metrics = rows.ledger_numbers(event["ledger"])
            run.add({n: v for n, v in metrics.items() if run.latest.get(n) != v}, event["time_ms"], run.step)
            told = {name: event[name] for name in ("key", "sha256", "uri", "size")}
            run.params |= rows.params({ARTEFACT: event["spec"]})
            run.tags |= rows.tags({**told, "cached": event["cached"]}, f"{ARTEFACT}.") | self._provenance
            if run.role == ARTEFACT:
                run.final = ("FINISHED", event["time_ms"])
        self._artefacts.append((event, run))

    def _register(self) -> None:
        """Whatever the registry says: runs and sweep do not depend on it, and the next `sync` tries again."""
        artefacts, self._artefacts = self._artefacts, []
        for event, run in artefacts:
            try:
                register(self._api, event, run.run_id)
            except Exception as error:
                self.note(f"{event['label']} could not be registered as a model: {error}")

    def _parent(self, event: Event) -> Run:
        problem, method = str(event["problem"]), str(event["method"])
        tags = {"problem": problem, "method": method, **self._provenance}
        run = self._run((PARENT, problem, method), PARENT, f"{problem} / {method}", event["time_ms"], tags)
        if problem in self._problems and not run.has_data:
            run.data = self._problems[problem]
            run.waiting.append(run.seq)
        return run

    def _run(self, key: Key, role: str, name: str, time_ms: int, tags: Mapping[str, str]) -> Run:
        """The known run, or a new one."""
        if key in self._runs:
            return self._runs[key]
        own = {"sweep": self._sweep, "sweep_started_ms": str(self._started), "role": role}
        title = rows.shorten(name, rows.NAME_LENGTH)
        created = self._api.create_run(
            self._experiment, start_time=time_ms, tags={**tags, **own}, run_name=title
        )
        self._runs[key] = Run(created.info.run_id, role, created.info.status, problem=tags.get("problem", ""))
        return self._runs[key]

    def _flush(self, run: Run) -> int:
        """Store what waits; how many events the store refuses for good."""
        from mlflow.exceptions import MlflowException

        if not run.waiting and run.final is None:
            return 0
        refused = 0
        try:
            send(self._api, run)
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            self.note(error)
            refused = len(run.waiting)
        run.seq = max([run.seq, *run.waiting])
        run.drop_waiting()
        return refused

    def _attach(self, paths: Iterable[Path]) -> None:
        """Whatever the artefact store says: runs do not depend on it."""
        run = self._run((SWEEP,), SWEEP, self._sweep, self._last_ms, {})
        for path in paths:
            try:
                if path.is_dir():
                    self._api.log_artifacts(run.run_id, str(path), f"report/{path.name}")
                elif path.exists():
                    self._api.log_artifact(run.run_id, str(path), "report")
                else:
                    self.note(f"{path} does not exist, so it was not attached")
            except Exception as error:
                self.note(f"{path.name} could not be attached: {error}")

    @property
    def _api(self) -> MlflowClient:
        assert self._client is not None
        return self._client


def _key(tags: Mapping[str, str]) -> Key:
    """What a stored run is about."""
    match tags.get("role"):
        case "trial":
            return (TRIAL, tags["uid"])
        case "parent":
            return (PARENT, tags["problem"], tags["method"])
        case "artefact":
            return (ARTEFACT, tags["key"])
        case role:
            return (str(role),)
