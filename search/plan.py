"""What a sweep set out to do, and what of it is missing, as its journal tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.account import Trial, trials
from search.words import on_one_line
from tracking.journal import Event
from tracking.record import NotFiniteError, Stage, Status

ORACLE = "oracle"  # the bound of journals that do not name theirs
FEW = 3  # studies that a sentence has room to name
CLASSIFICATION = "classification"  # the kind of problem whose score is an accuracy
Study = tuple[str, str]  # problem, method


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
    studies: dict[Study, list[Trial]] = {(p, m): [] for p in planned.problems for m in planned.methods}
    for trial in trials(events).values():
        if (trial.problem, trial.method) in studies:
            studies[trial.problem, trial.method].append(trial)
    gone = given_up(events)
    found += [*_seeds(studies, gone, planned.seeds), *_replays(studies), *_failures(studies)]
    return (*found, *_said_of("the study was given up", "the studies were given up", {
        study: on_one_line(gone[study]) for study in studies if study in gone
    }))


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
    """Drivers that went on although their version, or the data, differed from those before."""
    return [
        f"{what} were mixed: {'; '.join(event[name])}."
        for event in events if event["kind"] == "resumed"
        for what, name in (("Versions", "drift"), ("Data", "other_data")) if event.get(name)
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


def _seeds(studies: Mapping[Study, Sequence[Trial]], gone: Collection[Study], seeds: int) -> list[str]:
    """Studies without a seed in one sentence, whatever their number, and those that lack some in another.

    A study that was given up without a seed is told with its reason.
    """
    done = {
        study: sum(t.stage is Stage.RERUN and t.status is Status.COMPLETE for t in own)
        for study, own in studies.items()
    }
    none = [study for study, count in done.items() if not count and seeds and study not in gone]
    some = {study: f"{count} of {seeds}" for study, count in done.items() if 0 < count < seeds}
    return [*_without(none, len(studies)), *_incomplete("seeds", some)]


def _without(none: Sequence[Study], studies: int) -> list[str]:
    """Studies by name where these are few; else how many of each problem, since its table shows which."""
    if not none:
        return []
    counts = Counter(problem for problem, _ in none)
    where = "; ".join(map(_named, none)) if len(none) <= FEW else (
        ", ".join(f"{problem}: {count}" for problem, count in counts.items())
    )
    return [f"No seed yet: {len(none)} of {studies} {'study' if studies == 1 else 'studies'} ({where})."]


def _replays(studies: Mapping[Study, Sequence[Trial]]) -> list[str]:
    some = {}
    for study, own in studies.items():
        replays = [t.status for t in own if t.stage is Stage.REPLAY]
        done = replays.count(Status.COMPLETE)
        if done < len(replays):
            some[study] = f"{done} of {len(replays)}"
    return _incomplete("replays", some)


def _incomplete(what: str, some: Mapping[Study, str]) -> list[str]:
    if len(some) == 1:
        return [f"{_named(study)}: {count} {what} are there." for study, count in some.items()]
    parts = "; ".join(f"{_named(study)} ({count})" for study, count in some.items())
    return [f"Not all {what} are there: {parts}."] if some else []


def _failures(studies: Mapping[Study, Sequence[Trial]]) -> list[str]:
    failed = {study: [t for t in own if t.status is Status.FAILED] for study, own in studies.items()}
    last = {study: on_one_line(own[-1].reason or "no reason given") for study, own in failed.items() if own}
    found = []
    for reason in dict.fromkeys(last.values()):
        alike = {study: reason for study, why in last.items() if why == reason}
        count = sum(len(failed[study]) for study in alike)
        trials_failed = f"{count} failed {'trial' if count == 1 else 'trials'}; the last"
        found += _said_of(trials_failed, f"{trials_failed} of each", alike)
    return found


def _said_of(one: str, several: str, reasons: Mapping[Study, str]) -> list[str]:
    """"problem, method: what: reason", for all studies of one reason together."""
    found = []
    for reason in dict.fromkeys(reasons.values()):
        alike = [study for study, why in reasons.items() if why == reason]
        found.append(f"{'; '.join(map(_named, alike))}: {one if len(alike) == 1 else several}: {reason}")
    return found


def _named(study: Study) -> str:
    return ", ".join(study)
