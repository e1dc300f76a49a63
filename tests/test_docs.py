"""The Python in the documents runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


def test_a_training_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("augmentation.md")
    names: dict[str, object] = {}
    exec(code, names)
    shown = capsys.readouterr().out
    assert re.search(r"rotation: -\d.* to \d.* deg", shown)
    assert len(shown.splitlines()) == 11
