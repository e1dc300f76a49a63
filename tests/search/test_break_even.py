"""Pre-training in the account, in the report and against rivals: on numbers that can be checked by hand.

Of the synthetic journal a task costs 3.8 plain trainings times the method's factor: 2.8 for tuning, 1 for training.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from search import looking
from search import pretraining_sentences as pretraining_sentences_module
from search.account import Cost
from search.analysis import decision_table, rows
from search.break_even import break_even, task_flops
from search.made import all_made, pretraining
from search.page import page
from search.plan import missing
from search.pretraining_sentences import made_line, pretraining_sentences
from search.row import Averaging, Row
from search.statistics import Estimate
from search.tables import record, to_csv
from search.terminal import terminal
from tests.support.journals import FACTOR, UNIT_FLOPS, journal, pretrained, stored
from tests.support.rows import row, seeds
from tracking.journal import Event
from tracking.record import Stage

PROBLEM, KEY = "digits-rotated", "k" * 32
SCORES = {
    PROBLEM: {
        "plain": (0.8, 0.82), "trivial_augment": (0.84, 0.85), "augnet": (0.94, 0.95), "unrolled": (0.85, 0.83),
    },
}


def using(method: str, flops: int, **more: int) -> list[Event]:
    """A sweep in which one method, and `more` of them with an amount of their own, were pre-trained."""
    needs = {(PROBLEM, method): [KEY], **{(PROBLEM, name): [name] for name in more}}
    return pretrained(journal(SCORES, replays=("augnet",)), needs, {KEY: flops, **more})


def row_of(events: list[Event], method: str, way: Stage = Stage.RERUN) -> Row:
    return next(row for row in rows(events) if (row.method, row.way) == (method, way))


def tasks(events: list[Event]) -> dict[tuple[str, str], int | None]:
    return {(one.method, one.rival): one.tasks for one in break_even(rows(events))}


def test_a_task_is_the_whole_tuning_and_one_training() -> None:
    for method, factor in FACTOR.items():
        assert task_flops(row_of(using("plain", 1), method)) == pytest.approx(3.8 * factor * UNIT_FLOPS)


def test_break_even_on_known_numbers() -> None:
    """P = 10 plain trainings; c = 3.8. Rivals: 4.18, 6.08, 11.4, so 10 / 0.38, 10 / 2.28, 10 / 7.6, rounded up."""
    assert tasks(using("plain", 10 * UNIT_FLOPS)) == {
        ("plain", "trivial_augment"): 27, ("plain", "augnet"): 5, ("plain", "unrolled"): 2,
    }


def test_at_exactly_n_tasks_it_is_no_dearer() -> None:
    """7.6 a task are saved against unrolled: a pre-training of 15.2 is paid back by the second task, not the third."""
    saved = round(task_flops(row_of(journal(SCORES), "unrolled")) - task_flops(row_of(journal(SCORES), "plain")))
    found = [tasks(using("plain", flops))["plain", "unrolled"] for flops in (1, saved, saved + 1, 2 * saved)]
    assert found == [1, 1, 2, 2]


def test_the_interval_covers_the_true_number_of_tasks_as_often_as_it_says() -> None:
    """Savings 2 +- 1 over 5 seeds, P = 100: 50 tasks. Rounding to whole tasks can only widen, so at least 95 % less
    3.3 standard errors of 2,000 draws: 93.4 %, a false alarm in 1 of 2,000; an interval that never errs fails too."""
    generator, covered, draws = np.random.default_rng(0), 0, 2000
    for saved in generator.normal(2.0, 1.0, (draws, 5)):
        own = replace(row("own", seeds(*[0.8] * 5), flops=1.0), pretraining=Cost(100.0))
        costs = {seed: Cost(flops=own.seed_costs[seed].flops + saved[seed - 1]) for seed in own.seed_costs}
        rival = replace(row("rival", seeds(*[0.8] * 5), flops=3.0), seed_costs=costs)
        own, rival = replace(own, tuning=Cost()), replace(rival, tuning=Cost())
        found, = break_even([own, rival])
        covered += (found.fewest or math.inf) <= 50 <= (found.most or math.inf)
    assert 0.934 < covered / draws < 0.975, covered / draws


def test_the_interval_over_seeds_is_that_of_the_savings() -> None:
    """P = 10; tunings alike; a training saves 1, 2 or 3: mean 2, so 5 tasks; t-interval 2 +- 2.484: 3 to never."""
    own = row("own", seeds(0.8, 0.8, 0.8), flops=1.0)
    own = replace(own, pretraining=Cost(10.0))
    costs = {1: Cost(2.0), 2: Cost(3.0), 3: Cost(4.0)}
    rival = replace(row("rival", seeds(0.8, 0.8, 0.8), flops=3.0), seed_costs=costs)
    (found,) = break_even([own, rival])
    assert (found.tasks, found.fewest, found.most) == (5, math.ceil(10 / (2 + 2.4841377)), None)
    near = {1: Cost(2.99), 2: Cost(3.0), 3: Cost(3.01)}
    (found,) = break_even([own, replace(rival, seed_costs=near)])
    assert (found.tasks, found.fewest, found.most) == (5, 5, 6)
    (found,) = break_even([own, replace(rival, seed_costs={9: Cost(3.0)})])
    assert (found.tasks, found.fewest, found.most) == (5, None, None), "no seed in common"


def test_a_seed_that_one_of_them_lacks_moves_neither_the_number_nor_its_interval() -> None:
    """P = 10; on seeds 1 to 3 a training saves 2. The rival's others cost 90: with them 36.8 would be saved, 1 task."""
    own = replace(row("own", seeds(0.8, 0.8, 0.8), flops=1.0), pretraining=Cost(10.0))
    costs = {1: Cost(2.99), 2: Cost(3.0), 3: Cost(3.01), 4: Cost(90.0), 5: Cost(90.0)}
    rival = replace(row("rival", seeds(*[0.8] * 5), flops=37.8), seed_costs=costs)
    (found,) = break_even([own, rival])
    assert (found.tasks, found.fewest, found.most) == (5, 5, 6)
    assert (found.task_flops, found.rival_task_flops) == (1.0, pytest.approx(3.0))


