"""Another version, or a driver that finds other data, does not go on with a sweep unless it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.drift import check, data_of, differences
from tracking.errors import UserError
from tracking.journal import Event
from tracking.provenance import code_digest, collect


def test_the_same_state_does_not_differ() -> None:
    now = collect()
    assert differences(now, collect()) == []
    same = check([{"kind": "sweep", "provenance": now}], now, {}, "mine", allowed=False)
    assert same.fields() == {"drift": []} and same.warnings() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"versions": {"optuna": "4.0.0"}}, "optuna 4.0.0 then"),
        ({"code": "0" * 16}, "the code of invsearch: 0000000000000000 (commit"),
        ({"installed": {"theirs": "a"}}, "the code of the installed plug-in `theirs`: a then, b now"),
    ],
)
def test_what_differs_is_told(change: dict[str, object], said: str) -> None:
    now = collect() | {"installed": {"theirs": "b"}}
    before = now | change
    with pytest.raises(UserError, match="--allow-drift") as refused:
        check([{"kind": "sweep", "provenance": before}], now, {}, "mine", allowed=False)
    assert said in refused.value.got
    allowed = check([{"kind": "sweep", "provenance": before}], now, {}, "mine", allowed=True)
    assert said in allowed.fields()["drift"][0] and said in allowed.warnings()[0]
    # A later driver counts, not the first: what was allowed once is not asked again.
    later = [{"kind": "sweep", "provenance": before}, {"kind": "resumed", "provenance": now}]
    assert check(later, now, {}, "mine", allowed=False).versions == []


def test_other_data_are_told_until_they_are_accepted() -> None:
    now, began = collect(), {"mine": "1" * 64, "digits": ""}
    events: list[Event] = [{"kind": "sweep", "provenance": now, "data": began}]
    assert check(events, now, began, "s", allowed=False).fields() == {"drift": []}
    changed = began | {"mine": "2" * 64}
    with pytest.raises(UserError, match="invsearch resume s --allow-drift") as refused:
        check(events, now, changed, "s", allowed=False)
    assert refused.value.got == "the data of `mine`: fingerprint 111111111111 then, 222222222222 now"
    assert "put the files back" in refused.value.hint and "version" not in refused.value.hint
    fields = check(events, now, changed, "s", allowed=True).fields()
    assert fields == {"drift": [], "data": {"mine": "2" * 64}, "other_data": [refused.value.got]}
    events.append({"kind": "resumed", "provenance": now, **fields})
    assert data_of(events) == changed
    assert check(events, now, changed, "s", allowed=False).fields() == {"drift": []}
    with pytest.raises(UserError):  # the files of before are others now
        check(events, now, began, "s", allowed=False)


def test_a_journal_that_does_not_tell_its_data_goes_on_and_tells_them_from_then_on() -> None:
    now = collect()
    found = check([{"kind": "sweep", "provenance": now}], now, {"mine": "1" * 64}, "s", allowed=False)
    assert found.fields() == {"drift": [], "data": {"mine": "1" * 64}} and found.warnings() == []


def test_what_does_not_decide_does_not_count() -> None:
    now = collect()
    assert differences(now | {"installed": {"theirs": "a"}}, now) == []  # one that is no longer used
    assert differences(now | {"versions": {**now["versions"], "mlflow": "1.0"}, "commit": "other"}, now) == []


def test_the_digest_sees_content_and_names_only_of_our_sources(tmp_path: Path) -> None:
    source = tmp_path / "search" / "a.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    first = code_digest(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "b.py").write_text("")
    assert code_digest(tmp_path) == first
    source.write_text("x = 2\n")
    changed = code_digest(tmp_path)
    source.rename(source.with_name("c.py"))
    assert len({first, changed, code_digest(tmp_path)}) == 3
