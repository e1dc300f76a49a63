"""Measured trials as a workload for the simulator: `python benchmarks/curves.py JOURNAL [-o FILE]` extracts them.

Any sweep's journal will do; only trials that reached their horizon are kept, so a sweep without ASHA gives most:
`invsearch compare digits --set asha=null --set max_trials=12 --set budget=100`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.simulator import Work
from search.study import Comparison
from tracking.record import Stage, Status
from trainables import plugins
from trainables.assignment import Assignment, Report
from trainables.method import stable_seed

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "data" / "digits.json"
SCALED = ("cost/", "evaluation/")  # metrics that grow with the work; all others keep their last value
Trial = dict[str, Any]


def extract(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a workload needs of a journal: horizon, and of every whole trial its seconds, FLOPs and scores.

    Seconds are the slice's and its evaluation's. Where no device was used they are CPU seconds: the trial has one
    thread, and what else the machine did then is left out.
    """
    comparison = events[0]["comparison"]
    asked = {e["uid"]: e for e in events if e["kind"] == "asked"}
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["kind"] == "result":
            rows.setdefault(event["uid"], []).append(event)
    trials: list[Trial] = []
    names: dict[str, Any] = {}
    for uid, reports in rows.items():
        stage, method, last = asked[uid]["stage"], asked[uid]["method"], reports[-1]
        if last["status"] != Status.COMPLETE or stage in (Stage.UNIT, Stage.PROBE):
            continue
        trials.append({
            "problem": asked[uid]["problem"], "method": method, "stage": stage, "settings": asked[uid]["config"],
            "seconds": [round(_seconds(r["metrics"]), 4) for r in reports], "flops": [r["flops"] for r in reports],
            "scores": [round(r["score"], 5) for r in reports], "ready": [r["ready"] for r in reports],
            "found": last["found"],
        })
        names.setdefault(f"{method}/{stage}", {
            "running": _rounded(reports[0]["metrics"]), "last": _rounded(last["metrics"]), "ledger": last["ledger"],
        })
    return {"horizon": comparison["horizon"], "provenance": events[0]["provenance"], "reports": names,
            "trials": trials}


