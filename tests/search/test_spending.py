"""What limits are about: work, evaluation and waste, each paid for once; driver time without the gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from search.account import trials, waste
from search.settings import Limits
from search.spending import Spending, Tally, tally_of
from tests.support.journals import Writer, journal
from tests.support.simulation import Simulation, Stopped, comparison, simulated
from tracking.journal import Event
from tracking.record import Stage
from trainables.assignment import Assignment, Report


def folded(events: list[Event], **rates: Any) -> Spending:
    spending = Spending(comparison(**rates))
    for event in events:
        spending.take(event)
    return spending


def ledger(slices: float) -> Mapping[str, float]:
    """After so many equal slices of 10 + 1 FLOPs and 2 + 0.5 seconds."""
    return {"cost/flops": 10 * slices, "evaluation/flops": slices,
            "cost/wall_seconds": 2 * slices, "evaluation/wall_seconds": 0.5 * slices}


def test_an_undisturbed_sweep_costs_what_its_ledgers_say() -> None:
    events = journal()
    ends = [e["metrics"] for e in events if e["kind"] == "ended"]
    spending = folded(events, resources={"cpus": 2}, price_per_device_hour=1.5)
    assert spending.total.flops == sum(m["cost/flops"] + m["evaluation/flops"] for m in ends)
    seconds = sum(m["cost/wall_seconds"] + m["evaluation/wall_seconds"] for m in ends)
    assert spending.total.run_seconds == pytest.approx(seconds)
    assert spending.total.device_seconds == pytest.approx(2 * seconds)
    assert spending.total.money == pytest.approx(2 * seconds / 3600 * 1.5)
    assert spending.total.asked == spending.total.ended == len(ends)
    assert sum(t.flops for t in spending.studies.values()) == pytest.approx(spending.total.flops)
    assert ("digits-rotated", "augnet") in spending.studies


def test_a_gpu_is_the_device_where_trials_ask_for_one() -> None:
    spending = folded(journal(), resources={"cpus": 4, "gpus": 0.5})
    assert spending.total.device_seconds == pytest.approx(0.5 * spending.total.run_seconds)


def test_what_is_repeated_is_paid_again() -> None:
    """Ledgers after 1, 2, 3 slices; then twice from the checkpoint after the first one."""
    tally = Tally()
    for index in (0, 1, 2, 1, 2, 1):
        tally.take("t", index, ledger(index + 1))
    assert (tally.flops, tally.run_seconds) == (66, 15)


def test_a_failed_slice_is_paid_however_its_attempt_began() -> None:
    tally = Tally()
    tally.take("t", 0, ledger(1))
    tally.take("t", 1, ledger(2))
    tally.take("t", 2, ledger(2.5), failed=True)   # half of the third slice came to nothing
    assert tally.flops == 27.5
    tally.take("t", 2, ledger(1.5), failed=True)   # the next attempt began after the first slice, and failed there
    assert tally.flops == 33
    tally.take("t", 2, {}, failed=True)            # a worker that died does not know
    tally.take("t", 2, ledger(3))                  # and one that began after the second slice went through
    assert tally.flops == 44


def test_a_new_driver_begins_new_attempts() -> None:
    """Without that, a failure in the first slice after a restart would be compared with the old attempt's end."""
    tally = Tally()
    for index in range(3):
        tally.take("t", index, ledger(index + 1))
    tally.restart()
    tally.take("t", 3, ledger(1.5), failed=True)
    assert tally.flops == 33 + 5.5


def costed(assignment: Assignment, index: int) -> Report:
    report = simulated(assignment, index)
    return report.model_copy(update={"metrics": report.metrics | {"cost/flops": float(report.flops)}})


