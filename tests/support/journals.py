"""Synthetic journals of whole sweeps: the events that a director would write, with chosen test scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.sweep import Sweep
from tracking.journal import Event
from tracking.ledger import Ledger, Phase, PhaseCost
from tracking.record import Stage, Status
from tracking.storage import Place

UNIT_FLOPS = 1_000_000
FACTOR = {"plain": 1.0, "trivial_augment": 1.1, "augnet": 1.6, "unrolled": 3.0}  # one training, in plain ones
TRIALS = (Status.COMPLETE, Status.PRUNED, Status.COMPLETE, Status.BUDGET)
SCORES: dict[str, dict[str, Sequence[float]]] = {
    "digits-rotated": {
        "plain": (0.80, 0.82, 0.81), "trivial_augment": (0.84, 0.85, 0.86),
        "augnet": (0.94, 0.953, 0.961), "unrolled": (0.85, 0.83, 0.88),
    },
    "which-rotation": {
        "plain": (0.90, 0.91, 0.90), "trivial_augment": (0.86, 0.88, 0.87),
        "augnet": (0.90, 0.91, 0.90), "unrolled": (0.91, 0.89, 0.90),
    },
}
TRUTHS = {
    "digits-rotated": {"invariant": {"rotation": 60.0}, "harmful": {}},
    "which-rotation": {"invariant": {}, "harmful": {"rotation": 40.0}},
}


class Writer:
    """Numbers events as a journal does."""

    def __init__(self, label: str = "digits-1", seconds: float = 1.0) -> None:
        self.events: list[Event] = []
        self._label, self._seconds = label, seconds

    def emit(self, kind: str, **fields: Any) -> None:
        number = len(self.events)
        time_ms = round(1000 * self._seconds * number)
        self.events.append({"schema": 1, "seq": number, "time_ms": time_ms, "kind": kind, **fields})

    def begin(
        self, problems: Sequence[str], methods: Sequence[str], seeds: int, truths: Mapping[str, Any]
    ) -> None:
        comparison = {
            "problems": [{"label": name} for name in problems],
            "methods": [{"name": name, "label": "", "settings": {}} for name in methods],
            "confirm_seeds": seeds, "budget": 6.0,
        }
        provenance = {"commit": "0123abc", "dirty": False, "versions": {"torch": "2.15.0"}, "gpu": None}
        self.emit(
            "sweep", name=self._label, comparison=comparison, provenance=provenance, truths=dict(truths),
            units={"rotation": "deg", "brightness": ""}, kinds=dict.fromkeys(problems, "classification"),
            controls=[name for name in methods if name in ("plain", "trivial_augment")],
        )

    def trial(
        self, problem: str, method: str, stage: Stage, index: int, flops: int, *,
        status: Status = Status.COMPLETE, score: float = 0.8, extra: Mapping[str, float] | None = None,
        reason: str | None = None,
    ) -> str:
        """A whole trial of two reports; a failed one after the first."""
        uid = f"{problem}/{method}/{stage}-{index}"
        config = {"learning_rate": 0.1 / (index + 1)}
        self.emit(
            "asked", uid=uid, problem=problem, method=method, stage=str(stage), index=index, seed=7 * index,
            partition=index, config=config,
        )
        last: dict[str, float] = {}
        for number, share in enumerate((0.5, 1.0)):
            if status is Status.FAILED and number == 1:
                self.emit("result", **self._failed(uid, number, reason))
                break
            last = self.ledger(round(flops * share)) | {"val/score": score}
            done = number == 1
            last |= dict(extra or {}) if done else {}
            word = Status.COMPLETE if done and status is Status.COMPLETE else Status.RUNNING
            self.emit(
                "result", uid=uid, index=number, status=str(word), ready=True, score=score, values=[score],
                flops=round(flops * share), metrics=last, found=None, ledger=None, reason=None,
            )
        self.emit("ended", uid=uid, status=str(status), reason=reason, metrics=last, ledger=None)
        return uid

    def ledger(self, flops: int) -> dict[str, float]:
        """What a meter would say: everything in proportion, seconds by this machine's speed."""
        return {
            "cost/flops": float(flops), "cost/examples": float(flops // 1000),
            "cost/label_reads": float(flops // 2000),
            "cost/cpu_seconds": self._seconds * flops / 1e6, "cost/wall_seconds": self._seconds * flops / 5e5,
            "cost/device_seconds": 0.0, "cost/peak_host_bytes": 1e8 * self._seconds,
            "evaluation/flops": float(flops // 10), "evaluation/wall_seconds": self._seconds,
        }

    def done(self, problem: str, method: str, stage: str, reason: str | None = None) -> None:
        self.emit(
            "stage_done", uid=f"{problem}/{method}/{stage}", problem=problem, method=method, stage=stage,
            reason=reason, summary={},
        )

    @staticmethod
    def _failed(uid: str, index: int, reason: str | None) -> dict[str, Any]:
        return {
            "uid": uid, "index": index, "status": "failed", "ready": False, "score": None, "flops": 0,
            "metrics": {}, "found": None, "ledger": None, "reason": reason, "values": [None],
        }


def finals(score: float, agreement: float) -> dict[str, float]:
    """What a confirm trial's last report carries on top."""
    return {
        "test/score": score, "test/score_own_copies": score - 0.01, "test/score_common_copies": score + 0.01,
        "invariance/rotation/agreement": agreement, "invariance/rotation/kl": 1 - agreement,
        "invariance/brightness/agreement": 0.97, "invariance/brightness/kl": 0.02,
    }


def study(writer: Writer, problem: str, method: str, scores: Sequence[float], replay: bool) -> None:
    """probe, tune, confirm of one (problem, method)."""
    flops = round(UNIT_FLOPS * FACTOR.get(method, 1.0))
    writer.trial(problem, method, Stage.PROBE, 0, flops // 10)
    for index, status in enumerate(TRIALS):
        share = 1.0 if status is Status.COMPLETE else 0.4
        score = 0.7 + index / 50
        writer.trial(problem, method, Stage.TUNE, index, round(flops * share), status=status, score=score)
    writer.done(problem, method, "tune")
    for index, score in enumerate(scores, start=1):
        learned = {"learned/rotation/width_deg": 40.0 + index} if replay else {}
        writer.trial(problem, method, Stage.RERUN, index, flops, extra=finals(score, 0.9) | learned)
    for index, score in enumerate(scores if replay else (), start=1):
        measured = finals(score - 0.005 * index, 0.85)
        writer.trial(problem, method, Stage.REPLAY, index, UNIT_FLOPS, extra=measured)
    writer.done(problem, method, "confirm")


def pretrained(
    events: Sequence[Event], needs: Mapping[tuple[str, str], Sequence[str]], flops: Mapping[str, int],
    cached: bool = False,
) -> list[Event]:
    """The same sweep, in which studies use artefacts.

    Args:
        needs: (problem, method) -> keys.
        flops: key -> what the making has cost; one without is not made.
        cached: they were there before.
    """
    spec = {"maker": "extractor", "settings": {}, "source": {"label": "digits"}, "data_seed": 0, "seed": 0}
    told = {
        "specs": {key: spec for keys in needs.values() for key in keys},
        "needs": {"/".join(study): dict(enumerate(keys)) for study, keys in needs.items()},
    }
    made: list[Event] = [
        {
            "kind": "artefact", "time_ms": events[0]["time_ms"], "seq": 0, "key": key, "label": "extractor on digits",
            "uri": f"/sweeps/artefacts/{key}", "sha256": "0" * 64, "size": 9, "cached": cached, "spec": spec,
            "ledger": Ledger({Phase.PRETRAIN: PhaseCost(
                flops=amount, examples=7, wall_seconds=90.0, unlabelled_reads=1400
            )}).to_json(),
        }
        for key, amount in flops.items()
    ]
    return [{**events[0], "artefacts": told}, *made, *events[1:]]


def journal(
    scores: Mapping[str, Mapping[str, Sequence[float]]] | None = None, *,
    replays: Sequence[str] = ("augnet",),
    truths: Mapping[str, Any] | None = None, name: str = "digits-1", seconds: float = 1.0,
) -> list[Event]:
    """A finished sweep with these test scores: problem -> method -> one per seed.

    Args:
        replays: methods whose finding is trained on its own.
        seconds: how slow the machine was; changes times and memory only.
    """
    given = SCORES if scores is None else scores
    writer = Writer(name, seconds)
    methods = list(dict.fromkeys(method for row in given.values() for method in row))
    seeds = max((len(values) for row in given.values() for values in row.values()), default=0)
    writer.begin(list(given), methods, seeds, TRUTHS if truths is None else truths)
    for problem, row in given.items():
        writer.trial(problem, "budget-unit", Stage.UNIT, 0, UNIT_FLOPS)
        for method, values in row.items():
            study(writer, problem, method, values, method in replays)
    writer.emit("sweep_done")
    return writer.events


def stored(root: Path, events: Sequence[Event], name: str = "one") -> Sweep:
    """A sweep's folder with this journal."""
    (root / name).mkdir(parents=True)
    lines = [json.dumps(event, separators=(",", ":")) for event in events]
    (root / name / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return Sweep(Place.of(root / name))
