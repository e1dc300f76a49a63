"""A sweep's folder: where it is, what it holds, and what `invsearch status` makes of it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from search import cli, sweep
from search.recorder import Recorder
from search.sweep import Sweep
from tests.support.journals import journal
from tests.support.simulation import comparison
from tracking.errors import UserError
from tracking.journal import Event, Journal
from tracking.storage import Place

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.lease.SETTLE_SECONDS", 0.0)
    monkeypatch.delenv(sweep.ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(sweep, "CONFIGURATION", tmp_path / "config.yaml")
    monkeypatch.chdir(tmp_path)


def stored(base: Path, name: str, events: list[Event], began: float = 0.0) -> Sweep:
    """A sweep on disk with this journal."""
    made = sweep.create(Place.of(base / name), comparison())
    file(made).write_text("".join(json.dumps(event) + "\n" for event in events))
    os.utime(file(made, "comparison.json"), (began, began))
    return made


def file(made: Sweep, name: str = "journal.jsonl") -> Path:
    assert made.place.local is not None
    return made.place.local / name


# Where


def test_the_root_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """./sweeps, then the configuration file, then the variable, then the option: each beats the ones before."""
    assert sweep.root(None).local == tmp_path / "sweeps"
    (tmp_path / "config.yaml").write_text(f"root: {tmp_path / 'configured'}\n")
    assert sweep.root(None).local == tmp_path / "configured"
    monkeypatch.setenv(sweep.ROOT_VARIABLE, str(tmp_path / "variable"))
    assert sweep.root(None).local == tmp_path / "variable"
    assert sweep.root(Path("option")).local == tmp_path / "option"
    monkeypatch.setenv(sweep.ROOT_VARIABLE, "")
    assert sweep.root(None).local == tmp_path / "configured", "an empty variable is no root"


def test_the_users_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(sweep.ROOT_VARIABLE, "~/sweeps")
    monkeypatch.setenv(sweep.CACHE_VARIABLE, "~/cache")
    assert sweep.root(None).local == tmp_path / "home" / "sweeps"
    assert sweep.cache_folder() == tmp_path / "home" / "cache"
    monkeypatch.delenv(sweep.CACHE_VARIABLE)
    assert sweep.cache_folder() == tmp_path / "home" / ".cache" / "invsearch"


@pytest.mark.parametrize("text", ["root: [1, 2", "root: 5", "root: {a: b}"])
def test_a_damaged_configuration_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="configuration file"):
        sweep.root(None)
    assert sweep.root(Path("given")).local == tmp_path / "given", "what is not needed is not read"


@pytest.mark.parametrize("text", ["", "other: 1", "- a list"])
def test_a_configuration_file_without_a_root(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert sweep.root(None).local == tmp_path / "sweeps"


def test_a_sweep_is_found_by_name_or_by_folder(tmp_path: Path) -> None:
    made = stored(tmp_path, "digits-1", journal())
    base = Place.of(tmp_path)
    assert sweep.find("digits-1", base) == made
    assert sweep.find(str(made.place), base / "elsewhere") == made
    assert sweep.find(f"file://{made.place}", base / "elsewhere") == made
    with pytest.raises(UserError, match="did you mean `digits-1`"):
        sweep.find("digits-l", base)


def test_sweeps_in_an_object_store(s3: str) -> None:
    """Found by name, or by URI from any root; without a bucket that is what is told."""
    base = Place.of(s3.format("roots/mine"))
    assert sweep.names(base) == []
    made = sweep.create(base / "digits-1", comparison())
    assert made.events() == [] and made.comparison() == comparison()
    assert sweep.names(base) == ["digits-1"]
    assert sweep.find("digits-1", base) == sweep.find(str(made.place), Place.of("/tmp")) == made
    with pytest.raises(UserError, match="did you mean `digits-1`"):
        sweep.find("digits-l", base)
    with pytest.raises(UserError, match="name of its own"):
        sweep.create(made.place, comparison())
    with pytest.raises(UserError, match="make the bucket first"):
        sweep.find("digits-1", Place.of(s3.format("mine").replace("sweeps", "no-such-bucket")))


def test_names_come_in_the_order_of_their_beginning(tmp_path: Path) -> None:
    """Also when an older sweep was resumed, or reported on, later."""
    for name, began in (("c", 100.0), ("a", 300.0), ("b", 200.0)):
        stored(tmp_path, name, [], began)
    (tmp_path / "c" / "report").mkdir()
    (tmp_path / "no-sweep").mkdir()
    assert sweep.names(Place.of(tmp_path)) == ["c", "b", "a"]
    assert sweep.names(Place.of(tmp_path / "nowhere")) == []


def test_hints_name_a_sweep_as_a_command_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name where sweeps lie by default, else by its address; the words of the hint are given to `find`."""
    monkeypatch.setenv(sweep.ROOT_VARIABLE, str(tmp_path / "usual"))
    for folder, said in ((tmp_path / "usual", "mine"), (tmp_path / "an other", f"'{tmp_path}/an other/mine'")):
        assert sweep.handle(Place.of(folder / "mine")) == said, "a driver says it before there is a folder"
        made = sweep.create(Place.of(folder / "mine"), comparison())
        assert sweep.handle(made.place) == said
        words = shlex.split(f"invsearch resume {sweep.handle(made.place)}")
        assert sweep.find(words[-1], sweep.root(None)) == made
        with pytest.raises(UserError, match="name of its own") as told:
            sweep.create(made.place, comparison())
        assert f"`invsearch resume {said}`" in str(told.value)


