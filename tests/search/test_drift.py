"""Another version does not go on with a sweep unless it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.drift import check, differences
from tracking.errors import UserError
from tracking.provenance import code_digest, collect


def test_the_same_state_does_not_differ() -> None:
    now = collect()
    assert differences(now, collect()) == []
    assert check([{"kind": "sweep", "provenance": now}], now, "mine", allowed=False) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"versions": {"optuna": "4.0.0"}}, "optuna 4.0.0 then"),
        ({"code": "0" * 16}, "the code of invsearch: 0000000000000000 (commit"),
    ],
)
def test_what_differs_is_told(change: dict[str, object], said: str) -> None:
    now = collect()
    before = now | change
    with pytest.raises(UserError, match="--allow-drift") as refused:
        check([{"kind": "sweep", "provenance": before}], now, "mine", allowed=False)
    assert said in refused.value.got
    assert check([{"kind": "sweep", "provenance": before}], now, "mine", allowed=True)
    # A later driver counts, not the first: what was allowed once is not asked again.
    later = [{"kind": "sweep", "provenance": before}, {"kind": "resumed", "provenance": now}]
    assert check(later, now, "mine", allowed=False) == []


def test_what_does_not_decide_does_not_count() -> None:
    now = collect()
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
