"""`invsearch fit`: what it runs fits the minutes, and what is wrong is told before it runs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search import configuration, fit, fit_plan, launch
from search.fit import check_minutes, tried
from search.fit_plan import Size, Times
from search.study import LABEL
from search.sweep import create
from tracking.errors import UserError
from tracking.storage import Place
from trainables.problems.bank import standard_bank
from trainables.problems.digits import Config as Digits
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.problem import Split

TIMES = Times(fixed=0.5, step=0.01, test=0.5)


@pytest.mark.parametrize("minutes", [2.5, 5, 10, 60, 600])
def test_what_is_run_fits_the_minutes_and_uses_them(minutes: float) -> None:
    size = fit_plan.sized(TIMES, 3000, 12, minutes, 2)
    assert TIMES.sweep(size, 12, 2) <= 60 * minutes
    more = replace(size, updates=size.updates + 1)
    assert size.updates == 3000 or TIMES.sweep(more, 12, 2) > 60 * minutes
    assert size.seeds in fit_plan.SEEDS and size.updates >= fit_plan.FEWEST_UPDATES


def test_more_minutes_give_more_seeds_and_no_fewer_updates_than_are_enough() -> None:
    sizes = [fit_plan.sized(TIMES, 3000, 12, minutes, 2) for minutes in (2.5, 5, 10, 60)]
    assert [size.seeds for size in sizes] == sorted(size.seeds for size in sizes)
    assert all(size.updates >= fit_plan.ENOUGH_UPDATES for size in sizes if size.seeds > fit_plan.SEEDS[-1])


def test_too_few_minutes_are_told_with_what_would_do() -> None:
    with pytest.raises(UserError, match=r"about (\d+) minutes would do") as told:
        fit_plan.sized(TIMES, 3000, 12, 1.0, 2)
    enough = int(str(told.value).partition("about ")[2].split()[0])
    assert fit_plan.sized(TIMES, 3000, 12, enough, 2).seeds == fit_plan.SEEDS[-1]
    for minutes in (0.0, -1.0, math.nan, 1e9):
        with pytest.raises(UserError, match="--minutes"):
            check_minutes(minutes)


def test_every_action_of_the_bank_is_tried_once_in_a_factor_with_a_name() -> None:
    for shape in ((1, 16, 16), (3, 32, 32)):
        actions = standard_bank(shape, {})
        found = fit_plan.reach(actions)
        assert sorted(name for ranges in found.values() for name in ranges) == sorted(a.name for a in actions)
        assert set(found["translation"]) == {"translate_x", "translate_y"}
        assert found["flip_vertical"] == {"flip_vertical": 1.0}
        assert found["rotation"] == {"rotation": 45.0}
    assert set(found["colour"]) == {"hue", "saturation"}


def test_the_comparison_treats_all_rows_alike_and_remembers_what_it_tried(tmp_path: Path) -> None:
    reach = fit_plan.reach(standard_bank((1, 16, 16), {}))
    made = fit_plan.comparison(tmp_path, {"size": 16, "grey": True}, reach, Size(200, 5), 5)
    assert tried(made) == reach
    assert {method.key for method in made.methods} == {*fit_plan.METHODS, *reach}
    assert (made.max_trials, made.horizon, made.confirm_seeds, made.limits.wall_seconds) == (1, 200, 5, 600.0)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "search.cli", "fit", *words], capture_output=True, text=True, env=environment,
        check=False,
    )


@pytest.mark.parametrize("what", ["missing", "one class", "no images", "minutes"])
def test_bad_input_is_one_message_and_leaves_nothing(what: str, tmp_path: Path) -> None:
    folder, root = tmp_path / "images", tmp_path / "sweeps"
    if what != "missing":
        (folder / "a").mkdir(parents=True)
    if what in ("one class", "minutes"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "a" / "0.png")
    done = run(str(folder), "--root", str(root), "--minutes", "0" if what == "minutes" else "5")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert not root.exists()


@pytest.mark.parametrize(("words", "said"), [
    (("--root", "images/sweeps"), "results may not lie among the images"),
    (("--root", "images"), "results may not lie among the images"),
    (("--name", "my fit"), "a sweep's name is made of"),
    (("--name", ""), "a sweep's name is made of"),
])
def test_what_is_wrong_with_the_words_is_told_before_anything_is_timed(
    words: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    monkeypatch.setattr(fit_plan, "timed", None)
    options = launch.Options(root=words[1] if words[0] == "--root" else "sweeps")
    with pytest.raises(UserError, match=said):
        fit.fit(Path("images"), 5.0, {}, words[1] if words[0] == "--name" else None, options)
    assert [path.name for path in tmp_path.rglob("*")] == ["images"]


def test_a_folder_beside_the_images_whose_name_begins_alike_is_not_among_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    fit._apart(Place.of(tmp_path / "images-sweeps"), tmp_path / "images")
    for part in ("train", "test"):  # then these alone are read
        (tmp_path / "images" / part).mkdir()
    fit._apart(Place.of(tmp_path / "images" / "sweeps"), tmp_path / "images")
    with pytest.raises(UserError, match="among the images"):
        fit._apart(Place.of(tmp_path / "images" / "train" / "sweeps"), tmp_path / "images")


def test_two_folders_of_other_letters_keep_apart(tmp_path: Path) -> None:
    names = ("日本語", "中文", "ünï", "unu", "my photos")
    labels = [fit_plan.label(tmp_path / name) for name in names]
    assert len(set(labels)) == len(names) and labels[-1] == "my-photos"
    assert all(LABEL.fullmatch(label) for label in labels)


def test_a_resumed_fit_has_its_card_made_again_and_another_sweep_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = fit_plan.reach(standard_bank((1, 16, 16), {}))
    create(Place.of(tmp_path / "mine"), fit_plan.comparison(tmp_path, {"size": 16}, reach, Size(200, 5), 5))
    create(Place.of(tmp_path / "other"), configuration.load("smoke"))
    told: list[str] = []
    monkeypatch.setattr(launch, "resume", lambda *_: 75)
    monkeypatch.setattr(fit, "tell", lambda made: told.append(made.name))
    options = launch.Options(root=str(tmp_path))
    assert [fit.resume(name, options, (), False) for name in ("mine", "other")] == [75, 75]
    assert told == ["mine"]


def test_of_images_that_have_changed_no_card_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class that was renamed stands at another place: the card would name the network's outputs wrongly."""
    for kind in "ab":
        for number in range(12):
            place = tmp_path / "images" / kind / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 10 * number, np.uint8)).save(place)
    reach = fit_plan.reach(standard_bank((3, 8, 8), {}))
    described = fit_plan.comparison(tmp_path / "images", {"size": 8}, reach, Size(200, 5), 5)
    spec, made = described.problems[0], create(Place.of(tmp_path / "s"), described)
    events = [{"kind": "sweep", "data": {spec.label: spec.parts()[0].fingerprint()}}]
    assert fit._gone(spec, events) is None and fit._gone(spec, [{"kind": "sweep"}]) is None
    (tmp_path / "images" / "a").rename(tmp_path / "images" / "c")
    assert "have changed" in (fit._gone(spec, events) or "")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    assert "must be a folder" in (fit._gone(spec, events) or "")
    fit.tell(made)
    assert "no card is made" in capsys.readouterr().out and not (tmp_path / "s" / "fit").exists()