def test_a_folder_of_that_name_here_makes_the_address_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command looks here before it looks where sweeps lie: the name alone would be the other sweep."""
    monkeypatch.setenv(sweep.ROOT_VARIABLE, str(tmp_path / "usual"))
    monkeypatch.chdir(tmp_path)
    mine = sweep.create(Place.of(tmp_path / "usual" / "one"), comparison())
    assert sweep.handle(mine.place) == "one"
    sweep.create(Place.of(tmp_path / "one"), comparison())
    assert sweep.find(sweep.handle(mine.place), sweep.root(None)) == mine


def test_a_root_that_is_named_comes_before_a_folder_of_that_name_here(tmp_path: Path) -> None:
    """The user says where; what is not there may still be a folder here."""
    here, there = (sweep.create(Place.of(tmp_path / folder / "one"), comparison()) for folder in ("", "there"))
    assert sweep.sought("one", "there") == there
    assert sweep.sought("one", None) == here
    assert sweep.sought("./one", "there") == sweep.sought("one", "elsewhere") == here


# What it holds


def test_a_description_is_frozen_and_read_back(tmp_path: Path) -> None:
    described = comparison(horizon=77)
    made = sweep.create(Place.of(tmp_path / "deep" / "mine"), described)
    assert made.comparison() == described
    assert made.events() == []
    with pytest.raises(UserError, match="name of its own"):
        sweep.create(made.place, described)


@pytest.mark.parametrize("text", ["", "{", '{"strange": 1}'])
def test_a_damaged_description_is_told(tmp_path: Path, text: str) -> None:
    made = sweep.create(Place.of(tmp_path / "mine"), comparison())
    made.place.write("comparison.json", text.encode())
    with pytest.raises(UserError, match="readable by this version"):
        made.comparison()


def test_a_folder_without_a_sweep_is_told_apart_from_a_damaged_one(tmp_path: Path) -> None:
    """No other version of invsearch would find a description that is not there."""
    for folder, said in ((tmp_path / "nosuch", "there is no such folder"), (tmp_path, "neither comparison")):
        for look in (Sweep.described, Sweep.required):
            with pytest.raises(UserError, match=said) as told:
                look(Sweep(Place.of(folder)))
            assert "version" not in str(told.value)
    made = sweep.create(Place.of(tmp_path / "mine"), comparison())
    assert made.required() is made


@pytest.mark.parametrize("text", [b"", b"{", None])
def test_a_damaged_description_is_replaced_by_the_journals_copy(place: Place, text: bytes | None) -> None:
    described = comparison(horizon=77)
    made = sweep.create(place / "mine", described)
    assert made.described() == (described, None)
    with Journal(made.place) as book:
        book.append("sweep", comparison=described.model_dump(mode="json"))
    if text is None:
        made.place.delete("comparison.json")
    else:
        made.place.write("comparison.json", text)
    found, note = made.described()
    assert found == described and note is not None and "comparison.json is missing or damaged" in note


def test_checking_a_name_leaves_no_sweep_behind(tmp_path: Path) -> None:
    sweep.check_new(Place.of(tmp_path / "base" / "mine"))
    assert list((tmp_path / "base").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="writable"):
        sweep.check_new(Place.of(tmp_path / "file" / "mine"))


def test_an_event_is_on_disk_before_anybody_sees_it(place: Place) -> None:
    made, seen = sweep.create(place / "mine", comparison()), []
    with Journal(made.place) as book:
        record = Recorder(made, book)
        record.add(lambda event: seen.append((event, made.events()[-1] == event)))
        event = record("asked", uid="one/plain/tune-0")
        assert seen == [(event, True)]


def test_checkpoints_go_once_the_end_is_journaled(place: Place) -> None:
    """Those of the ended trial, and not before; those that an earlier driver left; all of them at the end."""
    made = sweep.create(place / "mine", comparison())
    uids = [f"one/plain/tune-{index}" for index in (1, 10, 11)] + ["artefacts/0123456789ab", "artefacts/ba9876543210"]

    def kept() -> list[str]:
        return [uid for uid in uids if (made.checkpoints / uid).exists()]

    for uid in uids:
        (made.checkpoints / uid).write("000001.pt", b"state")
    with Journal(made.place) as book:
        record = Recorder(made, book)
        record("result", uid=uids[0])
        assert kept() == uids
        record("ended", uid=uids[0])
        assert kept() == uids[1:]
        record("ended", uid="one/plain/tune-7")  # one that never saved
        for uid in (uids[1], uids[3]):
            book.append("ended", uid=uid)  # and this driver is stopped before it could tidy up
        assert kept() == uids[1:]
        Recorder(made, book)
        assert kept() == [uids[2], uids[4]]
        record("sweep_done")
        assert not made.checkpoints.exists()


# What status says


def status(monkeypatch: pytest.MonkeyPatch, capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["invsearch", "status", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    code = caught.value.code
    return (0 if code is None else int(code)), out.out, out.err


def test_status_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Finished, under way, with a torn last line, just begun, and damaged: one line each, oldest first."""
    events, base = journal(), tmp_path / "sweeps"
    stored(base, "finished", events, 1.0)
    stored(base, "half", events[: len(events) // 2], 2.0)
    torn = stored(base, "torn", events[:30], 3.0)
    file(torn).write_bytes(file(torn).read_bytes() + b'{"schema": 1, "seq": 30, "ti')
    stored(base, "begun", [], 4.0)
    damaged = stored(base, "damaged", events[:30], 5.0)
    file(damaged).write_text("not JSON\n" + file(damaged).read_text())
    code, out, _ = status(monkeypatch, capsys, "--root", str(base))
    lines = out.splitlines()
    assert code == 0 and len(lines) == 5
    starts = [
        "finished: done", "half: stopped without a word", "torn: stopped without a word", "begun: not started",
        "damaged: damaged: line 1",
    ]
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True)), out
    assert "left" not in out  # nothing runs, so there is no pace


def test_status_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stored(tmp_path / "sweeps", "half", journal()[:120])
    code, out, _ = status(monkeypatch, capsys, "half")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["problem", "method", "stage", "trials", "best", "select", "score", "budget", "used"]
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["digits-rotated", method] for method in ("plain", "trivial_augment", "augnet", "unrolled")
    ]
    assert any(line.startswith("stopped without a word: ") for line in lines[5:])


def test_status_of_a_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    file(stored(tmp_path / "sweeps", "bad", [])).write_text("not JSON\n")
    code, _, err = status(monkeypatch, capsys, "bad")
    assert code == 2
    assert "undamaged" in err and "line 1" in err and "Traceback" not in err
