"""`invsearch pretrain`, killed with -9 in the middle and resumed: bit for bit what an undisturbed making gives."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml

from search.pretraining import load
from tests.support.artefacts import MAKER
from tests.support.drivers import SUPPORT, command, sweep, wait_for
from tracking.journal import Event
from trainables.artefact_store import ArtefactStore
from trainables.making import SLICES, made

MODULES = (SUPPORT / "toy_problems.py", MAKER.path)


def of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["kind"] == kind]


@pytest.mark.slow
def test_killed_and_resumed_it_makes_the_same(tmp_path: Path, cache_folder: Path) -> None:
    file, root = tmp_path / "toy.yaml", tmp_path / "sweeps"
    settings = {"horizon": 5000}
    file.write_text(yaml.safe_dump({
        "maker": "toy_maker", "settings": settings, "source": {"name": "toy_images"}, "checkpoint_seconds": 0.05,
    }))
    modules = [word for path in MODULES for word in ("--module", str(path))]
    first = command(root, "pretrain", str(file), "--name", "cut", "--cpus", "2", *modules)
    wait_for(root, "cut", 5, first)
    first.kill()
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    before = sweep(root, "cut").events()
    assert not of(before, "artefact") and len(of(before, "result")) < SLICES
    last = command(root, "resume", "cut", "--cpus", "2")
    said, errors = last.communicate(timeout=240)
    assert last.returncode == 0, errors
    events = sweep(root, "cut").events()
    (told,) = of(events, "artefact")
    assert told["key"] in said and "pre-training: toy_maker on toy_images" in said
    assert [event["index"] for event in of(events, "result")] == list(range(SLICES))
    (wanted,) = load(str(file), (), MODULES).artefacts
    found = ArtefactStore.beside(sweep(root, "cut").place).load(wanted.key())
    whole = made(wanted, cache_folder)
    assert {n: getattr(v, "tolist", lambda v=v: v)() for n, v in found.state.items()} == {
        n: getattr(v, "tolist", lambda v=v: v)() for n, v in whole.state.items()
    }
    cost, undisturbed = (one.ledger.metrics() for one in (found, whole))
    for unit in ("flops", "examples", "unlabelled_reads"):
        assert cost[f"cost/pretrain/{unit}"] == undisturbed[f"cost/pretrain/{unit}"]
