"""The parts of a row's cost add up to its total, in every unit, and nothing is counted twice."""

from __future__ import annotations

import pytest

from search.account import trials
from search.analysis import rows
from search.exhibit_tables import ledger_table
from search.ledger_parts import SUMMED, UNITS, Part, ledger, records
from tests.support.journals import UNIT_FLOPS, Writer, journal, pretrained
from tracking.journal import Event
from tracking.ledger import Ledger, Phase, PhaseCost
from tracking.record import Stage, Status

P = "digits-rotated"


def whole() -> list[Event]:
    return pretrained(journal(), {(P, "augnet"): ["k"]}, {"k": 7 * UNIT_FLOPS})


def test_parts_of_every_row_add_up_to_its_total() -> None:
    events = whole()
    known = list(trials(events).values())
    for row in rows(events):
        parts = ledger(row, known).parts
        for unit in ("flops", "examples", "cpu_seconds", "label_reads", "wall_seconds"):
            amounts = [getattr(parts[part], unit) for part in SUMMED]
            total = getattr(row.total, unit)
            if None in amounts:
                assert total is None
            else:
                assert sum(amounts) == pytest.approx(total), (row.label, unit)


def metered(search: PhaseCost, train: PhaseCost, joules: float | None = None) -> dict[str, float]:
    """What a meter says of a training: five labels were read to score it."""
    phases = {Phase.SEARCH: search, Phase.TRAIN: train, Phase.SELECT: PhaseCost(flops=70, label_reads=5)}
    return Ledger(phases, host_energy_estimate_joules=joules).metrics()


def test_parts_add_up_in_every_unit_where_scoring_reads_labels_and_phases_are_told_apart() -> None:
    """Labels by hand: 5 in the probe, 12 in the tuning, 3 in the search, 4 and 2 x 5 in the training: 34."""
    search, train = PhaseCost(600, 6, 0.6, 0.0, 0.9, 3, 30), PhaseCost(400, 4, 0.4, 0.1, 0.5, 2, 8)
    writer = Writer()
    writer.begin([P], ["a"], 2, {})
    writer.trial(P, "a", Stage.PROBE, 0, 0, extra=metered(PhaseCost(), PhaseCost()))
    writer.trial(P, "a", Stage.TUNE, 0, 1000, extra=metered(search, PhaseCost(400, 4, 0.4, 0.1, 0.5, 4, 8)))
    writer.trial(P, "a", Stage.RERUN, 1, 1000, extra=metered(search, train))
    writer.trial(P, "a", Stage.RERUN, 2, 400, extra=metered(PhaseCost(), train))
    (row,) = rows(writer.events)
    parts = ledger(row, list(trials(writer.events).values())).parts
    reads = [parts[part].label_reads for part in SUMMED]
    assert reads == [0, 5, 12, 3, 14] and row.total.label_reads == 34
    assert parts[Part.SELECTION].label_reads == 20, "of these"
    for unit in ("flops", "examples", "cpu_seconds", "device_seconds", "wall_seconds", "unlabelled_reads"):
        assert sum(getattr(parts[part], unit) for part in SUMMED) == pytest.approx(getattr(row.total, unit)), unit


def test_the_energy_of_trainings_of_one_phase_is_that_phase_s() -> None:
    writer = Writer()
    writer.begin([P], ["a"], 2, {})
    for seed in (1, 2):
        writer.trial(P, "a", Stage.RERUN, seed, 400, extra=metered(PhaseCost(), PhaseCost(400, 4), 7.0))
    (row,) = rows(writer.events)
    parts = ledger(row, list(trials(writer.events).values())).parts
    joules = [parts[part].host_energy_estimate_joules for part in SUMMED]
    assert joules == [0, 0, 0, 0, 14.0] and row.total.host_energy_estimate_joules == 14.0
    writer.trial(P, "a", Stage.RERUN, 3, 800, extra=metered(PhaseCost(400), PhaseCost(400), 7.0))
    parts = ledger(row, list(trials(writer.events).values())).parts
    assert parts[Part.SEARCH].host_energy_estimate_joules is None, "nobody measured a half of it"


def test_what_a_training_pre_trained_for_itself_is_pre_training() -> None:
    writer = Writer()
    writer.begin([P], ["a"], 1, {})
    phases = {Phase.PRETRAIN: PhaseCost(300, 3), Phase.TRAIN: PhaseCost(700, 7)}
    writer.trial(P, "a", Stage.RERUN, 1, 1000, extra=Ledger(phases).metrics())
    (row,) = rows(writer.events)
    parts = ledger(row, list(trials(writer.events).values())).parts
    assert [parts[part].flops for part in SUMMED] == [300, 0, 0, 0, 700] and row.total.flops == 1000


