"""A dry run of sweeps that make artefacts: FLOPs exact, studies wait, what is in the store costs nothing more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from search import launch
from search.estimate import estimate
from search.study import Comparison
from search.timed_making import time_making
from search.wanted import wanted_of
from tests.search.test_estimate import FLOPS, measured
from tests.support.artefacts import MAKER, making, spec
from tests.support.simulation import needy
from tests.support.trials import finish
from tracking.errors import UserError
from tracking.record import NotFiniteError
from tracking.storage import Place
from trainables.artefact import ArtefactSpec
from trainables.artefact_store import ArtefactStore
from trainables.making import MakerHarness, made
from trainables.problems.spec import ProblemSpec

TOYS = Path(__file__).resolve().parents[1] / "support" / "toy_problems.py"
SECONDS = 50.0


def timed(described: Comparison, wanted: ArtefactSpec, cache: Path) -> tuple[float, float]:
    return 7e6, SECONDS


def plainly(described: Comparison, problem: ProblemSpec, method: str, settings: Any, cache: Path) -> Any:
    return measured(described, problem, method if method in FLOPS else "plain", settings, cache)


def test_studies_wait_for_what_they_need(tmp_path: Path) -> None:
    described = needy(parallel_trials=1)
    (key,) = wanted_of(described).specs
    cold, warm = (
        estimate(described, 8, tmp_path, plainly, found=found, timed_by=timed) for found in ([], [key])
    )
    assert cold.flops - warm.flops == 7e6 and cold.trials - warm.trials == 1
    assert cold.wall_seconds - warm.wall_seconds == pytest.approx(SECONDS, rel=0.01), "none can begin before"
    assert cold.device_seconds - warm.device_seconds == pytest.approx(SECONDS)
    assert [(one.key, one.cached) for one in warm.artefacts] == [(key, True)]


def test_a_maker_that_fails_takes_its_studies_along(tmp_path: Path) -> None:
    def broken(described: Comparison, wanted: ArtefactSpec, cache: Path) -> tuple[float, float]:
        raise RuntimeError("planted\nmore")

    found = estimate(needy(), 2, tmp_path, plainly, timed_by=broken)
    assert {study.method: study.failed for study in found.studies} == {
        "plain": None, "needs_toy": "RuntimeError: planted", "also_needs_toy": "RuntimeError: planted",
    }


@pytest.mark.parametrize("unit", [True, False])
def test_what_would_fail_says_what_helps(tmp_path: Path, unit: bool) -> None:
    """A unit that diverges names the setting; any other error of a user's is told whole."""
    def broken(described: Comparison, problem: ProblemSpec, method: str, settings: Any, cache: Path) -> Any:
        if method == "plain" and unit:
            raise NotFiniteError("train/loss = nan")
        if method != "plain":
            raise UserError("a rule", "this", "do that")
        return plainly(described, problem, method, settings, cache)

    failed = {s.method: s.failed or "" for s in estimate(needy(), 2, tmp_path, broken, timed_by=timed).studies}
    assert ("`learning_rate`" in failed["needs_toy"]) is unit
    assert unit or failed["needs_toy"] == "UserError: a rule (got: this; hint: do that)"
    assert bool(failed["plain"]) is unit


def test_flops_of_a_making_are_exact(tmp_path: Path) -> None:
    for horizon in (12, 130):
        described = spec(settings={"horizon": horizon})
        last = finish(MakerHarness(making(tmp_path / str(horizon), described)))[-1]
        flops, seconds = time_making(needy(), described, tmp_path / "cache")
        assert flops == pytest.approx(last.flops, rel=1e-9) and seconds > 0


def test_a_dry_run_of_a_pretraining_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, root = tmp_path / "toy.yaml", tmp_path / "sweeps"
    path.write_text(yaml.safe_dump({"maker": "toy_maker", "source": {"name": "toy_images"}}))
    options = launch.Options(root=str(root))
    dry = (str(path), None, [], [TOYS, MAKER.path], options)
    launch.estimate(*dry, True, launch.PRETRAINING)
    said = json.loads(capsys.readouterr().out)
    assert not root.exists()
    assert said["plan"]["stages"] == [] and Place.of(said["plan"]["sweep"]).name.startswith("pretrain-toy-")
    (one,) = said["estimate"]["artefacts"]
    assert (one["key"], one["cached"], one["damaged"]) == (spec().key(), False, False) and one["flops"] > 0
    launch.estimate(*dry, False, launch.PRETRAINING)
    assert "trained once: toy_maker on toy_images" in capsys.readouterr().out
    store = ArtefactStore(Place.of(root / "artefacts"))
    whole = made(spec(), tmp_path / "cache")
    store.write(spec().key(), spec(), whole.state, whole.ledger)
    launch.estimate(*dry, False, launch.PRETRAINING)
    assert "is in the store already" in capsys.readouterr().out
    (file,) = (root / "artefacts" / spec().key()).glob("*.pt")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    launch.estimate(*dry, False, launch.PRETRAINING)
    told = capsys.readouterr().out
    assert "is in the store, but damaged: would be made again, " in told and "already" not in told
    launch.estimate(*dry, True, launch.PRETRAINING)
    (one,) = json.loads(capsys.readouterr().out)["estimate"]["artefacts"]
    assert one["damaged"] and not one["cached"] and one["flops"] > 0 and file.read_bytes() == data


def test_a_method_is_probed_with_a_stand_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it needs does not exist yet; a trial costs the same whatever is in it."""
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({
        "problems": [{"label": "toy", "source": {"name": "toy_images"}}], "methods": [{"name": "needs_toy"}],
        "network": "mlp", "horizon": 8, "slices": 4, "budget": 2.0, "confirm_seeds": 1, "device": "cpu",
        "invariance_examples": 8, "copies": 2, "strengths": 1, "class_images": 2, "class_draws": 2,
    }))
    options = launch.Options(root=str(tmp_path / "sweeps"))
    launch.estimate(str(path), None, [], [TOYS, MAKER.path], options, True)
    said = json.loads(capsys.readouterr().out)["estimate"]
    (study,) = said["studies"]
    assert study["failed"] is None and study["training_flops"] > 0
    assert [one["key"] for one in said["artefacts"]] == [spec(source={
        "label": "any", "source": {"name": "toy_images"}}).key()]