class Replayed:
    """A workload of recorded trials: each simulated one follows the recorded one with the nearest settings.

    A problem that was not recorded follows one that was, chosen by its label. The score gets noise of its own, as
    wide as the recorded confirm seeds differ, so that two trials never tie.

    Args:
        sizes: problem label -> how many times dearer its training is than the recorded one.
    """

    def __init__(self, recorded: Mapping[str, Any], sizes: Mapping[str, float] | None = None) -> None:
        self._horizon, self._reports, self._sizes = recorded["horizon"], recorded["reports"], sizes or {}
        self._trials: dict[tuple[str, str, str], list[Trial]] = {}
        for trial in recorded["trials"]:
            self._trials.setdefault((trial["problem"], trial["method"], trial["stage"]), []).append(trial)
        self._problems = sorted({trial["problem"] for trial in recorded["trials"]})
        self._chosen: dict[str, tuple[Trial, float]] = {}
        self._points: dict[int, list[float]] = {}

    @property
    def methods(self) -> set[str]:
        """That were recorded; no others can be replayed."""
        return {method for _, method, _ in self._trials}

    def __call__(self, assignment: Assignment, index: int) -> Work:
        trial, noise = self._follow(assignment)
        size = self._sizes.get(assignment.problem.label, 1.0) * assignment.protocol.horizon / self._horizon
        before, now = (self._share(assignment, i) for i in (index, index + 1))
        done = now >= assignment.fraction
        at = min(len(trial["scores"]) - 1, max(0, math.ceil(now * len(trial["scores"])) - 1))
        score, flops = trial["scores"][at] + noise, round(size * _at(trial["flops"], now))
        seconds = size * (_at(trial["seconds"], now) - _at(trial["seconds"], before))
        report = self._reports[f"{trial['method']}/{trial['stage']}"]
        metrics = {
            name: value * now * size if name.startswith(SCALED) else value
            for name, value in report["last" if done else "running"].items()
        } | {"val/score": score, "cost/flops": float(flops), "cost/wall_seconds": size * _at(trial["seconds"], now)}
        found = trial["found"] if done and assignment.stage is Stage.RERUN else None
        return Work(seconds, Report(
            uid=assignment.uid, index=index, ready=trial["ready"][at] or done, score=score, flops=flops,
            status=Status.COMPLETE if done else Status.RUNNING, metrics=metrics, found=found,
            ledger=report["ledger"] if done else None,
        ))

    def _follow(self, assignment: Assignment) -> tuple[Trial, float]:
        """The recorded trial and the noise; the same for all reports of a trial."""
        known = self._chosen.get(assignment.uid)
        if known is None:
            label, method = assignment.problem.label, assignment.method
            problem = label if label in self._problems else (
                self._problems[stable_seed(label, "recorded") % len(self._problems)]
            )
            stage = assignment.stage if assignment.stage in (Stage.RERUN, Stage.REPLAY) else Stage.TUNE
            trials = self._trials[problem, method, stage]
            spread = _spread([t["scores"][-1] for t in self._trials.get((problem, method, Stage.RERUN), ())])
            noise = random.Random(stable_seed(assignment.uid, assignment.seed)).gauss(0.0, spread)
            known = self._chosen[assignment.uid] = (self._nearest(assignment, trials), noise)
        if len(self._chosen) > 4000:  # those that have ended are not asked for again
            del self._chosen[next(iter(self._chosen))]
        return known

    def _nearest(self, assignment: Assignment, trials: list[Trial]) -> Trial:
        """By the distance in the unit cube of the method's space."""
        if assignment.stage is Stage.REPLAY:  # what was found is another method's configuration
            return trials[assignment.index % len(trials)]
        space = plugins.method_config(assignment.method).space

        def point(settings: Mapping[str, Any]) -> list[float]:
            return space.encode({name: settings[name] for name in space.names})

        here = point(assignment.settings)
        for trial in trials:
            self._points.setdefault(id(trial), point(trial["settings"]))
        return min(trials, key=lambda trial: math.dist(here, self._points[id(trial)]))

    @staticmethod
    def _share(assignment: Assignment, reports: int) -> float:
        """Of the full horizon, after so many reports."""
        updates = min(reports * assignment.slice_updates, assignment.horizon)
        return float(updates / assignment.protocol.horizon) if updates < assignment.horizon else assignment.fraction


def load(path: Path = RECORDED) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(path.read_text())
    return recorded


def pixels(comparison: Comparison, recorded: int = 16) -> dict[str, float]:
    """An assumption, not a measurement: training costs in proportion to pixels. Problem -> times the recorded one.

    Args:
        recorded: side of the images that the recorded trials were trained on.
    """
    return {p.label: ((p.source.get("size") or recorded) / recorded) ** 2 for p in comparison.problems}


def _at(cumulative: Sequence[float], share: float) -> float:
    """A recorded running total at a share of the horizon, linear between reports."""
    position = share * len(cumulative)
    whole = min(int(position), len(cumulative) - 1)
    before = cumulative[whole - 1] if whole else 0.0
    return before + (position - whole) * (cumulative[whole] - before)


def _seconds(metrics: Mapping[str, float]) -> float:
    kind = "wall_seconds" if metrics["cost/device_seconds"] > 0 else "cpu_seconds"
    return metrics[f"cost/{kind}"] + metrics[f"evaluation/{kind}"]


def _spread(scores: Sequence[float]) -> float:
    return statistics.stdev(scores) if len(scores) > 1 else 0.01


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in metrics.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("journal", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=RECORDED)
    arguments = parser.parse_args()
    with arguments.journal.open() as lines:
        recorded = extract([json.loads(line) for line in lines])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    trials = ",\n".join(json.dumps(trial, separators=(",", ":")) for trial in recorded.pop("trials"))
    head = json.dumps(recorded, separators=(",", ":"))[:-1]
    arguments.output.write_text(f'{head},"trials":[\n{trials}\n]}}\n')
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