def test_never_is_said_with_the_interval_that_may_hold_a_number() -> None:
    """P = 10; a training saves -2, -1 and 2: -1/3 +- 5.17, so 3 to never."""
    own = replace(row("own", seeds(0.8, 0.8, 0.8), flops=3.0), pretraining=Cost(10.0))
    costs = {1: Cost(1.0), 2: Cost(2.0), 3: Cost(5.0)}
    rival = replace(row("rival", seeds(0.8, 0.8, 0.8), flops=8 / 3), seed_costs=costs)
    said = pretraining_sentences([own, rival])[-1]
    assert said.startswith("one: own never becomes cheaper than rival [95 %: from 3 tasks on to never]: a task")
    surely = replace(rival, seed_costs={1: Cost(1.0), 2: Cost(1.01), 3: Cost(0.99)})
    assert pretraining_sentences([own, surely])[-1].startswith("one: own never becomes cheaper than rival: a task")


def test_a_dearer_method_never_pays() -> None:
    found = tasks(using("augnet", 10 * UNIT_FLOPS))
    assert found == {("augnet", "plain"): None, ("augnet", "trivial_augment"): None, ("augnet", "unrolled"): 2}
    equal = using("plain", 10)
    equal[0]["comparison"]["methods"].append({"name": "twin", "label": "", "settings": {}})
    twins = [{**e, **{n: e[n].replace("plain", "twin") for n in ("uid", "method") if n in e}}
             for e in equal if "/plain/" in str(e.get("uid"))]
    assert tasks([*equal, *twins])["plain", "twin"] is None, "equal costs never pay it back"


def test_what_two_rivals_share_cancels() -> None:
    shared = pretrained(
        journal(SCORES), {(PROBLEM, "plain"): [KEY], (PROBLEM, "augnet"): [KEY]}, {KEY: 10 * UNIT_FLOPS}
    )
    assert ("plain", "augnet") not in tasks(shared) and ("augnet", "plain") not in tasks(shared)
    more = tasks(using("plain", 10 * UNIT_FLOPS, augnet=4 * UNIT_FLOPS))
    assert more["plain", "augnet"] == 3  # (10 - 4) / 2.28
    assert ("augnet", "plain") not in more


