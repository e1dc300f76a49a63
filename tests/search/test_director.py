"""The director's laws, with real Optuna and ASHA and simulated trials."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from search.course import Stand
from search.director import Belief, DriftError
from search.verify import verify
from tests.support.simulation import SLICES, Simulation, Stopped, comparison, decisions, simulated, undisturbed
from tracking.journal import Event
from tracking.record import Status
from trainables.assignment import Assignment, Report


def test_every_study_is_probed_tuned_and_confirmed() -> None:
    events: list[Event] = []
    director = Simulation(comparison(), events).run()
    stages = Counter((e["method"], e["stage"]) for e in events if e["kind"] == "asked")
    assert stages["budget-unit", "unit"] == 2  # one per problem
    for method in ("plain", "trivial_augment", "augnet"):
        assert stages[method, "probe"] == 2
        assert stages[method, "rerun"] == 2 * 2
        assert stages[method, "replay"] == (4 if method == "augnet" else 0)  # only what a search found
    assert {course.stand for course in director.courses.values()} == {Stand.DONE}


def test_decisions_do_not_depend_on_timing() -> None:
    """Deterministic mode: any interleaving of the studies gives each the same proposals and stops."""
    first = decisions(undisturbed(order=0))
    assert all(decisions(undisturbed(order=order)) == first for order in range(1, 6))


def test_control_parallel_trials_do_depend_on_timing() -> None:
    """The negative control of the test above: it can fail."""
    runs = [decisions(undisturbed(order=order, parallel_trials=3)) for order in range(6)]
    assert any(run != runs[0] for run in runs)


@pytest.mark.parametrize("seed", range(12))
def test_a_killed_and_resumed_sweep_decides_as_an_undisturbed_one(seed: int) -> None:
    """Killed at random points, up to five times; nothing lost, nothing doubled."""
    chance = random.Random(seed)
    whole = undisturbed(order=seed)
    events: list[Event] = []
    for stop in sorted(chance.sample(range(len(whole)), 5)):
        with pytest.raises(Stopped):
            Simulation(comparison(), events, chance.randrange(1000), stop_after=max(stop, len(events))).run()
    Simulation(comparison(), events, chance.randrange(1000)).run()
    assert decisions(events) == decisions(whole)
    results = Counter((e["uid"], e["index"]) for e in events if e["kind"] == "result")
    assert set(results.values()) == {1}
    assert set(results) == {(e["uid"], e["index"]) for e in whole if e["kind"] == "result"}
    ended = Counter(e["uid"] for e in events if e["kind"] == "ended")
    assert set(ended.values()) == {1}


@pytest.mark.parametrize(
    ("limits", "complete", "cut"),
    [  # a whole trial: 100,000 FLOPs, 10 s on two devices at 0.1 a second each
        ({"trials": 2}, 2, 0), ({"flops": 350_000.0}, 3, 1), ({"device_seconds": 70.0}, 3, 1), ({"money": 7.0}, 3, 1),
        ({"wall_seconds": 35.0}, 3, 1),
    ],
)
def test_a_method_has_limits_of_its_own(limits: dict[str, float], complete: int, cut: int) -> None:
    """They end its tuning, whatever the budget says; its confirm stage and the other methods go on."""

    def priced(assignment: Assignment, index: int) -> Report:
        report = simulated(assignment, index)
        spent = {"cost/flops": float(report.flops), "cost/wall_seconds": report.flops / 10_000}
        return report.model_copy(update={"metrics": report.metrics | spent})

    methods = [{"name": "plain", "limits": limits}, {"name": "augnet"}]
    changes = {"methods": methods, "asha": None, "resources": {"cpus": 2}, "price_per_device_hour": 360.0}
    events: list[Event] = []
    director = Simulation(comparison(**changes), events, curve=priced).run()
    course, other = director.courses["one", "plain"], director.courses["one", "augnet"]
    assert course.tuning is not None and other.tuning is not None
    statuses = [trial.status for trial in course.tuning.trials.values()]
    assert statuses == [Status.COMPLETE] * complete + [Status.BUDGET] * cut
    assert course.stand is Stand.DONE and next(iter(limits)) in (course.tuning.closed or "")
    assert other.tuning.closed is None and other.tuning.spent_flops >= other.tuning.budget_flops
    said = [e["limit"] for e in events if e["kind"] == "stage_done" and e["uid"] == "one/plain/tune"]
    assert said == [course.tuning.closed]
    again: list[Event] = []
    with pytest.raises(Stopped):
        Simulation(comparison(**changes), again, curve=priced, stop_after=len(events) // 2).run()
    Simulation(comparison(**changes), again, order=5, curve=priced).run()
    assert decisions(again) == decisions(events)


def test_what_a_trial_notes_is_told() -> None:
    events: list[Event] = []
    director = Simulation(comparison(), events).director
    unit = director.next()
    assert unit is not None
    director.report(simulated(unit, 0).model_copy(update={"note": "the checkpoint was damaged"}))
    assert [e["text"] for e in events if e["kind"] == "warning"] == [f"{unit.uid}: the checkpoint was damaged"]


def test_a_parallel_sweep_can_be_replayed_too() -> None:
    """With several trials in flight the recorded order is followed, whatever it was."""
    events = undisturbed(order=3, parallel_trials=3)
    state = Simulation(comparison(parallel_trials=3), list(events)).director
    assert state.finished
    assert [e for e in events if e["kind"] == "ended"]


def test_repeated_reports_are_waste_and_move_nothing() -> None:
    events: list[Event] = []
    with pytest.raises(Stopped):
        Simulation(comparison(), events, stop_after=60).run()
    Simulation(comparison(), events, checkpoint_every=100).run()  # no checkpoint: everything open starts anew
    assert any(e["kind"] == "repeated" for e in events)
    assert decisions(events) == decisions(undisturbed())


def test_drift_is_noticed() -> None:
    events = undisturbed()
    asked = next(e for e in events if e["kind"] == "asked" and e["stage"] == "tune" and e["index"] == 5)
    asked["config"] = asked["config"] | {"learning_rate": 0.123}
    with pytest.raises(DriftError, match="tune-005"):
        Simulation(comparison(), events)


def test_the_budget_is_the_same_for_all_and_kept() -> None:
    """Every study ends within one report of its budget; cheap methods get more trials."""
    events: list[Event] = []
    director = Simulation(comparison(), events).run()
    for course in director.courses.values():
        assert course.tuning is not None
        spent, budget = course.tuning.spent_flops, course.tuning.budget_flops
        assert budget <= spent <= budget + course.tuning.full_flops / SLICES + 1
    trials = {key: len(c.tuning.trials) for key, c in director.courses.items() if c.tuning}
    assert trials["one", "plain"] > trials["one", "augnet"]


def test_seeds_and_partitions_are_paired_across_methods() -> None:
    asked = [e for e in undisturbed() if e["kind"] == "asked" and e["problem"] == "one"]
    by_role: dict[tuple[bool, int], set[tuple[int, int]]] = {}
    for event in asked:
        if event["stage"] in ("tune", "rerun", "replay"):
            confirm = event["stage"] != "tune"
            by_role.setdefault((confirm, event["index"]), set()).add((event["seed"], event["partition"]))
    assert all(len(pairs) == 1 for pairs in by_role.values())
    assert len({seed for pairs in by_role.values() for seed, _ in pairs}) == len(by_role)  # fresh, every one
    assert {partition for (confirm, _), pairs in by_role.items() if not confirm for _, partition in pairs} == {0}


def test_the_defaults_are_the_first_trial() -> None:
    first = [e for e in undisturbed() if e["kind"] == "asked" and e["stage"] == "tune" and e["index"] == 0]
    assert len(first) == 6
    assert all(e["config"]["learning_rate"] == 0.1 for e in first)


def drifted(events: list[Event]) -> list[Event]:
    """As another version of a sampler would have left it: one late proposal differs."""
    late = [e for e in events if e["kind"] == "asked" and e["stage"] == "tune"][-1]
    config = late["config"] | {"learning_rate": late["config"]["learning_rate"] * 0.9}
    return [e | {"config": config} if e is late else e for e in events]


def test_a_mixture_of_versions_follows_the_journal_only_where_it_is_wanted() -> None:
    events = undisturbed()
    mixed = drifted(events)
    director = Simulation(comparison(), []).director
    with pytest.raises(DriftError, match="follow"):
        director.replay(mixed, Belief.VERIFY)
    trusting = Simulation(comparison(), []).director
    trusting.replay(mixed, Belief.TRUST)
    assert trusting.finished
    uid = next(e["uid"] for e in mixed if e not in events)
    course = next(c for c in trusting.courses.values() if c.tuning is not None and uid in c.tuning.trials)
    assert course.tuning is not None
    assert course.tuning.trials[uid].settings == next(e["config"] for e in mixed if e["uid"] == uid)


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_journal_is_a_decision_log(parallel: int) -> None:
    """Every proposal and every ending follows from it again; a score that is not what was reported is noticed."""
    events = undisturbed(order=4, parallel_trials=parallel)
    described = comparison(parallel_trials=parallel)
    verified = verify(described, events)
    assert verified.faults == () and verified.proposals == sum(e["kind"] == "asked" for e in events)
    assert verify(described, events[: len(events) // 2]).faults == ()
    assert verify(described, drifted(events)).faults
    victim = next(e for e in events if e["kind"] == "result" and "/tune-000" in e["uid"] and e["index"] == 8)
    forged = [e | {"score": -5.0} if e is victim else e for e in events]
    assert verify(described, forged).faults
    cut = next(e for e in events if e["kind"] == "ended" and e["status"] == "pruned")
    assert verify(described, [e | {"status": "complete"} if e is cut else e for e in events]).faults


@pytest.mark.parametrize("stage", ["unit", "probe", "tune", "rerun"])
@pytest.mark.parametrize("field", ["seed", "partition", "index"])
def test_what_a_trial_draws_by_follows_too(stage: str, field: str) -> None:
    """Pairs of rows rest on it: with another seed a trial saw other data than its partners."""
    events = undisturbed()
    victim = next(e for e in events if e["kind"] == "asked" and e["stage"] == stage)
    (fault,) = verify(comparison(), [e | {field: e[field] + 1} if e is victim else e for e in events]).faults
    assert victim["uid"] in fault and f"'{field}': {victim[field]}" in fault and str(victim[field] + 1) in fault
