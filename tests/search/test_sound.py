"""A sweep that cannot be read, or not be written to: one message, exit code 2, and what was there before stays."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from search import cli, looking
from search.sound import check, sound
from search.sweep import Sweep
from tests.support.journals import journal, pretrained, stored
from tests.support.pages import content, small
from tracking.errors import StorageError, UserError
from tracking.journal import Event, Journal

Captured = pytest.CaptureFixture[str]
GOOD = {"report.html": "<p>the good one", "summary.md": "# The good one"}


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> tuple[int, str]:
    """Exit code, and standard error."""
    monkeypatch.setattr(sys, "argv", ["invsearch", *arguments])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


def reported(root: Path, events: list[Event]) -> Sweep:
    """A sweep with a report that must stay."""
    made = stored(root, events)
    for name, text in GOOD.items():
        made.report.write(name, text.encode())
    return made


def a_nul_in_the_middle(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[60] = lines[60][:50] + b"\0" + lines[60][50:]
    file.write_bytes(b"".join(lines))


def garbage(file: Path) -> None:
    file.write_bytes(b"\x89PNG\x00\x01\x02")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def what_cannot_be_read(file: Path) -> None:
    file.unlink()
    file.symlink_to("/proc/self/mem")


def a_result_without_metrics(file: Path) -> None:
    events = [json.loads(line) for line in file.read_text().splitlines()]
    del next(event for event in events if event["kind"] == "result")["metrics"]
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))


def a_beginning_that_is_gone(file: Path) -> None:
    events = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    file.write_text("".join(f"{json.dumps({**event, 'seq': place})}\n" for place, event in enumerate(events)))


BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (a_nul_in_the_middle, "line 61"), (garbage, "line 1"), (a_folder, "Is a directory"),
    (what_cannot_be_read, "Input/output error"), (a_result_without_metrics, "`metrics`: field required"),
    (a_beginning_that_is_gone, "must begin with what is compared"),
]


@pytest.mark.parametrize(("broken", "why"), BROKEN, ids=lambda case: getattr(case, "__name__", None))
def test_a_journal_that_cannot_be_read_is_refused_and_the_report_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, broken: Callable[[Path], None], why: str
) -> None:
    made = reported(tmp_path, journal())
    broken(tmp_path / "one" / "journal.jsonl")
    for command in (["report"], ["report", "--json"], ["status"], ["sync"], ["resume"]):
        if command == ["resume"] and broken in (a_nul_in_the_middle, garbage):
            continue  # that is what mends it
        code, err = run(*command, "one", "--root", str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)
        assert code == 2, command
        assert err.startswith("error: ") and "hint: " in err and "Traceback" not in err
        assert why in err or command == ["sync"], command
    assert content(Path(made.report.uri)) == {name: text.encode() for name, text in GOOD.items()}


@pytest.mark.parametrize("broken", [broken for broken, _ in BROKEN])
def test_it_hides_no_other_sweep(tmp_path: Path, capsys: Captured, broken: Callable[[Path], None]) -> None:
    stored(tmp_path, journal(), "bad")
    stored(tmp_path, journal(), "good")
    broken(tmp_path / "bad" / "journal.jsonl")
    looking.status(None, str(tmp_path))
    lines = sorted(capsys.readouterr().out.splitlines())
    assert len(lines) == 2 and lines[0].startswith("bad: damaged: ") and lines[1].startswith("good: done")
    looking.status(None, str(tmp_path), as_json=True)
    found = json.loads(capsys.readouterr().out)["sweeps"]
    assert (found["bad"]["state"], found["good"]["state"]) == ("damaged", "done") and found["bad"]["damage"]


def test_nor_does_one_that_breaks_in_a_way_nobody_thought_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    stored(tmp_path, journal(), "bad")
    stored(tmp_path, journal(), "good")
    real = looking.sound

    def fails(made: Sweep) -> list[Event]:
        if made.name == "bad":
            raise ZeroDivisionError("planted")
        return real(made)

    monkeypatch.setattr(looking, "sound", fails)
    looking.status(None, str(tmp_path))
    lines = sorted(capsys.readouterr().out.splitlines())
    assert "planted" in lines[0] and lines[1].startswith("good: done")


@pytest.mark.parametrize("left", [b"\0" * 300, b'{"schema":1,"se' + b"\0" * 50])
def test_a_tail_of_zeros_that_power_loss_left_is_no_damage(tmp_path: Path, left: bytes) -> None:
    made = stored(tmp_path, journal()[:40])
    with (tmp_path / "one" / "journal.jsonl").open("ab") as file:
        file.write(left)
    assert len(sound(made)) == 40


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    made = stored(tmp_path, journal()[:40])
    with (tmp_path / "one" / "journal.jsonl").open("ab") as file:
        file.write(b'{"schema":1,"seq":40,"ti')
    assert sound(made) == journal()[:40]


def test_going_on_is_what_the_message_says(tmp_path: Path) -> None:
    made = stored(tmp_path, journal())
    a_nul_in_the_middle(tmp_path / "one" / "journal.jsonl")
    with pytest.raises(UserError, match=r"`invsearch resume .*/one` keeps it aside"):
        sound(made)
    with Journal(made.place) as opened:
        opened.append("warning", text="went on")
    assert len(sound(made)) == 61


@pytest.mark.parametrize("way", ["report", "report/figures"])
def test_a_file_in_the_way_of_a_folder_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, way: str
) -> None:
    made = stored(tmp_path, small())
    (tmp_path / "one" / way).parent.mkdir(exist_ok=True)
    (tmp_path / "one" / way).write_text("mine")
    code, err = run("report", "one", "--root", str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2 and str(made.report) in err and "in the way" in err and "Traceback" not in err
    assert (tmp_path / "one" / way).read_text() == "mine"
    with pytest.raises(StorageError, match="written"):  # a sweep that ends so was not wrong from the start
        looking.write_report(made, looking.a_console(), tmp_path)


def changed(kind: str, **fields: Any) -> list[Event]:
    """A whole journal whose first event of a kind has other fields; None takes one away."""
    events = [dict(event) for event in pretrained(journal(), {("digits-rotated", "augnet"): ["k"]}, {"k": 7})]
    events = [event | {"schema": 1, "seq": number} for number, event in enumerate(events)]
    one = next(event for event in events if event["kind"] == kind)
    one |= fields
    for name in [name for name, value in fields.items() if value is None]:
        del one[name]
    return events


def test_whole_events_are_sound(tmp_path: Path) -> None:
    made = stored(tmp_path, changed("sweep"))
    assert len(sound(made)) == len(changed("sweep"))


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        ("sweep", {"comparison": None}, "comparison"), ("sweep", {"comparison": {"budget": 1.0}}, "problems"),
        ("asked", {"config": None}, "config"), ("asked", {"stage": "dance"}, "stage"),
        ("asked", {"uid": "other"}, "nobody asked"), ("result", {"flops": None}, "flops"),
        ("result", {"flops": "12"}, "flops"), ("result", {"metrics": [1]}, "metrics"),
        ("result", {"uid": "nobody"}, "nobody asked for nobody"), ("ended", {"status": "tired"}, "status"),
        ("result", {"metrics": {"test/score": math.nan}}, "`metrics.test/score`: input should be a finite number"),
        ("result", {"score": math.inf}, "score"), ("result", {"flops": math.nan}, "flops"),
        ("stage_done", {"problem": None}, "problem"), ("artefact", {"uri": None}, "uri"),
    ],
)
def test_what_an_event_lacks_is_named(tmp_path: Path, kind: str, fields: Mapping[str, Any], why: str) -> None:
    made = stored(tmp_path, changed(kind, **fields))
    with pytest.raises(UserError, match="must carry what its kind does") as told:
        check(made.events(), made.place)
    assert why in told.value.got and str(made.place) in told.value.got