@pytest.mark.parametrize("every", [1, 3, 100])
def test_killed_directors_pay_their_trials_and_their_waste(every: int) -> None:
    """An independent account: final ledgers plus `account.waste`."""
    events: list[Event] = []
    for stop in (40, 90, 140):
        with pytest.raises(Stopped):
            Simulation(comparison(), events, stop_after=stop, checkpoint_every=every, curve=costed).run()
    Simulation(comparison(), events, checkpoint_every=every, curve=costed).run()
    expected = sum(trial.flops for trial in trials(events).values()) + waste(events).flops
    assert folded(events).total.flops == expected
    assert every == 1 or waste(events).flops > 0


def test_time_without_a_driver_is_not_spent() -> None:
    night = 8 * 3600 * 1000
    spending = Spending(comparison())
    for kind, time_ms in [("sweep", 1000), ("warning", 4000), ("resumed", night), ("warning", night + 2000)]:
        spending.take({"kind": kind, "time_ms": time_ms})
    assert spending.wall_seconds() == 5.0
    assert spending.wall_seconds(now_ms=night + 3000) == 6.0
    assert spending.wall_seconds(now_ms=0) == 5.0, "a clock that went back takes nothing away"
    assert spending.exceeded(Limits(wall_seconds=5.5)) is None
    assert spending.exceeded(Limits(wall_seconds=5.5), now_ms=night + 3000) == "wall_seconds: 6 of 5.5"


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (Limits(), None),
        (Limits(flops=1e30, money=100.0, wall_seconds=1e9, device_seconds=1e9, trials=10_000), None),
        (Limits(flops=1e6), "flops: "), (Limits(device_seconds=10.0), "device_seconds: "),
        (Limits(money=0.001), "money: "), (Limits(trials=3), "trials: "), (Limits(wall_seconds=10), "wall_seconds: "),
    ],
)
def test_the_limit_that_is_reached_is_named(limits: Limits, word: str | None) -> None:
    said = folded(journal(), price_per_device_hour=2.0).exceeded(limits)
    assert said is None if word is None else said is not None and said.startswith(word) and " of " in said


def test_a_limit_of_trials_lets_the_last_one_end() -> None:
    limits, tally = Limits(trials=2), Tally()
    tally.ask("a")
    tally.end("a")
    assert not tally.full(limits)
    tally.ask("b")
    assert tally.full(limits) and tally.exceeded(limits) is None
    tally.end("b")
    assert tally.exceeded(limits) == "trials: 2 of 2"


def test_a_study_has_a_tally_of_its_own() -> None:
    """What a course counts for its limits is the study's part of the sweep's."""
    described = comparison(resources={"cpus": 2}, price_per_device_hour=3.0)
    events = journal()
    tally, key = tally_of(described), ("which-rotation", "unrolled")
    mine = {e["uid"] for e in events if e["kind"] == "asked" and (e["problem"], e["method"]) == key}
    for event in events:
        if event["kind"] == "result" and event["uid"] in mine:
            tally.take(event["uid"], event["index"], event["metrics"])
    whole = folded(events, resources={"cpus": 2}, price_per_device_hour=3.0).studies[key]
    assert (tally.flops, tally.money) == (whole.flops, whole.money)


def test_a_reader_takes_the_rates_from_the_journal() -> None:
    described = comparison(resources={"gpus": 2}, price_per_device_hour=3.0)
    head = {"kind": "sweep", "time_ms": 0, "comparison": described.model_dump(mode="json")}
    events = [head, *journal()[1:]]
    reader, driver = Spending(), Spending(described)
    for event in events:
        reader.take(event)
        driver.take(event)
    assert reader.total.money == driver.total.money > 0
    reader.reprice(6.0)
    assert reader.total.money == 2 * driver.total.money


def test_late_words_and_peculiar_metrics_are_no_cost() -> None:
    writer = Writer()
    writer.begin(["one"], ["plain"], 1, {})
    uid = writer.trial("one", "plain", Stage.TUNE, 0, 1000)
    spending = folded(writer.events)
    before = spending.total.flops
    spending.take({"kind": "repeated", "uid": uid, "index": 0, "metrics": dict(ledger(1)), "time_ms": 0})
    assert spending.total.flops == before
