"""Artefacts through real Ray: made by a worker that dies on the way, used by two methods, found by the next sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search import configuration, runner
from search.analysis import decision_table
from search.runner import ExitCode
from search.sweep import Sweep, names
from tests.support.artefacts import MAKER
from tracking.errors import UserError
from tracking.journal import Event
from tracking.storage import Place
from trainables.artefact_store import ArtefactStore

TOYS = Path(__file__).resolve().parents[1] / "support" / "toy_problems.py"
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


def needy(settings: dict[str, Any], **changes: Any) -> Any:
    """Two methods that need one artefact, and one that needs none; as small as a sweep can be."""
    data = {
        "problems": [{"label": "toy", "source": {"name": "toy_images"}}],
        "methods": [
            {"name": "plain"}, {"name": "needs_toy", "settings": settings},
            {"name": "also_needs_toy", "settings": settings},
        ],
        "horizon": 6, "slices": 3, "budget": 1.1, "confirm_seeds": 1, "checkpoint_seconds": 1e-6, "network": "mlp",
    }
    return configuration.validate(data | changes | {"plugins": configuration.plugin_files([TOYS, MAKER.path])})


def of(events: list[Event], kind: str) -> list[Event]:
    return [e for e in events if e["kind"] == kind]


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marker") / "died"


@pytest.fixture(scope="module")
def sweep(ray_session: None, tmp_path_factory: pytest.TempPathFactory, marker: Path) -> Sweep:
    outcome = runner.compare(needy({"marker": str(marker)}), tmp_path_factory.mktemp("root") / "first")
    assert outcome.code is ExitCode.DONE
    return outcome.sweep


def test_one_making_survives_its_worker_and_serves_both(sweep: Sweep, marker: Path) -> None:
    events = sweep.events()
    assert marker.exists()
    (again,) = [e for e in of(events, "retry") if e["uid"].startswith("artefacts/")]
    assert again["index"] >= 3, "it went on from a checkpoint"
    (made,) = of(events, "artefact")
    assert made["cached"] is False
    makings = [e for e in of(events, "asked") if e["stage"] == "artefact"]
    assert [e["key"] for e in makings] == [made["key"]]
    reported = [e["index"] for e in of(events, "result") if e["uid"] == makings[0]["uid"]]
    assert reported == list(range(12))
    ended = {e["uid"].split("/")[1] for e in of(events, "ended") if "/rerun-" in e["uid"]}
    assert ended == {"plain", "needs_toy", "also_needs_toy"}
    found = ArtefactStore.beside(sweep.place).load(made["key"])
    assert found.ledger.to_json() == made["ledger"] and found.state["updates"] == 12


def test_the_store_is_no_sweep(sweep: Sweep) -> None:
    assert sweep.place.parent.names() == ["artefacts", "first"]
    assert names(sweep.place.parent) == ["first"]
    with pytest.raises(UserError, match="store of artefacts"):
        runner.compare(needy({}), sweep.place.parent / "artefacts")


def test_the_next_sweep_finds_it_and_gets_the_same_table(sweep: Sweep, marker: Path) -> None:
    second = runner.compare(needy({"marker": str(marker)}), sweep.place.parent / "second").sweep
    events = second.events()
    assert not [e for e in of(events, "asked") if e["stage"] == "artefact"]
    (found,), (made,) = of(events, "artefact"), of(sweep.events(), "artefact")
    assert found["cached"] is True and found["ledger"] == made["ledger"] and found["sha256"] == made["sha256"]
    assert decision_table(events) == decision_table(sweep.events())


def test_a_damaged_one_is_told_and_made_again_with_the_same_bits(sweep: Sweep, marker: Path) -> None:
    (made,) = of(sweep.events(), "artefact")
    folder = Place.of(made["uri"])
    (name,) = [n for n in folder.names() if n.endswith(".pt")]
    good = folder.read(name)
    folder.write(name, good[:-5] + b"wrong")
    third = runner.compare(needy({"marker": str(marker)}, methods=[
        {"name": "needs_toy", "settings": {"marker": str(marker)}},
    ]), sweep.place.parent / "third").sweep
    assert any(made["key"] in e["text"] and "made again" in e["text"] for e in of(third.events(), "warning"))
    (again,) = of(third.events(), "artefact")
    assert (again["cached"], again["sha256"]) == (False, made["sha256"])
    assert folder.read(name) == good


def test_a_failing_maker_ends_only_its_studies(ray_session: None, tmp_path: Path) -> None:
    methods = [{"name": "plain"}, {"name": "needs_toy", "settings": {"explode_at": 2}}]
    outcome = runner.compare(needy({}, methods=methods), tmp_path / "failing")
    assert outcome.code is ExitCode.FAILED_TRIALS
    events = outcome.sweep.events()
    (reason,) = [e["reason"] for e in of(events, "stage_done") if e["reason"]]
    assert "toy_maker on toy, which it needs, could not be made" in reason and "planted in the maker" in reason
    assert any(e["uid"] == "toy/plain/rerun-1" and e["status"] == "complete" for e in of(events, "ended"))
    assert ArtefactStore.beside(outcome.sweep.place).place.names() == []


@pytest.mark.slow
def test_the_same_on_an_object_store(sweep: Sweep, s3: str, marker: Path) -> None:
    """Made, kept and found again on S3: same bits, same table as on a disk."""
    (local,) = of(sweep.events(), "artefact")
    root = Place.of(s3.format("artefact-sweeps"))
    first, second = (
        runner.compare(needy({"marker": str(marker)}), (root / name).uri).sweep for name in ("first", "second")
    )
    (made,), (found,) = of(first.events(), "artefact"), of(second.events(), "artefact")
    assert (made["cached"], found["cached"]) == (False, True)
    assert made["uri"].startswith("s3://")
    assert made["sha256"] == found["sha256"] == local["sha256"]
    assert ArtefactStore.beside(first.place).load(made["key"]).state["updates"] == 12
    assert decision_table(first.events()) == decision_table(second.events()) == decision_table(sweep.events())