def test_nothing_is_said_where_nothing_was_pre_trained() -> None:
    events = journal(SCORES)
    assert break_even(rows(events)) == [] and pretraining_sentences(rows(events)) == []
    assert all(row.pretraining.flops == 0 for row in rows(events))


def test_everything_includes_it_once_per_artefact_and_replays_too() -> None:
    before, events = journal(SCORES, replays=("augnet",)), using("augnet", 10 * UNIT_FLOPS)
    for way in (Stage.RERUN, Stage.REPLAY):
        with_it, without = row_of(events, "augnet", way), row_of(before, "augnet", way)
        assert with_it.total.flops == without.total.flops + 10 * UNIT_FLOPS
        assert with_it.pretraining.flops == 10 * UNIT_FLOPS
        assert with_it.tuning == without.tuning and with_it.training == without.training
        assert with_it.total.unlabelled_reads is None, "the trials of this journal come from before it was counted"
    assert row_of(events, "plain").total == row_of(before, "plain").total
    twice = pretrained(before, {(PROBLEM, "augnet"): [KEY, KEY, "other"]}, {KEY: 5, "other": 2})
    assert pretraining(twice) == {(PROBLEM, "augnet"): pretraining(twice)[PROBLEM, "augnet"]}
    assert pretraining(twice)[PROBLEM, "augnet"].flops == 7


def test_one_that_was_found_is_charged_as_one_that_was_made() -> None:
    needs, flops = {(PROBLEM, "plain"): [KEY]}, {KEY: 10 * UNIT_FLOPS}
    here, found = (pretrained(journal(SCORES), needs, flops, cached=cached) for cached in (False, True))
    assert decision_table(here) == decision_table(found)
    assert decision_table(here) != decision_table(journal(SCORES)), "the control"
    assert [one.cached for one in all_made(found).values()] == [True]


def test_the_sentences() -> None:
    events = using("augnet", 10 * UNIT_FLOPS)
    first, never, _, pays = pretraining_sentences(rows(events))
    assert first == (  # 0.16 probe, 4.48 tuning, two trainings of 1.6
        "digits-rotated: augnet has cost 17.8 plain trainings, 7.84 plain trainings without its pre-training of 10 "
        "plain trainings."
    )
    assert never == (
        "digits-rotated: augnet never becomes cheaper than plain: a task (tuning and one training) costs 6.08 plain "
        "trainings against 3.8 plain trainings, and the pre-training comes on top."
    )
    assert pays == (
        "digits-rotated: augnet is no dearer than unrolled from 2 tasks on: a task (tuning and one training) costs "
        "6.08 plain trainings against 11.4 plain trainings, after a pre-training of 10 plain trainings."
    )
    (found,) = all_made(events).values()
    assert made_line(found) == (
        f"pre-training: extractor on digits, 1e+07 FLOPs in 1 min 30 s, 1,400 images read without labels; key {KEY}; "
        f"/sweeps/artefacts/{KEY}"
    )


def test_of_a_rival_with_pre_training_the_rest_is_said_and_of_a_row_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rows(using("plain", 10 * UNIT_FLOPS, augnet=4 * UNIT_FLOPS))
    said = pretraining_sentences(made)
    against = {
        rival: next(line for line in said if f"plain is no dearer than {rival} from" in line)
        for rival in ("augnet", "unrolled")
    }
    assert against["augnet"].endswith("after 6 plain trainings more of pre-training.")
    assert against["unrolled"].endswith("after a pre-training of 10 plain trainings.")
    monkeypatch.setattr(pretraining_sentences_module, "MOST_SENTENCES", 1)
    for order in (made, made[::-1]):
        together = " ".join(pretraining_sentences(order))
        assert "plain, whose pre-training costs 10 plain trainings" in together
        assert "augnet, whose pre-training costs 4 plain trainings" in together


