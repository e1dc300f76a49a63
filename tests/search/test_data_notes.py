"""What is odd about the data is told once, in the journal, and so on the screen, in the log and in the report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search import runner
from search.sweep import Sweep
from search.warned import warned
from tests.support.simulation import comparison
from tracking.journal import of_kind
from tracking.storage import Place


def test_notes_on_the_data_are_warnings_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in range(2):
        folder = tmp_path / "images" / f"kind-{kind}"
        folder.mkdir(parents=True)
        for number in range(20):
            Image.fromarray(np.full((8, 8), 100 * kind + number + 90, np.uint8)).save(folder / f"{number}.png")
    Image.new("RGBA", (8, 8)).save(tmp_path / "images" / "kind-0" / "clear.png")
    monkeypatch.setenv("INVSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runner, "_slots", lambda *_: SimpleNamespace(now=lambda: 2))
    monkeypatch.setattr(runner, "Driver", lambda *_: SimpleNamespace(drive=lambda: None))
    source: dict[str, Any] = {"name": "folder", "path": str(tmp_path / "images"), "size": 8}
    problems = [{"label": "mine", "source": source}, {"label": "digits", "source": {"name": "digits"}}]
    runner.compare(comparison(problems=problems), tmp_path / "s")
    events = Sweep(Place.of(tmp_path / "s")).events()
    assert [event["text"] for event in of_kind(events, "warning")] == [
        "mine: 1 of 41 images (kind-0/clear.png) are transparent in places, which were read as white",
    ]
    assert any("transparent in places" in text for text in warned(events))
    assert events[0]["data_notes"]["digits"] == []
    assert events[0]["classes"] == {"mine": ["kind-0", "kind-1"], "digits": [str(digit) for digit in range(10)]}
    assert events[0]["data"]["mine"] and events[0]["data"]["digits"] == ""
