"""Rows from synthetic journals with known answers, and from a real director's journal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from search.analysis import decision_table, rows
from search.plan import missing
from search.row import Averaging, Effect, Row, Verdict
from tests.support.journals import FACTOR, SCORES, UNIT_FLOPS, Writer, finals, journal
from tests.support.simulation import Simulation, Stopped, comparison, simulated
from tracking.journal import Event
from tracking.record import Stage, Status
from trainables.assignment import Assignment, Report


def row(made: tuple[Row, ...], method: str, way: Stage = Stage.RERUN, problem: str = "digits-rotated") -> Row:
    return next(r for r in made if (r.problem, r.method, r.way) == (problem, method, way))


def test_one_row_per_problem_method_and_way_in_order() -> None:
    found = [(r.problem, r.label) for r in rows(journal())]
    labels = ["plain", "trivial_augment", "augnet", "augnet (replay)", "unrolled"]
    assert found == [(problem, label) for problem in SCORES for label in labels]


def test_who_is_told_is_a_bound_where_something_is_planted() -> None:
    head, *rest = journal(truths={"digits-rotated": {"invariant": {"rotation": 60.0}, "harmful": {}}})
    made = rows([{**head, "bounds": ["augnet"]}, *rest])
    assert {(r.problem, r.label) for r in made if r.bound} == {
        ("digits-rotated", "augnet (bound)"), ("digits-rotated", "augnet (bound, replay)"),
    }
    assert not any(r.bound for r in rows(journal()))


def test_whether_a_generator_collapsed_is_nothing_that_was_learned() -> None:
    writer = Writer()
    writer.begin(["one"], ["git"], 1, {})
    learned = {"learned/generator/collapsed": 1.0, "learned/generator/diversity_ratio": 0.2}
    writer.trial("one", "git", Stage.RERUN, 1, 100, extra=finals(0.8, 0.9) | learned)
    assert dict(rows(writer.events)[0].learned) == {"generator/diversity_ratio": 0.2}


def test_scores_keep_their_seeds() -> None:
    found = row(rows(journal()), "augnet")
    assert found.scores[Averaging.NONE] == dict(enumerate(SCORES["digits-rotated"]["augnet"], start=1))
    assert found.scores[Averaging.OWN][2] == pytest.approx(0.943)
    assert found.test is not None
    assert found.test.mean == pytest.approx(sum(SCORES["digits-rotated"]["augnet"]) / 3)


def test_cost_by_hand() -> None:
    """augnet costs 1.6: probe 0.16, tune 1.6 (1 + 0.4 + 1 + 0.4), three reruns 4.8, three replays 3 x 1."""
    made = rows(journal())
    rerun, replay = row(made, "augnet"), row(made, "augnet", Stage.REPLAY)
    assert rerun.unit_flops == UNIT_FLOPS
    assert rerun.tune.multiples == pytest.approx(1.6 * 2.8)
    assert rerun.multiples(rerun.total.flops) == pytest.approx(0.16 + 1.6 * 2.8 + 4.8)
    assert replay.multiples(replay.total.flops) == pytest.approx(0.16 + 1.6 * 2.8 + 4.8 + 3.0)
    assert rerun.training is not None
    assert replay.training is not None
    assert (rerun.training.flops, replay.training.flops) == (1.6 * UNIT_FLOPS, UNIT_FLOPS)
    assert rerun.total.examples == rerun.total.flops / 1000
    assert rerun.total.peak_host_bytes == 1e8


def test_tuning_is_counted_by_outcome_and_the_best_whole_trial_is_chosen() -> None:
    """Trial 3 has the highest score but was cut by the budget."""
    tune = row(rows(journal()), "unrolled").tune
    assert tune.trials == 4
    counted = [tune.outcomes[s] for s in (Status.COMPLETE, Status.PRUNED, Status.BUDGET)]
    assert counted == [2, 1, 1]
    assert tune.best is not None
    assert tune.best.index == 2


def test_invariance_stands_beside_the_truth() -> None:
    made = rows(journal())
    rotation, brightness = row(made, "augnet").invariances
    assert (rotation.action, rotation.unit, rotation.effect, rotation.half_width) == (
        "rotation", "deg", Effect.HELPS, 60.0
    )
    assert rotation.measured["agreement"] == pytest.approx(0.9)
    assert (brightness.effect, brightness.half_width) == (Effect.UNKNOWN, None)
    assert row(made, "plain", problem="which-rotation").invariances[0].effect is Effect.HARMS
    assert row(made, "augnet").learned == {"rotation/width_deg": pytest.approx(42.0)}


def test_verdicts_of_the_standard_journal() -> None:
    found = {(r.problem, r.label): r.verdict for r in rows(journal())}
    assert found["digits-rotated", "trivial_augment"] is Verdict.CONTROL
    assert found["digits-rotated", "augnet"] is Verdict.BETTER
    assert found["digits-rotated", "unrolled"] is Verdict.EQUAL
    assert found["which-rotation", "plain"] is Verdict.CONTROL
    assert found["which-rotation", "augnet"] is Verdict.EQUAL  # the same scores on every seed
    assert found["which-rotation", "trivial_augment"] is Verdict.WORSE


def test_one_seed_gives_no_interval_and_no_verdict() -> None:
    made = rows(journal({"one": {"plain": (0.8,), "augnet": (0.99,)}}, replays=()))
    assert [r.verdict for r in made] == [Verdict.CONTROL, Verdict.UNKNOWN]
    assert made[1].test is not None
    assert made[1].test.low is None


def test_without_a_control_nothing_is_compared() -> None:
    made = rows(journal({"one": {"augnet": (0.8, 0.9), "unrolled": (0.7, 0.6)}}, replays=()))
    assert {r.verdict for r in made} == {Verdict.ALONE}


def test_a_label_is_not_a_method() -> None:
    """A row called `plain` that is another method is no control; a relabelled plain is one."""
    events = journal({"one": {"plain": (0.8, 0.81), "mine": (0.7, 0.72)}}, replays=())
    events[0]["comparison"]["methods"] = [
        {"name": "augnet", "label": "plain", "settings": {}},
        {"name": "plain", "label": "mine", "settings": {}},
    ]
    events[0]["controls"] = ["mine"]
    made = rows(events)
    assert [r.control for r in made] == [False, True]
    assert row(made, "mine", problem="one").verdict is Verdict.CONTROL


def test_seeds_that_failed_are_left_out_of_the_pairs() -> None:
    events = journal({"one": {"plain": (0.8, 0.81, 0.82), "augnet": (0.9, 0.5, 0.92)}}, replays=())
    ended = next(e for e in events if e["kind"] == "ended" and e["uid"] == "one/augnet/rerun-2")
    ended |= {"status": "failed", "reason": "the worker died"}
    found = row(rows(events), "augnet", problem="one")
    assert found.contrast is not None
    assert found.contrast.test.difference.count == 2
    assert found.contrast.test.difference.mean == pytest.approx(0.1)
    assert [t.why for t in found.failures] == ["the worker died"]
    assert any("2 of 3 seeds" in line for line in missing(events))


def failing_study() -> list[Event]:
    writer = Writer()
    writer.begin(["one"], ["plain", "augnet"], 2, {"one": None})
    writer.trial("one", "budget-unit", Stage.UNIT, 0, 100)
    writer.trial("one", "augnet", Stage.PROBE, 0, 10, status=Status.FAILED, reason="RuntimeError: <b>bad</b>")
    writer.done("one", "augnet", "failed", "the probe failed: RuntimeError: <b>bad</b>\nmore")
    writer.trial("one", "plain", Stage.RERUN, 1, 100, extra=finals(0.8, 0.9))
    writer.emit("interrupted", by="SIGINT")
    return writer.events


def test_a_failed_study_is_a_row_with_its_reason() -> None:
    events = failing_study()
    found = row(rows(events), "augnet", problem="one")
    assert (found.test, found.verdict, found.training) == (None, Verdict.UNKNOWN, None)
    assert found.reason is not None
    assert "the probe failed" in found.reason
    said = "\n".join(missing(events))
    assert "interrupted" in said
    assert "one, plain: 1 of 2 seeds are there." in said
    assert "given up: the probe failed: RuntimeError: <b>bad</b>" in said


def test_a_failed_unit_is_told_for_every_study() -> None:
    writer = Writer()
    writer.begin(["one"], ["plain", "augnet"], 2, {"one": None})
    writer.trial("one", "budget-unit", Stage.UNIT, 0, 100, status=Status.FAILED, reason="OSError: no data")
    assert all(r.reason and "no data" in r.reason for r in rows(writer.events))
    assert all(r.unit_flops is None and r.multiples(1.0) is None for r in rows(writer.events))


@pytest.mark.parametrize("count", [0, 1, 2, 10, 60, 100])
def test_any_beginning_of_a_journal_gives_rows(count: int) -> None:
    """An unfinished sweep says so, and shows what there is."""
    events = journal()[:count]
    assert missing(events)
    assert len(rows(events)) >= (8 if count else 0)


def test_a_finished_sweep_misses_nothing() -> None:
    assert missing(journal()) == ()


def test_another_machine_changes_no_decision() -> None:
    fast, slow = journal(seconds=1.0), journal(seconds=3.7)
    assert decision_table(fast) == decision_table(slow)
    assert rows(fast) != rows(slow)
    json.dumps(decision_table(fast), allow_nan=False)


@pytest.mark.parametrize("change", ["score", "flops", "examples", "labels", "status", "config"])
def test_the_decision_table_sees_every_change(change: str) -> None:
    """The negative control of the one above."""
    events: list[Any] = json.loads(json.dumps(journal()))
    last = next(e for e in reversed(events) if e["kind"] == "result" and "rerun" in e["uid"])
    tuned = {e["kind"]: e for e in events if "/tune-0" in e.get("uid", "")}
    match change:
        case "score":
            last["metrics"]["test/score"] += 1 / 360
        case "flops":
            last["flops"] += 1
        case "examples":
            last["metrics"]["cost/examples"] += 1
        case "labels":
            last["metrics"]["cost/label_reads"] += 1
        case "status":
            tuned["ended"]["status"] = "pruned"
        case "config":
            tuned["asked"]["config"]["learning_rate"] = 0.5
    last_end = next(e for e in reversed(events) if e["kind"] == "ended" and e["uid"] == last["uid"])
    last_end["metrics"] = last["metrics"]
    assert decision_table(events) != decision_table(journal())


def confirmed(assignment: Assignment, index: int) -> Report:
    """The simulation's report, with a ledger and, in a confirm trial, a test score."""
    report = simulated(assignment, index)
    metrics = report.metrics | {"cost/flops": float(report.flops), "cost/examples": float(report.flops // 10)}
    if assignment.stage in (Stage.RERUN, Stage.REPLAY) and report.status is Status.COMPLETE:
        assert report.score is not None
        metrics["test/score"] = report.score
    return report.model_copy(update={"metrics": metrics})


def test_a_resumed_sweep_has_the_decision_table_of_an_undisturbed_one() -> None:
    """A real director, killed twice and run in another order."""
    whole: list[Event] = []
    director = Simulation(comparison(), whole, curve=confirmed).run()
    events: list[Event] = []
    for stop in (70, 160):
        with pytest.raises(Stopped):
            Simulation(comparison(), events, order=5, stop_after=stop, curve=confirmed).run()
    Simulation(comparison(), events, order=6, curve=confirmed).run()
    assert decision_table(events) == decision_table(whole)
    for found in rows(whole):
        tuning = director.courses[found.problem, found.method].tuning
        assert tuning is not None
        assert found.tuning.flops == tuning.spent_flops
        assert found.tune.trials == len(tuning.trials)
        assert found.tune.best is not None
        assert tuning.best is not None
        assert found.tune.best.uid == tuning.best.uid
    assert {f.way for f in rows(whole) if f.method == "augnet"} == {Stage.RERUN, Stage.REPLAY}
    assert set(FACTOR) >= {f.method for f in rows(whole)}


def test_a_mixture_of_versions_and_a_method_that_had_less_are_told() -> None:
    events = journal()
    resumed = {**events[5], "kind": "resumed", "drift": ["optuna 4.0.0 then, 5.0.0 now"]}
    limited = [
        event | {"limit": "trials: 2 of 2"} if event["kind"] == "stage_done" and event["uid"].endswith("plain/tune")
        else event for event in events
    ]
    said = missing([*limited[:-1], resumed, limited[-1]])
    assert "Versions were mixed: optuna 4.0.0 then, 5.0.0 now." in said
    assert [line for line in said if "own limit (trials: 2 of 2)" in line and "plain" in line]
    other = {**resumed, "drift": [], "other_data": ["the data of `p`: fingerprint 1 then, 2 now"]}
    assert "Data were mixed: the data of `p`: fingerprint 1 then, 2 now." in missing([*events[:-1], other, events[-1]])
    unmixed = {**resumed, "drift": []}
    assert missing([*events[:-1], unmixed, events[-1]]) == ()
