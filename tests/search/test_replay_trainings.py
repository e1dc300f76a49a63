"""Several trainings of what each search found: which are asked, and what the report makes of them."""

from __future__ import annotations

import random

import pytest

from search.analysis import rows
from search.confirm import Confirm, search_of
from search.sentences import spread_line
from search.tables import record
from tests.support.journals import Writer
from tests.support.simulation import Simulation, Stopped, comparison
from tracking.journal import Event
from tracking.record import Stage

S, T = 2, 3


def test_every_search_is_trained_so_often_on_its_own_division_with_seeds_of_its_own() -> None:
    events: list[Event] = []
    Simulation(comparison(replay_trainings=T), events).run()
    asked = [e for e in events if e["kind"] == "asked" and e["stage"] == "replay" and e["problem"] == "one"]
    assert sorted(e["index"] for e in asked) == list(range(1, S * T + 1))
    assert len({e["seed"] for e in asked}) == S * T
    assert {e["index"]: e["partition"] for e in asked} == {index: search_of(index, S) for index in range(1, S * T + 1)}
    reruns = {e["index"]: e for e in events if e["kind"] == "asked" and e["stage"] == "rerun" and e["problem"] == "one"
              and e["method"] == "augnet"}
    assert [e["seed"] for e in asked if e["index"] == 1] == [reruns[1]["seed"]], "the first is paired with its rerun"


def test_one_training_is_what_it_always_was() -> None:
    first: list[Event] = []
    second: list[Event] = []
    Simulation(comparison(), first).run()
    Simulation(comparison(replay_trainings=1), second).run()
    assert [e.get("uid") for e in first] == [e.get("uid") for e in second]


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_sweep_asks_for_the_same_trainings(seed: int) -> None:
    chance, whole = random.Random(seed), []
    Simulation(comparison(replay_trainings=T), whole, seed).run()
    events: list[Event] = []
    for stop in sorted(chance.sample(range(len(whole)), 3)):
        with pytest.raises(Stopped):
            Simulation(comparison(replay_trainings=T), events, seed, stop_after=max(stop, len(events))).run()
    Simulation(comparison(replay_trainings=T), events, seed).run()
    uids = [sorted(e["uid"] for e in one if e["kind"] == "asked" and e["stage"] == "replay") for one in (whole, events)]
    assert uids[0] == sorted(set(uids[1])) and len(uids[0]) == 2 * S * T


def test_nothing_is_trained_again_where_replays_are_off_or_nothing_was_found() -> None:
    for replays, found in ((0, {"a": 1}), (3, None)):
        confirm = Confirm("p/m", {}, S, replays)
        confirm.complete(confirm.ask().uid, found)
        assert confirm.waiting == S - 1


def journal(trainings: int) -> list[Event]:
    """Searches find .80 and .90; trainings of what one found differ by +- .01 (two of them)."""
    writer = Writer()
    writer.begin(["p"], ["augnet"], S, {})
    for index, score in enumerate((0.8, 0.9), start=1):
        writer.trial("p", "augnet", Stage.RERUN, index, 10, extra={"test/score": score})
    for number in range(trainings):
        for index, score in enumerate((0.8, 0.9), start=1):
            extra = {"test/score": score + (0.01 if number else -0.01)}
            writer.trial("p", "augnet", Stage.REPLAY, index + number * S, 10, extra=extra)
    return writer.events


def test_variance_between_searches_and_between_trainings() -> None:
    """Within: the variance of {-.01, .01} is 2e-4. Between: that of the means, .005, less 2e-4 / 2."""
    replay = next(row for row in rows(journal(2)) if row.way is Stage.REPLAY)
    assert replay.spread is not None
    assert replay.spread.within == pytest.approx(2e-4) and replay.spread.between == pytest.approx(0.0049)
    assert dict(replay.scores["test/score"]) == pytest.approx({1: 0.8, 2: 0.9}), "a search counts once"
    assert replay.test is not None and replay.test.count == S
    assert record(replay)["variance_between_searches"] == pytest.approx(0.0049)
    assert "96 % of the variance" in spread_line(replay) and "sd 7.0" in spread_line(replay)


def test_one_training_tells_no_split() -> None:
    replay = next(row for row in rows(journal(1)) if row.way is Stage.REPLAY)
    assert replay.spread is None and spread_line(replay) == ""
    assert record(replay)["variance_between_trainings"] is None
