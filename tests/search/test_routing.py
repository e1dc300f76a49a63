"""The multiplexers only route: on a recorded trace every study's Optuna and ASHA decide as when used bare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.director import Director
from search.flights import Flights
from search.routing import Gate, Guard, Router
from search.slots import Slots
from tests.support.simulation import Simulation, comparison, simulated
from tracking.journal import Event
from trainables.method import stable_seed

RECIPE = {
    "learning_rate": FloatDistribution(0.01, 0.5, log=True),
    "weight_decay": FloatDistribution(1e-5, 1e-2, log=True),
}
FULL_COST = {"plain": 100_000, "trivial_augment": 110_000}


def bare(events: list[Event], problem: str, method: str, sampler_shift: int = 0) -> tuple[list[Any], list[str]]:
    """Proposals and verdicts of one study from Optuna and Ray used directly, fed with the recorded reports."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = stable_seed(0, problem, method, "sampler") % 2**32 + sampler_shift
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"learning_rate": 0.1, "weight_decay": 5e-4})
    asha = ASHAScheduler(
        time_attr="t", metric="m", mode="max", max_t=FULL_COST[method], grace_period=int(FULL_COST[method] / 9),
        reduction_factor=3, stop_last_trials=False,
    )
    proposals, verdicts = [], []
    uids = [e["uid"] for e in events if e["kind"] == "asked" and (e["problem"], e["method"], e["stage"]) ==
            (problem, method, "tune")]
    for number, uid in enumerate(uids):
        # TPE holds nothing but its generator: a fresh one for each proposal makes a resume independent of those before.
        study.sampler = optuna.samplers.TPESampler(seed=stable_seed(seed, number) % 2**32, n_startup_trials=4)
        trial = study.ask(RECIPE)
        proposals.append(trial.params)
        proxy = SimpleNamespace(trial_id=uid)
        asha.on_trial_add(None, proxy)
        ended = next(e for e in events if e["kind"] == "ended" and e["uid"] == uid)
        for event in [e for e in events if e["kind"] == "result" and e["uid"] == uid]:
            row = {"t": event["flops"], "m": event["score"]}
            if event["ready"]:
                trial.report(event["score"], event["index"])
            if event["status"] == "complete":
                asha.on_trial_complete(None, proxy, row)
                verdicts.append("complete")
            elif event["ready"]:
                stop = asha.on_trial_result(None, proxy, row) == TrialScheduler.STOP
                verdicts.append("pruned" if stop else "continue")
        state = {"complete": optuna.trial.TrialState.COMPLETE}.get(ended["status"], optuna.trial.TrialState.PRUNED)
        study.tell(trial, event["score"] if ended["status"] == "complete" else None, state=state)
    return proposals, verdicts


def routed(events: list[Event], problem: str, method: str) -> tuple[list[Any], list[str]]:
    """The same from the journal of the multiplexed sweep."""
    asked = [e for e in events if e["kind"] == "asked" and (e["problem"], e["method"], e["stage"]) ==
             (problem, method, "tune")]
    proposals = [{name: e["config"][name] for name in RECIPE} for e in asked]
    verdicts = []
    for uid in [e["uid"] for e in asked]:
        results = [e for e in events if e["kind"] == "result" and e["uid"] == uid and e["ready"]]
        status = next(e["status"] for e in events if e["kind"] == "ended" and e["uid"] == uid)
        last = "continue" if status == "budget" else status  # the budget's verdict, not ASHA's
        verdicts += ["continue"] * (len(results) - 1) + [last] * bool(results)
    return proposals, verdicts


@pytest.fixture(scope="module")
def trace() -> list[Event]:
    events: list[Event] = []
    Simulation(comparison(budget=8.0), events, order=7).run()
    return events


@pytest.mark.parametrize("problem", ["one", "two"])
@pytest.mark.parametrize("method", ["plain", "trivial_augment"])
def test_each_study_decides_as_when_used_alone(trace: list[Event], problem: str, method: str) -> None:
    proposals, verdicts = routed(trace, problem, method)
    assert "pruned" in verdicts
    assert len(proposals) > 8  # beyond the start-up trials: TPE has modelled something
    assert bare(trace, problem, method) == (proposals, verdicts)


def test_control_another_sampler_seed_is_noticed(trace: list[Event]) -> None:
    assert bare(trace, "one", "plain", sampler_shift=1)[0] != routed(trace, "one", "plain")[0]


