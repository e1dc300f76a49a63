"""Warm starts: what is taken from earlier sweeps, what is refused, and that it is frozen into the new one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from search import sweep as sweeps
from search import warm_start
from search.director import Director
from search.study import Comparison
from tests.support.simulation import Simulation, Stopped, comparison, decisions
from tracking.errors import UserError
from tracking.journal import Event, Journal
from tracking.storage import Place
from trainables.plugins import PluginFile
from trainables.problems.digits import Config as Digits


def earlier(base: Place) -> list[Event]:
    """A real sweep's folder, `before`, with the journal of a simulated one."""
    described = comparison()
    made = sweeps.create(base / "before", described)
    events: list[Event] = []
    Simulation(described, events).run()
    with Journal(made.place) as journal:
        journal.append("sweep", name="before", comparison=described.model_dump(mode="json"))
        for event in events:
            journal.append(event["kind"], **{k: v for k, v in event.items() if k not in ("seq", "time_ms", "kind")})
    return events


def ended(events: list[Event], study: str) -> list[str]:
    return [e["uid"] for e in events if e["kind"] == "ended" and e["uid"].startswith(f"{study}/tune")]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, list[Event]]:
    base = Place.of(tmp_path_factory.mktemp("sweeps"))
    return base, earlier(base)


@pytest.fixture
def base(before: tuple[Place, list[Event]]) -> Place:
    return before[0]


def test_what_the_same_studies_observed_is_taken(before: tuple[Place, list[Event]]) -> None:
    base, events = before
    warm = warm_start.gather(comparison(warm_start=["before"], budget=9.0), base)
    assert set(warm) == {f"{p}/{m}" for p in ("one", "two") for m in ("plain", "trivial_augment", "augnet")}
    for study, observations in warm.items():
        taken = [o["source"].removeprefix("before: ") for o in observations]
        assert taken == [uid for uid in ended(events, study) if uid in taken] and len(taken) > 3
        scores = {e["uid"]: e["metrics"]["val/score"] for e in events if e["kind"] == "ended"
                  and e["status"] == "complete"}
        assert {o["source"].removeprefix("before: "): o["score"] for o in observations if o["score"] is not None} == {
            uid: score for uid, score in scores.items() if uid in ended(events, study)
        }
    assert warm_start.gather(comparison(), base) == {}


def test_another_label_is_the_same_problem_and_other_methods_stay_cold(base: Place) -> None:
    problem = comparison().problems[0].model_dump() | {"label": "renamed"}
    methods = [{"name": "plain", "label": "mine"}, {"name": "augnet", "settings": {"reward": 0.5}}]
    warm = warm_start.gather(comparison(warm_start=["before"], problems=[problem], methods=methods), base)
    assert set(warm) == {"renamed/mine"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 180}, "horizon is 90 there and 180 here"),
        ({"network": "small_vit"}, "network"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"methods": [{"name": "plain", "settings": {"weight_decay": 1e-4}}]}, "no `plain` with the same fixed"),
        ({"problems": [{"label": "one", "source": {"name": "digits"}, "shares": [0.6, 0.2, 0.2]}]},
         "no problem like `one`"),
    ],
)
def test_nothing_that_matches_is_told(base: Place, changes: dict[str, Any], message: str) -> None:
    if "network" in changes:
        described = comparison(warm_start=["before"]).model_copy(update=changes)
    else:
        described = comparison(warm_start=["before"], **changes)
    with pytest.raises(UserError, match=message):
        warm_start.gather(described, base)