def test_a_sweep_that_was_no_fit_is_left_alone(tmp_path: Path) -> None:
    other = configuration.load("smoke")
    create(Place.of(tmp_path / "s"), other)
    before = sorted(path.name for path in (tmp_path / "s").iterdir())
    (tmp_path / "images").mkdir()
    done = run(str(tmp_path / "images"), "--name", "s", "--root", str(tmp_path))
    assert done.returncode == 2 and "must be that of an earlier `fit`" in done.stderr
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == before
    assert tried(other) == {}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_upright_images_and_a_turned_test_want_rotation(tmp_path: Path) -> None:
    """Digits: 240 upright ones to learn from, 400 turned by up to 40 degrees to be tested on; two minutes and more."""
    data = Nuisance(ranges={"rotation": 40.0}, on=(Split.TEST,)).wrap(Digits().load(0), 0)
    parts = ("train", data.pool[Split.TRAIN][:240], data.pool_y), ("test", data.test_x[:400], data.test_y)
    for part, x, y in parts:
        for number, image in enumerate(x):
            place = tmp_path / "images" / part / f"digit-{y[number]}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(place / f"{number}.png")
    words = (str(tmp_path / "images"), "--grey", "--size", "16", "--name", "s", "--root", str(tmp_path / "sweeps"))
    done = run(*words, "--minutes", "5")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "sweeps" / "s" / "fit"
    card = (folder / "card.md").read_text()
    assert "rotation (up to 45 degrees): helps" in card
    assert "640 grey images of 16 x 16 in 10 classes; 400 of them were kept for the test." in card
    exec((folder / "augmentation.py").read_text(), {})
    network = torch.export.load(folder / "model.pt2").module()
    assert network(torch.rand(3, 1, 16, 16)).shape == (3, 10)
    again = run(*words)  # goes on with the finished sweep, and says the same
    assert again.returncode == 0 and (folder / "card.md").read_text() == card
