"""Tuning in generations: who goes on from whom, what is asked when, and that a killed sweep decides the same."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from search import analysis
from search.account import Cost, trials
from search.director import Belief, Director, DriftError
from search.evolved import Evolved
from search.lines import FOLDER, outgrown
from search.method_spec import MethodSpec
from search.plan import plan
from search.sampled import Sampled
from search.tuning import Tuned, Verdict
from search.tunings import tuning_of
from tests.support.simulation import SLICES, Simulation, Stopped, comparison, decisions
from tracking.journal import Event
from tracking.record import Stage, Status
from tracking.storage import Place
from trainables.assignment import Assignment, Report
from trainables.method import stable_seed
from trainables.methods import pba

GENERATIONS = 4
PBA = {"name": "pba", "settings": {"generations": GENERATIONS}}
FULL = 1000


def tuning(members: int, **changes: Any) -> Evolved:
    described = comparison(methods=[PBA], budget=float(members), **changes)
    return Evolved(described, "one", described.methods[0], FULL, FULL)


def ended(made: Evolved, trial: Tuned, score: float | None) -> None:
    """Its only report; None fails it."""
    if score is None:
        made.fail(trial.uid, 1)
    else:
        assert made.report(trial.uid, 0, round(FULL * trial.share), score, ready=True, done=True) is Verdict.STOP


def generation(made: Evolved, scores: list[float | None]) -> list[Tuned]:
    """Ask all members of one, and end them in an order of chance."""
    asked = [made.ask() for _ in scores]
    pairs = list(zip(asked, scores, strict=True))
    random.Random(len(made.trials)).shuffle(pairs)
    for trial, score in pairs:
        ended(made, trial, score)
    return asked


@pytest.mark.parametrize(("members", "replaced"), [(2, 1), (4, 1), (8, 2), (9, 3)])
def test_the_worst_quarter_goes_on_from_the_best_and_mutates_and_all_others_from_themselves(
    members: int, replaced: int
) -> None:
    made = tuning(members)
    scores: list[float | None] = [float((5 * member) % members) for member in range(members)]
    order = sorted(range(members), key=lambda member: scores[member] or 0.0)
    first = generation(made, scores)
    second = [made.ask() for _ in range(members)]
    worst, best = set(order[:replaced]), {first[member].uid for member in order[-replaced:]}
    for member, trial in enumerate(second):
        before = next(t for t in first if t.uid == trial.parent)
        assert trial.settings["schedule"][0] == before.settings["schedule"][0]
        kept = trial.settings["schedule"][1] == before.settings["schedule"][0]
        if member in worst:
            assert trial.parent in best
            assert not kept
        else:
            assert trial.parent == first[member].uid
            assert kept


def test_what_failed_is_replaced_and_a_generation_that_failed_ends_the_study() -> None:
    made = tuning(4, max_failures=100)
    first = generation(made, [None, 1.0, 2.0, None])
    assert [made.ask().parent for _ in range(4)] == [first[2].uid, first[2].uid, first[2].uid, first[2].uid]
    gone = tuning(3, max_failures=100)
    generation(gone, [None, None, None])
    assert gone.done and gone.best is None


def test_a_generation_is_asked_once_the_one_before_has_ended() -> None:
    made = tuning(3, parallel_trials=8)
    asked = []
    while made.may_ask:
        asked.append(made.ask())
    assert [trial.generation for trial in asked] == [0, 0, 0], "side by side, but no further"
    for trial in asked[:2]:
        ended(made, trial, 1.0)
        assert not made.may_ask
    ended(made, asked[2], 1.0)
    assert made.may_ask


def test_the_best_is_of_the_last_generation_and_its_schedule_is_confirmed_over_the_whole_horizon() -> None:
    made = tuning(2)
    generation(made, [9.0, 8.0])  # a young network scores higher here: it is not what is confirmed
    for scores in ([3.0, 4.0], [5.0, 5.0], [2.0, 1.0]):
        last = generation(made, list(scores))
    assert made.done
    assert made.best is last[0]
    assert len(made.confirmed()["schedule"]) == made.confirmed()["generations"] == GENERATIONS
    cut = tuning(2)
    generation(cut, [1.0, 2.0])
    cut.close("a limit", cut=True)
    assert cut.confirmed()["generations"] == 1, "a schedule that was cut is stretched"


@pytest.mark.parametrize(
    ("changes", "members"),
    [({"budget": 6.9}, 6), ({"budget": 50.0, "max_trials": 1000}, 32), ({"budget": 50.0}, 100 // 8),
     ({"budget": 1.0}, 1), ({"budget": 6.9, "methods": [{"name": "pba", "limits": {"trials": 17}}]}, 2)],
)
def test_there_are_as_many_members_as_the_budget_and_the_limits_hold(changes: dict[str, Any], members: int) -> None:
    described = comparison(**{"methods": [{"name": "pba"}], **changes})
    made = Evolved(described, "one", described.methods[0], FULL, FULL)
    assert made.members == members
    assert bool(made.notes()) == (members == 1)
    scored = random.Random(0)
    while made.may_ask:
        ended(made, made.ask(), scored.random())
    assert len(made.trials) == members * 8
    assert made.spent_flops <= made.budget_flops


def test_fewer_trials_than_generations_are_not_exceeded() -> None:
    made = tuning(2, max_trials=GENERATIONS - 1)
    while made.may_ask:
        ended(made, made.ask(), 1.0)
    assert len(made.trials) == GENERATIONS - 1


def test_a_limit_in_mid_generation_leaves_the_choice_to_the_last_whole_one() -> None:
    """The first member to end would else be the best of its generation, whatever it scores."""
    made = tuning(3)
    first = generation(made, [1.0, 3.0, 2.0])
    ended(made, made.ask(), 0.5)
    assert made.best is first[1]
    running = made.ask()
    made.close("a limit", cut=True)
    assert made.report(running.uid, 0, 1, 9.0, ready=True, done=False) is Verdict.STOP
    assert running.status is Status.BUDGET
    assert made.done and made.best is first[1]


def test_too_many_failures_end_the_study() -> None:
    made = tuning(8, max_failures=3)
    for _ in range(3):
        assert not made.exhausted
        ended(made, made.ask(), None)
    assert made.exhausted


def test_winners_are_drawn_anew_for_every_loser_and_generation() -> None:
    """Of 16 members four go on from four: that all go on from one, or two generations draw alike, has odds of 1 in 64
    and 1 in 256; the seeds are fixed.
    """
    made = tuning(16)
    drawn = []
    for _ in range(2):
        generation(made, [float(member) for member in range(16)])
        offset = len(made.trials) - 16
        children = [made.ask() for _ in range(16)]
        drawn.append([int(str(child.parent).rpartition("-")[2]) - offset for child in children[:4]])
        for child in children:
            ended(made, child, float(child.index))
    assert all(set(some) <= {12, 13, 14, 15} and len(set(some)) > 1 for some in drawn)
    assert drawn[0] != drawn[1]


def test_members_begin_apart_and_the_first_one_with_nothing() -> None:
    asked = generation(tuning(5), [1.0] * 5)
    begun = [trial.settings["schedule"][0] for trial in asked]
    assert all(slot == {"probability": 0, "level": 0} for slot in begun[0].values())
    assert all(begun[i] != begun[j] for i in range(5) for j in range(i))


def bred(assignment: Assignment, index: int) -> Report:
    """Three reports per trial; what it scores depends on the assignment only."""
    slices = 1 if assignment.stage is Stage.PROBE else SLICES // 3
    done, share = index + 1 == slices, 0.1 if assignment.stage is Stage.PROBE else 0.25 * (index + 1) / slices
    score = random.Random(stable_seed(assignment.uid, index)).random()
    return Report(
        uid=assignment.uid, index=index, ready=True, score=score, flops=round(100_000 * share),
        status=Status.COMPLETE if done else Status.RUNNING, metrics={"val/score": score}, ledger={} if done else None,
    )


def simulation(events: list[Event], order: int = 0, stop_after: int | None = None, deaths: float = 0.0) -> Simulation:
    described = comparison(methods=[{"name": "plain"}, PBA], parallel_trials=2, budget=20.0)
    return Simulation(described, events, order, stop_after=stop_after, curve=bred, deaths=deaths)


def bred_decisions(events: list[Event]) -> dict[str, list[Any]]:
    """As a set per study: two members run side by side, and either may be the first to end."""
    return {key: sorted(rows, key=str) for key, rows in decisions(events).items() if "/pba" in key}


def test_a_killed_and_resumed_sweep_decides_as_an_undisturbed_one() -> None:
    whole: list[Event] = []
    simulation(whole).run()
    events, chance = list[Event](), random.Random(1)
    for stop in sorted(chance.sample(range(20, len(whole)), 6)):
        with pytest.raises(Stopped):
            simulation(events, chance.randrange(1000), stop_after=max(stop, len(events))).run()
    simulation(events, chance.randrange(1000)).run()
    assert bred_decisions(events) == bred_decisions(whole)
    asked = {e["uid"]: e for e in events if e["kind"] == "asked" and e["method"] == "pba" and e["stage"] == "tune"}
    assert all(asked[e["parent"]]["generation"] == e["generation"] - 1 for e in asked.values() if e["generation"])
    assert {e["generation"] for e in asked.values()} == set(range(GENERATIONS))
    assert len(asked) == 2 * 5 * GENERATIONS, "two studies with five members"


def test_states_are_kept_for_the_next_generation_and_no_longer() -> None:
    place = Place.of("sweep")
    events: list[Event] = []
    simulation(events).run()
    kept: set[str] = set()
    for event in events:
        if event["kind"] == "asked" and event.get("parent"):
            study, _, trial = event["parent"].rpartition("/")
            assert f"{study}/{event['generation'] - 1}/{trial}" in kept, "what it goes on from is there"
        left = outgrown(place, event)
        if event["kind"] == "asked" and (event.get("generation") or 0) >= 2:
            assert left is not None and left.name == str(event["generation"] - 2), "and no longer"
        if left is not None:
            folder = left.uri.removeprefix((place / FOLDER).uri).strip("/")
            kept = {state for state in kept if not state.startswith(folder + "/" * bool(folder))}
        if event["kind"] == "asked" and event.get("generation") is not None:
            study, _, trial = event["uid"].rpartition("/")
            kept.add(f"{study}/{event['generation']}/{trial}")
    assert not kept


def test_the_report_names_what_was_confirmed_also_beside_two_objectives() -> None:
    for sampler in ("tpe", "nsga_ii"):
        events: list[Event] = []
        described = comparison(methods=[{"name": "plain"}, PBA], sampler=sampler, budget=20.0)
        made = Simulation(described, events, curve=bred)
        made.run()
        own = [t for t in trials(events).values() if (t.problem, t.method) == ("one", "pba")]
        told = [t for t in own if t.stage is Stage.TUNE]
        course = made.director.courses["one", "pba"]
        assert course.best is not None
        found = analysis._tune(told, Cost(), None, replace(plan(events), comparison={"sampler": sampler}))
        assert found.best is not None and not found.front
        assert found.best.uid == course.best.uid


def test_another_parent_in_the_journal_is_noticed_and_where_it_is_trusted_obeyed() -> None:
    events: list[Event] = []
    simulation(events).run()
    child = next(i for i, e in enumerate(events) if e["kind"] == "asked" and e.get("generation") == 1)
    other = next(e["uid"] for e in events[:child] if e["kind"] == "asked" and e.get("generation") == 0
                 and e["uid"] not in (events[child]["parent"],) and e["problem"] == events[child]["problem"])
    forged = [*events[:child], {**events[child], "parent": other}]
    with pytest.raises(DriftError, match="to go on from"):
        simulation(list(forged))
    described = comparison(methods=[{"name": "plain"}, PBA], parallel_trials=2, budget=20.0)
    trusting = Director(described, Place.of("nowhere"), None, lambda kind, **more: {"kind": kind, **more})
    trusting.replay(forged, Belief.TRUST)
    job = trusting._open[events[child]["uid"]]
    assert isinstance(job, Assignment)
    assert job.parent == other and job.inherited.endswith(f"/0/{other.rpartition('/')[2]}")


def test_a_given_schedule_is_trained_and_not_bred() -> None:
    schedule = tuning(1).ask().settings["schedule"]
    spec = MethodSpec(name="pba", settings={"schedule": schedule, "generations": 1})
    described = comparison()
    assert isinstance(tuning_of(described, "one", spec, FULL, FULL), Sampled)
    assert isinstance(tuning_of(described, "one", MethodSpec(name="pba"), FULL, FULL), Evolved)


def test_more_generations_than_updates_are_told_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="generations=91, horizon=90"):
        comparison(methods=[{"name": "pba", "settings": {"generations": 91}}])
    assert comparison(methods=[{"name": "pba", "settings": {"generations": 90}}]).horizon == 90


def test_a_point_for_what_is_bred_is_refused() -> None:
    with pytest.raises(ValueError, match="names tunable fields"):
        MethodSpec(name="pba", points=({"learning_rate": 0.1},))
    assert pba.Config.space.names == ()
