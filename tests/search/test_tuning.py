"""The tune stage: first points, bookkeeping without counting again, grids, fronts; every sampler killed and resumed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from search import configuration
from search.method_spec import MethodSpec
from search.samplers import GAUSSIAN
from search.settings import SamplerName
from search.tuning import Tuning
from search.tunings import tuning_of
from tests.support.simulation import Simulation, Stopped, comparison, decisions, simulated
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Status
from trainables.assignment import Assignment, Report

PATIENT = {"retries": dict.fromkeys(("died", "hung", "memory", "raised"), 0), "max_failures": 100}


def undisturbed(**changes: Any) -> list[Event]:
    events: list[Event] = []
    Simulation(comparison(**changes), events).run()
    return events


@pytest.mark.parametrize("sampler", SamplerName)
def test_a_killed_and_resumed_sweep_decides_as_an_undisturbed_one(sampler: SamplerName) -> None:
    """With enough trials that the first recorded proposals are taken over."""
    changes: dict[str, Any] = {"sampler": sampler, "methods": [{"name": "plain"}], "sampler_window": 50}
    changes |= {"budget": 9.0 if sampler in GAUSSIAN else 25.0, "problems": comparison().problems[:1]}
    whole, events, chance = undisturbed(**changes), list[Event](), random.Random(str(sampler))
    for stop in sorted(chance.sample(range(len(whole) // 3, len(whole)), 2)):
        with pytest.raises(Stopped):
            Simulation(comparison(**changes), events, chance.randrange(1000), stop_after=max(stop, len(events))).run()
    Simulation(comparison(**changes), events, chance.randrange(1000)).run()
    assert decisions(events) == decisions(whole)
    said = [e["uid"] for e in events if e["kind"] == "warning"]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("two", [False, True])
def test_what_is_known_equals_what_counting_again_would_give(two: bool) -> None:
    """At every single report, with failures and parallel trials; against the plain sums over all trials."""
    described = comparison(**PATIENT, parallel_trials=3, budget=8.0, sampler="nsga_ii" if two else "random")
    simulation, seen = Simulation(described, [], slots=8, deaths=0.02), list[int]()

    def counted(tuning: Tuning) -> None:
        trials = list(tuning.trials.values())
        whole = [t for t in trials if t.status is Status.COMPLETE and t.score is not None]
        best = max(whole, key=lambda t: (t.score, -t.flops if two else 0, -t.index), default=None)
        assert tuning.spent_flops == sum(t.flops for t in trials)
        assert tuning.running == sum(t.status is Status.RUNNING for t in trials)
        assert tuning.failures == sum(t.status is Status.FAILED for t in trials)
        assert tuning.best is best
        assert tuning.front()[-1:] == ([best] if two and best is not None else [])
        seen.append(tuning.failures)

    def watching(assignment: Assignment, index: int) -> Report:
        for course in simulation.director.courses.values():
            if course.tuning is not None:
                counted(course.tuning)
        return simulated(assignment, index)

    simulation._curve = watching
    simulation.run()
    assert len(seen) > 500 and max(seen) > 0


def test_what_a_failing_slice_cost_is_charged() -> None:
    """Its report brings no score but a cost; one that does not know it takes nothing back."""
    tuning = tuning_of(comparison(parallel_trials=2), "one", MethodSpec(name="plain"), 10_000, 1000)
    first, second = (trial.uid for trial in (tuning.ask(), tuning.ask()))
    for uid, flops in ((first, 300), (second, 200)):
        tuning.report(uid, 0, flops, 0.5, ready=False, done=False)
    tuning.fail(first, 450)
    tuning.fail(second, 0)
    assert tuning.spent_flops == 650


def test_defaults_come_first_then_the_given_points_without_repetition() -> None:
    points = [{"learning_rate": 0.02}, {"learning_rate": 0.1, "weight_decay": 5e-4}, {"weight_decay": 1e-4}]
    events = undisturbed(methods=[{"name": "plain", "points": points}], problems=comparison().problems[:1])
    asked = [e["config"] for e in events if e["kind"] == "asked" and e["stage"] == "tune"]
    tuned = [(config["learning_rate"], config["weight_decay"]) for config in asked]
    assert tuned[:3] == [(0.1, 5e-4), (0.02, 5e-4), (0.1, 1e-4)]  # the second point is the defaults again
    assert len(set(tuned)) == len(tuned) > 3


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"points": [{"learning_rte": 0.1}]}, "did you mean `learning_rate`"),
        ({"points": [{"learning_rate": 1e9}]}, "lies in the method's space"),
        ({"points": [{"learning_rate": "fast"}]}, "lies in the method's space"),
        ({"points": [{"learning_rate": 0.1}], "settings": {"learning_rate": 0.1}}, "`settings` fixes it"),
    ],
)
def test_a_wrong_point_is_told_before_anything_starts(method: dict[str, Any], message: str) -> None:
    data = comparison().model_dump(mode="json") | {"methods": [{"name": "plain", **method}]}
    with pytest.raises(UserError, match=message):
        configuration.validate(data)


def test_a_study_ends_with_its_grid() -> None:
    changes = {"methods": [{"name": "plain"}], "problems": comparison().problems[:1], "sampler": "grid", "asha": None}
    events = undisturbed(**changes, grid_points=2, budget=50.0)
    asked = [e["config"] for e in events if e["kind"] == "asked" and e["stage"] == "tune"]
    assert len(asked) == 1 + 4 and events[-1]["kind"] == "stage_done"
    alone = [{"name": "plain", "settings": {"learning_rate": 0.1, "weight_decay": 5e-4}}]
    events = undisturbed(**changes | {"methods": alone}, budget=50.0)
    assert sum(e["kind"] == "asked" and e["stage"] == "tune" for e in events) == 1


def untunable(**settings: float) -> MethodSpec:
    return MethodSpec(name="plain", settings={"learning_rate": 0.1, "weight_decay": 5e-4, **settings})


@pytest.mark.parametrize("sampler", [SamplerName.TPE, SamplerName.RANDOM, SamplerName.NSGA_II, SamplerName.MOTPE])
def test_where_nothing_is_tuned_one_trial_is_all(sampler: SamplerName) -> None:
    """More would be the same configuration again, on the study's budget."""
    changes: dict[str, Any] = {"problems": comparison().problems[:1], "budget": 20.0, "sampler": sampler}
    events = undisturbed(**changes, methods=[untunable().model_dump()])
    tuned = [e for e in events if "/tune-" in e.get("uid", "") and e["kind"] in ("asked", "ended")]
    assert [(e["kind"], e.get("status")) for e in tuned] == [("asked", None), ("ended", "complete")]
    free = undisturbed(**changes, methods=[{"name": "plain"}])
    assert sum(e["kind"] == "asked" and e["stage"] == "tune" for e in free) > 5


