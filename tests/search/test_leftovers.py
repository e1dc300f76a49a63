"""A report that is made again has no files of the one before; a person's own files stay."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from search import leftovers, looking, report
from search.sweep import Sweep
from tests.support.journals import SCORES, journal, stored
from tests.support.object_store import both
from tests.support.pages import content, small
from tracking.storage import Place


def again(made: Sweep, scratch: Path) -> dict[str, bytes]:
    """Make the report; what its folder holds."""
    scratch.mkdir(exist_ok=True)
    looking.write_report(made, Console(quiet=True), scratch)
    assert made.report.local is not None
    return content(made.report.local)


def test_figures_of_a_problem_that_is_gone_go_with_it(tmp_path: Path) -> None:
    first, _ = SCORES
    made = stored(tmp_path, journal())
    before = again(made, tmp_path / "scratch")
    assert made.report.local is not None
    changed = next(name for name in before if name.startswith("figures/") and "which-rotation" in name)
    theirs = ["figures/mine.png", "notes.txt", changed]
    for name in theirs:
        (made.report.local / name).write_text("a person's own")
    (tmp_path / "one").rename(tmp_path / "old")
    stored(tmp_path, journal({first: SCORES[first]}))
    (tmp_path / "old" / "report").rename(tmp_path / "one" / "report")
    after = again(made, tmp_path / "scratch")
    report.write(journal({first: SCORES[first]}), tmp_path / "fresh")
    assert set(after) == {*content(tmp_path / "fresh"), *theirs}
    assert any("which-rotation" in name for name in before)
    assert all(after[name] == b"a person's own" for name in theirs)


@both
def test_only_what_was_written_and_is_unchanged_goes(place: Place) -> None:
    for name in ("old.csv", "figures/old.png", "figures/changed.png", "kept.csv", "theirs.txt"):
        place.write(name, name.encode())
    names = ("old.csv", "figures/old.png", "kept.csv", "gone.csv")
    digests = {name: sha256(name.encode()).hexdigest() for name in names} | {"figures/changed.png": "0" * 64}
    place.write(leftovers.NAME, leftovers.manifest(digests))
    before = leftovers.written(place)
    place.write(leftovers.NAME, leftovers.manifest({"kept.csv": digests["kept.csv"]}))
    leftovers.remove(place, before)
    assert [name for name in place.names() if name != "figures"] == ["kept.csv", "theirs.txt"]
    assert (place / "figures").names() == ["changed.png"]


def test_a_list_that_points_elsewhere_deletes_nothing_there(tmp_path: Path) -> None:
    place = Place.of(tmp_path / "report")
    names = ["../mine", "figures/../../mine", str(tmp_path / "mine")]
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "report" / "figures").mkdir(parents=True)
    leftovers.remove(place, dict.fromkeys(names, sha256(b"mine").hexdigest()))
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("text", [None, b"", b"[]", b"\xff", b'{"report.html": 7}'])
def test_a_list_that_cannot_be_read_deletes_nothing(tmp_path: Path, text: bytes | None) -> None:
    place = Place.of(tmp_path)
    place.write("report.html", b"old")
    if text is not None:
        place.write(leftovers.NAME, text)
    before = leftovers.written(place)
    place.write(leftovers.NAME, b"{}")
    leftovers.remove(place, before)
    assert place.read("report.html") == b"old"


def test_nothing_is_overwritten_before_all_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(small(), tmp_path)
    before = content(tmp_path)

    def fails(*_: object) -> str:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(report, "page", fails)
    with pytest.raises(ZeroDivisionError):
        report.write(small(seconds=2.0), tmp_path)
    assert content(tmp_path) == before