def test_search_and_training_are_told_apart_where_the_meter_did() -> None:
    writer = Writer()
    writer.begin([P], ["a"], 2, {})
    writer.trial(P, "budget-unit", Stage.UNIT, 0, UNIT_FLOPS)
    for seed in (1, 2):
        phases = {"cost/search/flops": 600.0, "cost/search/examples": 6.0, "cost/train/flops": 400.0}
        writer.trial(P, "a", Stage.RERUN, seed, 1000, extra=phases)
    (row,) = rows(writer.events)
    found = ledger(row, list(trials(writer.events).values())).parts
    assert (found[Part.SEARCH].flops, found[Part.RETRAINING].flops) == (1200, 800)
    assert (found[Part.SEARCH].examples, found[Part.RETRAINING].examples) == (12, None)


def test_what_failed_and_what_the_harness_did_are_told_beside() -> None:
    writer = Writer()
    writer.begin([P], ["a"], 1, {})
    writer.trial(P, "budget-unit", Stage.UNIT, 0, UNIT_FLOPS)
    writer.trial(P, "a", Stage.TUNE, 0, 1000, status=Status.FAILED, reason="x")
    writer.trial(P, "a", Stage.TUNE, 1, 1000)
    (row,) = rows(writer.events)
    found = ledger(row, list(trials(writer.events).values()))
    assert (found.discarded_trials, found.parts[Part.DISCARDED].flops) == (1, 500)
    assert found.parts[Part.TUNING].flops == 1500, "the failed one was paid for"
    assert found.parts[Part.SELECTION].flops == 50 + 100


def test_the_table_has_the_total_after_its_parts_and_what_is_in_no_total_after_that() -> None:
    events = whole()
    known, found = list(trials(events).values()), [row for row in rows(events) if row.problem == P]
    table = ledger_table(found, [ledger(row, known) for row in found])
    assert table.heads == [
        "method", "pre-training, plain trainings", "probe, plain trainings", "tuning, plain trainings",
        "retraining, plain trainings", "everything, plain trainings",
        "harness scoring (not in everything), plain trainings", "failed trials", "device energy",
        "host energy, estimate",
    ]
    for line in table.lines:
        *parts, total, scoring = map(float, line[1:7])
        assert sum(parts) == pytest.approx(total, abs=0.06), "rounded to one place or two"
        assert scoring > 0


def test_of_what_has_not_begun_no_energy_is_told_and_of_what_ran_without_a_counter_that_there_was_none() -> None:
    writer = Writer()
    writer.begin([P], ["a", "b", "c"], 2, {})
    for seed in (1, 2):
        writer.trial(P, "a", Stage.RERUN, seed, 400, extra=metered(PhaseCost(), PhaseCost(400, 4), 7.0))
        writer.trial(P, "c", Stage.RERUN, seed, 400)
    found, known = rows(writer.events), list(trials(writer.events).values())
    table = ledger_table(found, [ledger(row, known) for row in found])
    assert [(line[0], line[-1]) for line in table.lines] == [("a", "14 J"), ("b", "-"), ("c", "not available")]


def test_a_replay_is_in_no_rerun_and_a_rerun_in_every_replay() -> None:
    events = whole()
    known = list(trials(events).values())
    rerun, replay = (row for row in rows(events) if (row.problem, row.method) == (P, "augnet"))
    one, two = ledger(rerun, known).parts, ledger(replay, known).parts
    assert two[Part.RETRAINING].flops - one[Part.RETRAINING].flops == 3 * UNIT_FLOPS
    assert two[Part.SELECTION].flops > one[Part.SELECTION].flops


def test_records_have_every_part_and_unit_and_no_guess_of_energy() -> None:
    events = whole()
    row = next(row for row in rows(events) if row.method == "augnet")
    lines = records(row, ledger(row, list(trials(events).values())))
    assert [line["part"] for line in lines] == [str(part) for part in Part]
    by = {line["part"]: line for line in lines}
    assert all(unit in line for unit in UNITS for line in lines)
    assert by["tuning"]["device_energy_joules"] is by["tuning"]["host_energy_estimate_joules"] is None
    assert by["pre-training"]["plain_trainings"] == 7.0
