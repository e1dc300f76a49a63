"""`--or-resume`: a launch that is given again goes on, with what may change as it is described now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from search import configuration, launch, runner
from search import sweep as sweeps
from search.launch import Options
from search.sweep import Sweep
from tests.support.simulation import comparison
from tracking.errors import UserError
from tracking.journal import Journal
from tracking.storage import Place

SET = "limits.trials=4"


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The overrides of every resume, in place of the resume itself."""
    found: list[list[str]] = []
    monkeypatch.setattr(launch, "resume", lambda uri, options, words=(): found.append(list(words)) or 75)
    return found


def begun(root: Path, *later: dict[str, Any], parallel_trials: int = 2) -> Sweep:
    """`smoke` with a limit, as a driver left it."""
    described = configuration.load("smoke", [SET]).model_copy(update={"parallel_trials": parallel_trials})
    made = sweeps.create(Place.of(root / "mine"), described)
    with Journal(made.place) as journal:
        journal.append("sweep", comparison=described.model_dump(mode="json"))
        for overrides in later:
            journal.append("resumed", overrides=overrides)
    return made


def again(root: Path, *overrides: str, source: str = "smoke", modules: Sequence[Path] = ()) -> int:
    return launch.compare(source, "mine", overrides, modules, Options(root=str(root)), or_resume=True)


def test_the_same_words_change_nothing(tmp_path: Path, resumed: list[list[str]]) -> None:
    """Also where the number of parallel trials was left open, and is that which the cluster suggested since."""
    begun(tmp_path)
    assert again(tmp_path, SET) == 75
    assert resumed == [[]]


def test_a_limit_that_is_described_otherwise_is_taken_on(
    tmp_path: Path, resumed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path)
    file = tmp_path / "smoke.yaml"
    file.write_text(yaml.safe_dump(configuration.load("smoke", ["hang_seconds=900"]).model_dump(mode="json")))
    again(tmp_path, "limits.trials=100")
    again(tmp_path, "limits.trials=4", source=str(file))
    assert resumed == [["limits.trials=100"], ["hang_seconds=900.0"]]
    assert "limits.trials is 100 from now on" in capsys.readouterr().err
    for words in resumed:  # they mean what was described
        configuration.overridden(configuration.load("smoke"), [], words)


def test_what_a_resume_was_told_stays(
    tmp_path: Path, resumed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A cluster starts the old job again after a person has raised the limit: that is the later word."""
    begun(tmp_path, {"limits.trials": 50})
    again(tmp_path, SET)
    assert "limits.trials stays 50" in capsys.readouterr().err
    again(tmp_path, "limits.trials=50")
    again(tmp_path, "limits.trials=60")
    assert resumed == [[], [], ["limits.trials=60"]]


def test_what_decisions_depend_on_must_be_described_as_it_was(tmp_path: Path, resumed: list[list[str]]) -> None:
    begun(tmp_path)
    plugin = tmp_path / "mine.py"
    plugin.write_text("")
    for words, modules, said in (
        (["budget=7"], [], "budget: "), (["seed=1", "methods.0.name=git"], [], "seed: 0 then, 1 now"),
        (["parallel_trials=3"], [], "parallel_trials: 2 then, 3 now"), ([], [plugin], "plugins"),
    ):
        with pytest.raises(UserError, match=said) as told:
            again(tmp_path, SET, *words, modules=modules)
        assert "another --name" in str(told.value)
    assert resumed == []


def test_a_finished_sweep_has_no_use_for_another_limit(tmp_path: Path, resumed: list[list[str]]) -> None:
    made = begun(tmp_path)
    with Journal(made.place) as journal:
        journal.append("sweep_done")
    again(tmp_path, "limits.trials=100")
    assert resumed == [[]]


# A launch that was stopped before its first event


@pytest.fixture
def undriven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launches without data, cluster and trials."""
    monkeypatch.setattr("tracking.lease.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(runner, "prepare", lambda comparison: {"data_notes": {}})
    monkeypatch.setattr(runner, "_slots", lambda *_: SimpleNamespace(now=lambda: 2))
    monkeypatch.setattr(runner, "Driver", lambda *_: SimpleNamespace(drive=lambda: None))


@pytest.mark.parametrize("left", [(), ("driver.json",), ("comparison.json", "journal.jsonl", "driver.json")])
def test_it_is_begun_where_nothing_was_decided(left: tuple[str, ...], tmp_path: Path, undriven: None) -> None:
    place, described = Place.of(tmp_path / "mine"), comparison(horizon=77)
    (tmp_path / "mine").mkdir()
    for name in left:
        place.write(name, b"" if name == "journal.jsonl" else b"{}")
    with pytest.raises(UserError, match="name of its own"):
        runner.compare(described, place)
    runner.compare(described, place, again=True)
    made = Sweep(place)
    assert made.described() == (made.comparison(), None) and made.comparison().horizon == 77
    assert [event["kind"] for event in made.events()] == ["sweep"]
    with pytest.raises(UserError, match="name of its own"):
        runner.compare(described, place, again=True)  # now it has begun


@pytest.mark.parametrize("kept", ["notes.txt", "report/report.html"])
def test_a_folder_with_anything_else_in_it_is_left_alone(kept: str, tmp_path: Path, undriven: None) -> None:
    place = Place.of(tmp_path / "mine")
    place.write(kept, b"")
    with pytest.raises(UserError, match="name of its own"):
        runner.compare(comparison(), place, again=True)


def test_or_resume_begins_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumed: list[list[str]]) -> None:
    sweeps.create(Place.of(tmp_path / "mine"), comparison())
    called: list[bool] = []
    monkeypatch.setattr(runner, "compare", lambda *_, again: called.append(again))
    monkeypatch.setattr(launch, "_watched", lambda made, run, store, options, seen: run(()) or 0)
    assert again(tmp_path, "budget=7") == 0
    assert called == [True] and resumed == []


def test_who_does_not_have_the_journal_changes_nothing(place: Place, undriven: None) -> None:
    """Of two launches at the same time the later one is refused, and leaves the description of the other."""
    made = sweeps.create(place / "mine", comparison(horizon=77))
    with Journal(made.place):
        with pytest.raises(UserError, match="one driver at a time"):
            runner.compare(comparison(horizon=11), made.place, again=True)
        assert json.loads(made.place.read("comparison.json"))["horizon"] == 77


def test_of_launches_between_each_others_check_and_folder_one_goes_on(
    tmp_path: Path, undriven: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, check = Place.of(tmp_path / "mine"), sweeps.check_new

    def overtaken(*given: Any) -> None:
        check(*given)
        monkeypatch.setattr(sweeps, "check_new", check)
        runner.compare(comparison(horizon=77), place)

    monkeypatch.setattr(sweeps, "check_new", overtaken)
    with pytest.raises(UserError, match="name of its own"):
        runner.compare(comparison(horizon=11), place)
    assert Sweep(place).comparison().horizon == 77 and len(Sweep(place).events()) == 1
