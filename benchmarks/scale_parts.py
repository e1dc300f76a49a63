"""What benchmarks/scale.py measures, one function per fresh process: shapes, resume, MLflow, what-if."""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curves import Replayed, load, pixels

from search import recipes
from search import sweep as sweeps
from search.director import Director
from search.recorder import Recorder
from search.simulator import Delays, Outcome, Simulator, Timed
from search.spending import Spending
from search.status import Standing
from search.study import Comparison, parallel_for
from tracking.journal import Journal, read
from tracking.mlflow_log import MlflowLog, Store
from tracking.provenance import collect
from tracking.record import Stage
from tracking.storage import Place

METHODS = ("plain", "trivial_augment", "augnet", "unrolled")
WINDOW = 101  # trials whose median is the figure at a trial number: more than the wide shape has studies
STUDIES = {"wide": 100, "deep": 1}


def shape(name: str, trials: int, slots: int) -> Comparison:
    """`wide`: 100 studies; `deep`: one. The number of tune trials ends each study, the budget does not."""
    studies = STUDIES[name]
    methods = METHODS if studies > 1 else ("trivial_augment",)
    return Comparison.model_validate({
        "problems": [{"label": f"digits-{i}", "source": {"name": "digits"}} for i in range(studies // len(methods))],
        "methods": [{"name": method} for method in methods],
        "horizon": 240, "budget": 1e9, "max_trials": trials // studies, "confirm_seeds": 1,
        "parallel_trials": parallel_for(slots, studies),
    })


def drive(name: str, trials: int, slots: int, folder: Path) -> dict[str, Any]:
    """Simulate a shape with a real journal on a real disk: seconds of the driver's own process."""
    folder.mkdir(parents=True, exist_ok=True)
    comparison = shape(name, trials, slots)
    made = sweeps.create(Place.of(folder / name), comparison)
    clock = [0.0]
    start = time.time_ns() // 1_000_000
    with Journal(made.place, now_ms=lambda: start + round(1000 * clock[0])) as journal:
        recorder = Recorder(made, journal)
        recorder.add(Spending(comparison).take)
        recorder.add(Standing().take)
        recorder("sweep", name=name, comparison=comparison.model_dump(mode="json"), provenance=collect())
        director = Director(comparison, made.place, folder / "cache", recorder)
        simulator = Simulator(director, slots, Replayed(load()))

        def tick(outcome: Outcome) -> bool:
            clock[0] = simulator.now
            return False

        began = time.perf_counter()
        outcome = simulator.run(tick)
        seconds = time.perf_counter() - began
        recorder("sweep_done")
        events = len(journal.events)
    return {
        "trials": len(outcome.trials), "events": events, "simulator_seconds": seconds,
        "journal_bytes": (folder / name / "journal.jsonl").stat().st_size, "peak_mib": _peak_mib(),
        "fsync_ms": fsync_ms(folder), "efficiency": outcome.efficiency, "makespan_hours": outcome.makespan / 3600,
        **slopes([t for t in outcome.trials if t.stage is Stage.TUNE]),
    }


def slopes(trials: Sequence[Timed]) -> dict[str, float]:
    """Medians of the tune trials that were asked when so many were known, in milliseconds; of 10,000 the last ones.

    The first thousand are asked before anything is known: no model, no time. They are no measure of a slope.
    """
    found: dict[str, float] = {}
    for number in (100, 1_000, 10_000):
        if number > len(trials):
            break
        last = len(trials) - WINDOW
        first = next((i for i, trial in enumerate(trials) if trial.known >= number), last)
        near = trials[last if number == 10_000 else min(first, last) :][:WINDOW]
        parts: dict[str, Callable[[Timed], float]] = {
            "decision": lambda t: t.decision_seconds, "cpu": lambda t: t.cpu_seconds, "ask": lambda t: t.ask_seconds,
            "report": lambda t: t.report_seconds / max(1, t.reports),
        }
        for what, seconds in parts.items():
            found[f"{what}_ms_at_{number}"] = 1000 * statistics.median(seconds(t) for t in near)
        found[f"known_at_{number}"] = float(near[0].known)
        found[f"reports_per_trial_at_{number}"] = statistics.mean(t.reports for t in near)
    found["decision_ms_of_first_100"] = 1000 * statistics.median(t.decision_seconds for t in trials[:100])
    return found


def fsync_ms(folder: Path, writes: int = 100) -> float:
    """What the disk itself takes to make a line of 1,000 bytes durable; median."""
    spent = []
    with (folder / "probe").open("ab") as file:
        for _ in range(writes):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 1000)
            os.fsync(file.fileno())
            spent.append(1000 * (time.perf_counter() - began))
    (folder / "probe").unlink()
    return statistics.median(spent)


def resume(name: str, trials: int, slots: int, folder: Path) -> dict[str, Any]:
    """What a new driver does before its first trial: read the journal, repeat all decisions; and `status`."""
    comparison, place = shape(name, trials, slots), Place.of(folder / name)
    began = time.perf_counter()
    with Journal(place) as journal:
        opened = time.perf_counter()
        director = Director(comparison, place, folder / "cache", lambda kind, **fields: {})
        director.replay(journal.events)
        replayed = time.perf_counter()
        standing = Standing()
        for event in journal.events:
            standing.take(event)
        folded = time.perf_counter()
    assert director.finished
    return {
        "open_seconds": opened - began, "replay_seconds": replayed - opened, "status_seconds": folded - replayed,
        "resume_peak_mib": _peak_mib(),
    }


def mlflow(name: str, events: int, folder: Path) -> dict[str, Any]:
    """The journal's first so many events through the real writer into a real SQLite store."""
    database = folder / f"{name}.db"
    log = MlflowLog(Store(f"sqlite:///{database}", name, folder / "artifacts"), name)
    taken = [event for _, event in zip(range(events), read(Place.of(folder / name)), strict=False)]
    log.observe(taken[0])  # the first event makes the tables, which takes seconds
    while log._background._items:
        time.sleep(0.05)
    began = time.perf_counter()
    for event in taken[1:]:
        log.observe(event)
    left = log.close(3600.0)
    seconds = time.perf_counter() - began
    if left or log.errors:
        raise RuntimeError(f"{left} events were not written: {log.errors}")
    rows = sum(len(event["metrics"]) for event in taken if event["kind"] == "result")
    size = sum(path.stat().st_size for path in folder.glob(f"{name}.db*"))
    return {
        "mlflow_events": len(taken), "mlflow_seconds": seconds, "mlflow_events_per_second": len(taken) / seconds,
        "mlflow_writes_per_second": rows / seconds, "mlflow_bytes": size, "mlflow_bytes_per_event": size / len(taken),
        "mlflow_peak_mib": _peak_mib(),
    }


def what_if(recipe: str, slots: Sequence[int], message_ms: float, start_seconds: float) -> dict[str, Any]:
    """Makespan and efficiency of a recipe at so many slots; the journal stays in memory. Its recorded methods only."""
    described, recorded = Comparison.model_validate(recipes.get(recipe)), load()
    kept, left_out = [], []
    for method in described.methods:
        (kept if method.name in Replayed(recorded).methods else left_out).append(method)
    described = described.model_copy(update={"methods": tuple(kept)})
    studies, rows = len(described.problems) * len(kept), []
    for count in slots:
        parallel = parallel_for(count, studies)
        comparison = described.model_copy(update={"parallel_trials": parallel})
        outcome, free = (
            Simulator(
                Director(comparison, Place.of("nowhere"), Path("nowhere"), lambda kind, **fields: {}), count,
                Replayed(recorded, pixels(described)), delays,
            ).run()
            for delays in (Delays(start_seconds, message_ms / 1000), Delays(start_seconds))
        )
        rows.append({
            "slots": count, "parallel_trials": parallel, "trials": len(outcome.trials),
            "makespan_hours": outcome.makespan / 3600, "work_hours": outcome.work / 3600,
            "efficiency": outcome.efficiency, "efficiency_with_free_driver": free.efficiency,
        })
        print(json.dumps(rows[-1]), flush=True)
    return {"studies": studies, "rows": rows, "methods_left_out": [method.name for method in left_out]}


def _peak_mib() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