class TestRouter:
    """Ray's side of the searcher and the scheduler, driven by hand."""

    def simulation(self) -> tuple[Director, list[Event]]:
        events: list[Event] = []
        return Simulation(comparison(), events).director, events

    def parts(self, director: Director, guard: Guard, slots: int = 2) -> tuple[Router, Gate]:
        given = director, Flights(60.0), Slots(lambda: slots), guard
        return Router(*given, may_ask=lambda: True), Gate(*given)

    def test_limit(self) -> None:
        """As many as there are slots, and one that waits."""
        director, _ = self.simulation()
        router, _ = self.parts(director, Guard(), slots=2)
        assert all(isinstance(router.suggest(name), dict) for name in "abc")
        assert router.suggest("d") is None
        router.on_trial_complete("b")
        assert isinstance(router.suggest("e"), dict)

    def test_a_limit_lets_what_was_begun_go_on(self) -> None:
        """Nothing new is asked, but a trial whose worker died gets another one."""
        director, _ = self.simulation()
        asked: list[bool] = [True]
        given = director, Flights(60.0), Slots(lambda: 2), Guard()
        router, gate = Router(*given, may_ask=lambda: asked[0]), Gate(*given)
        first = router.suggest("a")
        assert isinstance(first, dict)
        asked[0] = False
        assert router.suggest("b") is None
        gate.on_trial_error(None, SimpleNamespace(trial_id="a", error_file=None))
        router.on_trial_complete("a", error=True)
        again = router.suggest("c")
        assert isinstance(again, dict) and again["uid"] == first["uid"]
        assert router.suggest("d") is None

    def test_a_worker_that_was_given_up_is_not_heard(self) -> None:
        director, events = self.simulation()
        router, gate = self.parts(director, Guard())
        suggestion = router.suggest("a")
        assert isinstance(suggestion, dict)
        result = {"report": simulated(director._open[suggestion["uid"]], 0).model_dump_json()}
        router.on_trial_complete("a", error=True)
        stale = SimpleNamespace(trial_id="a")
        assert gate.on_trial_result(None, stale, result) == TrialScheduler.STOP
        assert not [e for e in events if e["kind"] == "result"]

    def test_runs_a_whole_sweep(self) -> None:
        director, events = self.simulation()
        guard = Guard()
        router, gate = self.parts(director, guard)
        running: list[tuple[str, Any, int]] = []
        for number in range(10_000):
            suggestion = router.suggest(str(number))
            if suggestion == Searcher.FINISHED:
                break
            if isinstance(suggestion, dict):
                running.append((str(number), director._open[suggestion["uid"]], 0))
                continue
            trial_id, assignment, index = running.pop(0)
            report = simulated(assignment, index)
            result = {"report": report.model_dump_json()}
            trial = SimpleNamespace(trial_id=trial_id)
            # Ray does not ask the scheduler about a result that says `done`.
            if report.status == "complete" or gate.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                gate.on_trial_complete(None, trial, result)
                router.on_trial_complete(trial_id)
            else:
                running.append((trial_id, assignment, index + 1))
        assert director.finished
        assert guard.error is None
        assert not [e for e in events if e["kind"] == "repeated"]

    def test_an_orderly_stop_journals_what_comes_and_lets_nobody_go_on(self) -> None:
        director, events = self.simulation()
        flights, guard = Flights(60.0), Guard()
        given = director, flights, Slots(lambda: 2), guard
        router, gate = Router(*given, may_ask=lambda: True), Gate(*given)
        suggestion = router.suggest("a")
        assert isinstance(suggestion, dict)
        trial = SimpleNamespace(trial_id="a")
        assert not flights.busy  # it waits for a worker
        result = {"report": simulated(director._open[suggestion["uid"]], 0).model_dump_json()}
        assert gate.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE
        assert flights.busy
        flights.landing = True
        assert router.suggest("b") is None
        result = {"report": simulated(director._open[suggestion["uid"]], 1).model_dump_json(), "done": True}
        assert gate.on_trial_result(None, trial, result) == TrialScheduler.STOP
        gate.on_trial_complete(None, trial, result)  # as Tune does after a stop
        router.on_trial_complete("a")
        assert not flights.busy and guard.error is None
        assert [(e["kind"], e["index"]) for e in events if "index" in e and e["kind"] != "asked"] == [
            ("result", 0), ("result", 1)
        ]
        assert not [e for e in events if e["kind"] == "ended"]

    def test_an_error_ends_the_sweep_and_is_kept(self) -> None:
        director, _ = self.simulation()
        guard = Guard()
        router, gate = self.parts(director, guard)
        assert isinstance(router.suggest("x"), dict)
        decision = gate.on_trial_result(None, SimpleNamespace(trial_id="x"), {"report": "not json"})
        assert decision == TrialScheduler.STOP
        assert guard.error is not None
        assert router.suggest("later") == Searcher.FINISHED