def test_one_trial_that_failed_is_tried_again() -> None:
    tuning = tuning_of(comparison(parallel_trials=4, max_failures=2), "one", untunable(), 1000, 1000)
    first = tuning.ask()
    assert not tuning.may_ask, "nothing beside the one that runs"
    tuning.fail(first.uid, 10)
    assert tuning.may_ask
    again = tuning.ask()
    tuning.report(again.uid, 0, 1000, 0.5, ready=True, done=True)
    assert tuning.done and tuning.best is again


@pytest.mark.parametrize("sampler", ["nsga_ii", "motpe"])
def test_two_objectives_are_journaled_and_nothing_is_stopped_early(sampler: str) -> None:
    events = undisturbed(sampler=sampler)
    results = [e for e in events if e["kind"] == "result"]
    assert all(e["values"] == [e["score"], e["flops"]] for e in results)
    ended = {e["status"] for e in events if e["kind"] == "ended"}
    assert ended <= {"complete", "budget"}
    done = next(e for e in events if e["kind"] == "stage_done" and e["stage"] == "tune")
    last = int(done["summary"]["tune/front_trials"]) - 1
    assert done["summary"][f"tune/front/{last}/score"] == done["summary"]["tune/best_score"]


def test_a_sampler_that_gives_way_is_told_once_when_the_tuning_begins() -> None:
    methods = [{"name": "plain", "settings": {"weight_decay": 5e-4}}, {"name": "trivial_augment"}]
    events = undisturbed(sampler="cma_es", methods=methods, problems=comparison().problems[:1])
    said = [(i, e["text"]) for i, e in enumerate(events) if e["kind"] == "warning"]
    first = next(i for i, e in enumerate(events) if e["kind"] == "asked" and e["uid"] == "one/plain/tune-000")
    assert len(said) == 1 and said[0][0] < first
    assert said[0][1].startswith("one/plain: CMA-ES needs two numeric parameters")
