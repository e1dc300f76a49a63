"""What a sweep set out to do, and what of it is missing, as its journal tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.account import Trial, trials
from search.words import on_one_line
from tracking.journal import Event
from tracking.record import NotFiniteError, Stage, Status

ORACLE = "oracle"  # the bound of journals that do not name theirs
CLASSIFICATION = "classification"  # the kind of problem whose score is an accuracy


@dataclass(frozen=True, slots=True)
class Plan:
    """The comparison behind a journal.

    Args:
        methods: row label -> method.
        seeds: S of the confirm stage.
        budget: tuning budget of every study, in plain trainings; 0 where the journal does not tell.
        truths: problem -> {"invariant" | "harmful": {action: physical value}}, None where nothing is planted.
        units: action -> physical unit.
        provenance: commit, versions, hardware.
        controls: labels of the rows that search nothing.
        bounds: labels of the rows that know the answer where one is planted.
        random_controls: label of a row -> label of the row that draws from the same space without a search.
        accuracies: problems whose score is an accuracy.
        classes: problem -> names of its classes by label; older journals do not tell.
    """

    name: str
    problems: tuple[str, ...]
    methods: Mapping[str, str]
    seeds: int
    budget: float
    comparison: Mapping[str, Any]
    truths: Mapping[str, Any]
    units: Mapping[str, str]
    provenance: Mapping[str, Any]
    controls: frozenset[str]
    bounds: frozenset[str]
    random_controls: Mapping[str, str]
    accuracies: frozenset[str]
    classes: Mapping[str, Sequence[str]]

    def bound(self, problem: str, method: str) -> bool:
        """Whether the row is told what is planted in the problem; where nothing is, there is nothing to be told."""
        return method in self.bounds and bool(self.truths.get(problem))


def plan(events: Sequence[Event]) -> Plan:
    """From the `sweep` event; what that does not name is taken from the trials."""
    head: Mapping[str, Any] = next((e for e in events if e["kind"] == "sweep"), {})
    comparison: Mapping[str, Any] = head.get("comparison", {})
    asked = [e for e in events if e["kind"] == "asked" and e["stage"] != Stage.ARTEFACT]
    studies = [e for e in asked if e["stage"] != Stage.UNIT]
    methods = {m.get("label") or m["name"]: m["name"] for m in comparison.get("methods", ())}
    return Plan(
        name=str(head.get("name", "")),
        problems=tuple(dict.fromkeys(
            [*(p["label"] for p in comparison.get("problems", ())), *(e["problem"] for e in asked)]
        )),
        methods=methods or {e["method"]: e["method"] for e in studies},
        seeds=int(comparison.get("confirm_seeds", 0)),
        budget=float(comparison.get("budget", 0.0)),
        comparison=comparison,
        truths=head.get("truths", {}), units=head.get("units", {}), provenance=head.get("provenance", {}),
        controls=frozenset(head.get("controls", ())),
        bounds=frozenset(head.get("bounds", (label for label, name in methods.items() if name == ORACLE))),
        random_controls=head.get("random_controls", {}),
        accuracies=frozenset(p for p, kind in head.get("kinds", {}).items() if kind == CLASSIFICATION),
        classes=head.get("classes", {}),
    )


def missing(events: Sequence[Event]) -> tuple[str, ...]:
    """What lies between this journal and a finished sweep, as sentences; none for a whole, sound one."""
    planned = plan(events)
    found = [*_state(events), *_mixed(events), *_limited(events), *_unmade(events)]
    known, gone = list(trials(events).values()), given_up(events)
    for problem in planned.problems:
        for method in planned.methods:
            own = [t for t in known if (t.problem, t.method) == (problem, method)]
            found += _gaps(f"{problem}, {method}", own, planned.seeds)
            if (problem, method) in gone:
                reason = on_one_line(gone[problem, method])
                found.append(f"{problem}, {method}: the study was given up: {reason}")
    return tuple(found)


def unit_failed(reason: str) -> str:
    """Why a problem's studies cannot begin: the unit of their budget is a training, and it did not end.

    What helps stands in the first line: where there is room for one, a traceback comes after it.
    """
    if NotFiniteError.__name__ in reason:
        first, end, rest = reason.partition("\n")
        reason = f"{first}; it diverged: give the row `plain` a smaller `learning_rate` in its `settings`{end}{rest}"
    return f"the plain training that measures the budget failed: {reason}"


def given_up(events: Sequence[Event]) -> dict[tuple[str, str], str]:
    """(problem, method) -> why its study ended early; without its plain training a problem has no studies."""
    found: dict[tuple[str, str], str] = {}
    for trial in trials(events).values():
        if trial.stage is Stage.UNIT and trial.status is Status.FAILED:
            reason = unit_failed(trial.reason or "no reason given")
            found |= {(trial.problem, method): reason for method in plan(events).methods}
    for event in events:
        if event["kind"] == "stage_done" and event["stage"] == "failed":
            found[event["problem"], event["method"]] = event["reason"] or "no reason given"
    return found


def _state(events: Sequence[Event]) -> list[str]:
    last = next((e["kind"] for e in reversed(events) if e["kind"] in _STATES), "empty")
    said = _STATES.get(last, "The journal is empty: nothing has run.")
    return [said] if said else []


def _mixed(events: Sequence[Event]) -> list[str]:
    """Drivers that went on although their version differed from the one before."""
    return [
        f"Versions were mixed: {'; '.join(event['drift'])}."
        for event in events if event["kind"] == "resumed" and event.get("drift")
    ]


def _limited(events: Sequence[Event]) -> list[str]:
    """Studies whose tuning ended at a limit of their own: they had less than the budget that the others had."""
    return [
        f"{event['problem']}, {event['method']}: the tuning ended at the method's own limit ({event['limit']})."
        for event in events if event["kind"] == "stage_done" and event["stage"] == "tune" and event.get("limit")
    ]


def _unmade(events: Sequence[Event]) -> list[str]:
    """Artefacts that are wanted and not there."""
    wanted: Mapping[str, Any] = next((e.get("artefacts") or {} for e in events if e["kind"] == "sweep"), {})
    stands = dict.fromkeys(wanted.get("specs", {}), "not made yet")
    keys = {e["uid"]: e["key"] for e in events if e["kind"] == "asked" and e["stage"] == Stage.ARTEFACT}
    labels = {key: f"{spec['maker']} on {spec['source']['label']}" for key, spec in wanted.get("specs", {}).items()}
    for event in events:
        if event["kind"] == "artefact":
            stands.pop(event["key"], None)
        elif event["kind"] == "artefact_gone":
            stands[event["key"]] = "gone from the store, and not made again yet"
        elif event["kind"] == "ended" and event["uid"] in keys and event["status"] == Status.FAILED:
            stands[keys[event["uid"]]] = f"could not be made: {on_one_line(event['reason'])}"
    return [f"{labels.get(key, key)}: {stand}." for key, stand in stands.items()]


_STATES = {
    "sweep": "The sweep is not finished: it runs, or its driver stopped without a word.",
    "resumed": "The sweep is not finished: it runs, or its driver stopped without a word.",
    "interrupted": "The sweep is not finished: it was interrupted.",
    "sweep_done": "",
}


def _gaps(study: str, own: Sequence[Trial], seeds: int) -> list[str]:
    """Seeds without a result, and failed trials."""
    found = []
    reruns = [t for t in own if t.stage is Stage.RERUN and t.status is Status.COMPLETE]
    if len(reruns) < seeds:
        found.append(f"{study}: {len(reruns)} of {seeds} seeds are there.")
    replays = [t for t in own if t.stage is Stage.REPLAY]
    done = [t for t in replays if t.status is Status.COMPLETE]
    if len(done) < len(replays):
        found.append(f"{study}: {len(done)} of {len(replays)} replays are there.")
    failed = [t for t in own if t.status is Status.FAILED]
    if failed:
        word = "trial" if len(failed) == 1 else "trials"
        last = on_one_line(failed[-1].reason or "no reason given")
        found.append(f"{study}: {len(failed)} failed {word}; the last: {last}")
    return found