def test_many_pairs_are_one_sentence_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that twenty methods do not fill pages; the same numbers as above."""
    monkeypatch.setattr(pretraining_sentences_module, "MOST_SENTENCES", 2)
    _, together = pretraining_sentences(rows(using("augnet", 10 * UNIT_FLOPS)))
    assert together == (
        "digits-rotated: augnet, whose pre-training costs 10 plain trainings and a task (tuning and one training) 6.08 "
        "plain trainings, is no dearer, from so many tasks on, than unrolled (2) and never becomes cheaper than plain "
        "and trivial_augment."
    )


def test_a_rival_that_is_ahead_in_score_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheaper from two tasks on is no advice where 14 points are lost."""
    monkeypatch.setattr(pretraining_sentences_module, "MOST_SENTENCES", 2)
    made = rows(using("augnet", 10 * UNIT_FLOPS))
    means = {"augnet": 0.51, "unrolled": 0.65}
    better = [
        replace(one, estimates={Averaging.NONE: Estimate(means[one.method], None, None, 2)})
        if one.method in means else one for one in made
    ]
    assert "than unrolled (2, 14.0 points ahead) and never" in pretraining_sentences(better)[1]
    uneven = [  # savings that differ by seed: the number of tasks has an interval
        replace(one, seed_costs={s: Cost(c.flops * (1 + 0.1 * s)) for s, c in one.seed_costs.items()})
        if one.method == "unrolled" else one for one in better
    ]
    fewest, most = next((o.fewest, o.most) for o in break_even(uneven) if o.rival == "unrolled")
    assert f"than unrolled (2 [95 %: {fewest} to {most or 'never'}], 14.0 points" in pretraining_sentences(uneven)[1]


def test_every_kind_of_report_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = using("augnet", 10 * UNIT_FLOPS)
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(*terminal(rows(events), events), sep="\n")
    text = console.export_text()
    assert "pre-" in text and "no dearer than unrolled from 2 tasks on" in text.replace("\n", " ") and KEY in text
    html = page(rows(events), events)
    assert "pre-training*" in html and "What was trained once" in html and KEY in html
    table = {line["method"]: line for line in csv.DictReader(io.StringIO(to_csv([record(r) for r in rows(events)])))}
    assert float(table["augnet"]["pretraining_flops"]) == 10 * UNIT_FLOPS
    whole, rest = (float(table["augnet"][name]) for name in ("total_flops", "total_without_pretraining_flops"))
    assert whole - rest == 10 * UNIT_FLOPS and float(table["plain"]["pretraining_flops"]) == 0
    numbered = [event | {"schema": 1, "seq": number} for number, event in enumerate(events)]
    stored(tmp_path, numbered)
    looking.report("one", str(tmp_path), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [(one["rival"], one["tasks"], one["never"]) for one in told["break_even"]] == [
        ("plain", None, True), ("trivial_augment", None, True), ("unrolled", 2, False),
    ]
    assert [(one["key"], one["pretraining_flops"]) for one in told["artefacts"]] == [(KEY, 10 * UNIT_FLOPS)]


def test_reports_without_it_look_as_before() -> None:
    """The control of the test above."""
    events = journal(SCORES)
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(*terminal(rows(events), events), sep="\n")
    assert "pre-" not in console.export_text()
    assert "pre-training" not in page(rows(events), events)


def test_what_is_wanted_and_not_there_is_told() -> None:
    events = pretrained(journal(SCORES), {(PROBLEM, "plain"): [KEY]}, {})
    assert "extractor on digits: not made yet." in missing(events)
    asked = {"kind": "asked", "uid": "artefacts/k", "problem": "artefacts", "method": "extractor", "stage": "artefact",
             "index": 0, "key": KEY, "label": "extractor on digits", "config": {}}
    ended = {"kind": "ended", "uid": "artefacts/k", "status": "failed", "reason": "ValueError: no\ntrace"}
    assert "extractor on digits: could not be made: ValueError: no." in missing([*events, asked, ended])
    made = pretrained(journal(SCORES), {(PROBLEM, "plain"): [KEY]}, {KEY: 5})
    assert not [line for line in missing(made) if "extractor" in line]
    gone = {"kind": "artefact_gone", "key": KEY, "reason": "deleted"}
    assert any("gone from the store" in line for line in missing([*made, gone]))
    assert {row.problem for row in rows([*events, asked])} == {PROBLEM}, "it is no row of the table"


def test_a_sweep_that_only_makes_has_a_report_too() -> None:
    events = pretrained(journal({}), {}, {KEY: 5})
    events[0]["artefacts"]["specs"] = {KEY: events[1]["spec"]}
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(*terminal(rows(events), events), sep="\n")
    assert KEY in console.export_text()
    assert "What was trained once" in page(rows(events), events)