def test_images_that_changed_are_other_data(
    before: tuple[Place, list[Event]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digits of `one` and `two` stand for files here."""
    base, described = Place.of(tmp_path), comparison(warm_start=["later"])
    old = (before[0] / "before").read("journal.jsonl").decode().splitlines()
    first = json.loads(old[0]) | {"data": {"one": "now", "two": "then"}}
    made = sweeps.create(base / "later", comparison())
    made.place.write("journal.jsonl", ("\n".join([json.dumps(first), *old[1:]]) + "\n").encode())
    monkeypatch.setattr(Digits, "fingerprint", lambda self: "now")
    assert {study.split("/")[0] for study in warm_start.gather(described, base)} == {"one"}
    monkeypatch.setattr(Digits, "fingerprint", lambda self: "later still")
    with pytest.raises(UserError, match="the data of `one` have changed since"):
        warm_start.gather(described, base)


def test_what_went_on_with_other_images_is_of_two_kinds() -> None:
    spec = comparison().problems[0]
    began: Event = {"kind": "sweep", "data": {"one": ""}}
    assert warm_start._same_files(spec, "one", [began, {"kind": "resumed"}])
    assert not warm_start._same_files(spec, "one", [began, {"kind": "resumed", "data": {"one": "other"}}])


def test_a_plugin_that_changed_is_another_method(base: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plain` is taken for a user's own here; the earlier sweep had no plug-in of that digest."""
    monkeypatch.setattr(warm_start, "methods", SimpleNamespace(names=tuple))
    plugin = PluginFile(path=Path("mine.py"), digest="0" * 64)
    described = comparison(warm_start=["before"])
    assert warm_start.gather(described, base)
    with pytest.raises(UserError, match="the same code"):
        warm_start.gather(described.model_copy(update={"plugins": (plugin,)}), base)


def test_an_installed_plugin_that_changed_is_another_method(base: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier sweep notes no code of it."""
    described = comparison(warm_start=["before"])
    monkeypatch.setattr(warm_start, "installed_code", lambda *_: {"theirs.lab": "0" * 16})
    assert warm_start.gather(described, base), "it has no say in methods of the house"
    monkeypatch.setattr(warm_start, "methods", SimpleNamespace(names=tuple))
    with pytest.raises(UserError, match="the same code"):
        warm_start.gather(described, base)
    first: Event = {"kind": "sweep", "provenance": {"installed": {"theirs.lab": "0" * 16, "other": "1"}}}
    assert warm_start._same_installed(described, [first])
    assert not warm_start._same_installed(described, [first, first | {"kind": "resumed", "provenance": {}}])


def test_a_plugin_that_made_the_data_or_the_network_changed(base: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a method of the house scores otherwise, too."""
    plugin = PluginFile(path=Path("mine.py"), digest="0" * 64)
    described = comparison(warm_start=["before"]).model_copy(update={"plugins": (plugin,)})
    assert warm_start.gather(described, base), "the file has no say in these"
    for name, replaced in (("networks", SimpleNamespace(names=tuple)), ("own_code", lambda parts: ["0"])):
        with monkeypatch.context() as patched:
            patched.setattr(warm_start, name, replaced)
            with pytest.raises(UserError, match="the same code"):
                warm_start.gather(described, base)


def test_data_of_ones_own_that_an_extractor_learned_from_count_too() -> None:
    described = comparison(methods=[{"name": "hyperinvariances"}, {"name": "plain"}])
    needing, plain = described.methods
    assert all(warm_start._of_the_house(method, described.problems[0], described) for method in (needing, plain))

    class Own(Digits):
        name: ClassVar[str] = "own_digits_of_a_warm_start"

    source = {"label": "own", "source": {"name": Own.name}}
    mine = needing.model_copy(update={"settings": {"extractor": {"source": source}}})
    assert not warm_start._of_the_house(mine, described.problems[0], described)


def test_a_sweep_under_two_names_is_observed_once(base: Place) -> None:
    one = warm_start.gather(comparison(warm_start=["before"]), base)
    assert warm_start.gather(comparison(warm_start=["before", (base / "before").uri]), base) == one


def test_an_unknown_sweep_is_told_with_the_nearest(base: Place) -> None:
    with pytest.raises(UserError, match="before"):
        warm_start.gather(comparison(warm_start=["befor"]), base)


def warmed(described: Comparison, warm: warm_start.Warm, events: list[Event], stop: int | None = None) -> Director:
    """A simulated sweep whose director knows the observations from its beginning."""
    simulation = Simulation(described, [], stop_after=stop)
    simulation._events = events
    simulation.director = Director(described, Place.of("nowhere"), Path("nowhere"), simulation._emit, warm)
    simulation.director.replay(list(events))
    simulation.director.settle()
    return simulation.run()


def test_observations_teach_the_sampler_cost_nothing_and_are_never_chosen(base: Place) -> None:
    described = comparison(warm_start=["before"], budget=3.0)
    warm = warm_start.gather(described, base)
    for observations in warm.values():
        for observation in observations:  # so good that they would be chosen if they could be
            observation["score"] = None if observation["score"] is None else observation["score"] + 10.0
    cold, hot = list[Event](), list[Event]()
    Simulation(comparison(budget=3.0), cold).run()
    director = warmed(described, warm, hot)
    for course in director.courses.values():
        assert course.tuning is not None and course.tuning.best is not None and course.tuning.best.score is not None
        assert course.tuning.best.score < 5.0
        assert course.tuning.spent_flops == sum(t.flops for t in course.tuning.trials.values())
    points = [[e["config"] for e in events if e["kind"] == "asked" and e["uid"] in (
        "one/plain/tune-000", "one/plain/tune-001")] for events in (cold, hot)]
    assert points[0][0] == points[1][0]  # the defaults come first all the same
    assert points[0][1] != points[1][1]  # and the sampler begins with what it was told


def test_a_warm_sweep_is_resumed_from_what_its_first_event_froze(base: Place) -> None:
    described = comparison(warm_start=["before"], budget=3.0)
    warm = warm_start.gather(described, base)
    whole, events = list[Event](), list[Event]()
    warmed(described, warm, whole)
    with pytest.raises(Stopped):
        warmed(described, warm, events, stop=len(whole) // 2)
    warmed(described, warm, events)
    assert decisions(events) == decisions(whole)
