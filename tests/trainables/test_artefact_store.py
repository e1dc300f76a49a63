"""The store keeps whole, undamaged artefacts, and nothing else passes for one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.artefacts import spec
from tests.support.object_store import both
from tracking.errors import StorageError, UserError
from tracking.ledger import Ledger, Phase, PhaseCost
from tracking.storage import Place
from trainables.artefact_store import MANIFEST, ArtefactError, ArtefactStore, Manifest

STATE: dict[str, Any] = {"weight": torch.arange(6.0).view(2, 3), "nested": [{"a": 1, "b": "text"}, None], "flag": True}
COST = Ledger({Phase.PRETRAIN: PhaseCost(flops=123, examples=4, wall_seconds=0.5)})


def kept(place: Place) -> tuple[ArtefactStore, Manifest]:
    store = ArtefactStore(place)
    return store, store.write(spec().key(), spec(), STATE, COST, {"commit": "0123"})


@both
def test_what_is_kept_comes_back_bit_for_bit(place: Place) -> None:
    store, manifest = kept(place)
    found = store.load(spec().key())
    assert found.key == manifest.key and found.spec == spec()
    assert found.ledger.metrics() == COST.metrics()
    assert torch.equal(found.state["weight"], STATE["weight"])
    assert found.state["nested"] == STATE["nested"] and found.state["flag"] is True
    assert found.state is found.state, "it is unpacked once"
    assert store.manifest(spec().key()) == manifest
    assert (manifest.provenance, manifest.size > 100) == ({"commit": "0123"}, True)


@both
def test_a_flipped_byte_is_refused(place: Place) -> None:
    store, manifest = kept(place)
    folder = store.of(manifest.key)
    good = folder.read(manifest.file)
    for position in (0, len(good) // 2, len(good) - 1):
        folder.write(manifest.file, good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(ArtefactError, match="must be undamaged"):
            store.load(manifest.key)
    folder.write(manifest.file, good)
    store.load(manifest.key)  # the control


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder, manifest: folder.delete(MANIFEST), "complete.*never finished"),
        (lambda folder, manifest: folder.delete(manifest.file), "complete.*missing"),
        (lambda folder, manifest: folder.write(manifest.file, folder.read(manifest.file)[:-7]), "undamaged"),
        (lambda folder, manifest: folder.write(MANIFEST, folder.read(MANIFEST)[:-9]), "undamaged.*manifest"),
        (lambda folder, manifest: folder.write(MANIFEST, b"{}"), "undamaged.*manifest"),
        (lambda folder, manifest: folder.write(MANIFEST, json.dumps(
            manifest.to_json() | {"schema": 99}).encode()), "undamaged.*99"),
        (lambda folder, manifest: folder.write(MANIFEST, json.dumps(
            manifest.to_json() | {"key": "f" * 32}).encode()), "undamaged.*ffff"),
        (lambda folder, manifest: folder.delete(), "complete.*never finished"),
    ],
)
def test_what_is_partial_or_damaged_is_told_and_made_again(tmp_path: Path, harm: Any, words: str) -> None:
    """And the new one is whole, whatever lay there."""
    store, manifest = kept(Place.of(tmp_path))
    harm(store.of(manifest.key), manifest)
    with pytest.raises(ArtefactError, match=f"(?s){words}") as told:
        store.load(manifest.key)
    assert "makes it again" in told.value.hint and manifest.key in told.value.got
    store.write(spec().key(), spec(), STATE, COST)
    assert torch.equal(store.load(manifest.key).state["weight"], STATE["weight"])


def test_a_good_one_stays_whatever_is_written_over_it(tmp_path: Path) -> None:
    store, manifest = kept(Place.of(tmp_path))
    again = store.write(spec().key(), spec(), {"weight": torch.zeros(1)}, Ledger())
    assert again == manifest
    assert torch.equal(store.load(manifest.key).state["weight"], STATE["weight"])


def test_a_write_that_stops_half_way_leaves_nothing_that_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of its steps; and a later one succeeds."""
    write = Place.write
    for allowed in (0, 1):
        store, done = ArtefactStore(Place.of(tmp_path / str(allowed))), list[str]()

        def stopped(self: Place, name: str, data: bytes) -> None:
            if len(done) == allowed:  # noqa: B023 - used in this turn only
                raise StorageError("the storage must stay usable", "planted")
            done.append(name)  # noqa: B023
            write(self, name, data)

        with monkeypatch.context() as patch:
            patch.setattr(Place, "write", stopped)
            with pytest.raises(StorageError):
                store.write(spec().key(), spec(), STATE, COST)
        with pytest.raises(ArtefactError, match="never finished"):
            store.load(spec().key())
        store.write(spec().key(), spec(), STATE, COST)
        store.load(spec().key())


def test_two_who_make_the_same_at_once_leave_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first one's file and its manifest the other writes everything, with other bits."""
    store, write, other = ArtefactStore(Place.of(tmp_path)), Place.write, {"weight": torch.ones(3)}

    def interleaved(self: Place, name: str, data: bytes) -> None:
        if name == MANIFEST:
            monkeypatch.setattr(Place, "write", write)
            store.write(spec().key(), spec(), other, COST)
        write(self, name, data)

    monkeypatch.setattr(Place, "write", interleaved)
    store.write(spec().key(), spec(), STATE, COST)
    assert torch.equal(store.load(spec().key()).state["weight"], STATE["weight"])


def test_what_is_not_plain_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = ArtefactStore(Place.of(tmp_path))
    with pytest.raises(ValueError, match="tensors and plain values"):
        store.write(spec().key(), spec(), {"module": torch.nn.Linear(1, 1)}, COST)
    assert store.place.names() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="store of artefacts must be writable"):
            ArtefactStore(Place.of(tmp_path / "artefacts")).check()
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "artefacts").write_text("no folder")
    with pytest.raises(UserError, match="store of artefacts must be writable"):
        ArtefactStore(Place.of(tmp_path / "artefacts")).check()
    ArtefactStore(Place.of(tmp_path / "others")).check()  # the control
