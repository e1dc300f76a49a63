"""A sweep is about the data that it began with: at `resume`, and in every trial."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search import driver, runner
from search.analysis import rows
from search.notices import notices
from search.sweep import Sweep
from tests.support.simulation import comparison
from tests.support.trials import assignment
from tracking.errors import UserError
from tracking.journal import of_kind
from tracking.storage import Place
from trainables.assignment import Assignment
from trainables.harness import Harness

Sent = list[Assignment]


def draw(folder: Path, first: int) -> dict[str, Any]:
    """Two classes of images, and a problem of them."""
    for kind in range(2):
        (folder / f"kind-{kind}").mkdir(parents=True, exist_ok=True)
        for number in range(20):
            grey = np.full((8, 8), 100 * kind + number + first, np.uint8)
            Image.fromarray(grey).save(folder / f"kind-{kind}" / f"{number}.png")
    return {"label": "mine", "source": {"name": "folder", "path": str(folder), "size": 8}}


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What drivers that do nothing else would send a worker first."""
    found: Sent = []

    class Idle(driver.Driver):
        def drive(self) -> Any:
            self._director.replay(list(self._journal.events))
            job = self._director.next()
            assert isinstance(job, Assignment)
            found.append(job)

    monkeypatch.setenv("INVSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runner, "_slots", lambda *_: SimpleNamespace(now=lambda: 2))
    monkeypatch.setattr(runner, "Driver", Idle)
    return found


def test_images_that_changed_are_not_gone_on_with(tmp_path: Path, sent: Sent) -> None:
    problem = draw(tmp_path / "images", 0)
    runner.compare(comparison(problems=[problem]), tmp_path / "s")
    made = Sweep(Place.of(tmp_path / "s"))
    began = made.events()[0]["data"]["mine"]
    runner.resume(made)  # nothing has changed
    assert [job.data for job in sent] == [began, began] and "data" not in made.events()[-1]

    draw(tmp_path / "images", 50)
    with pytest.raises(UserError, match="--allow-drift") as refused:
        runner.resume(made)
    assert "the data of `mine`" in refused.value.got and len(sent) == 2
    runner.resume(made, allow_drift=True)
    runner.resume(made)  # what was accepted is not asked again
    events = made.events()
    assert events[-1]["kind"] == "resumed" and [job.data for job in sent[2:]] == [sent[3].data] * 2
    assert sent[3].data not in (began, None)
    (warning,) = of_kind(events, "warning")
    assert warning["text"].startswith("went on although the data differ: the data of `mine`")
    assert any(told.startswith("Data were mixed: the data of `mine`") for told in notices(rows(events), events))


def test_a_trial_refuses_data_that_others_have_changed(tmp_path: Path) -> None:
    problem = draw(tmp_path / "images", 0)
    job = assignment(tmp_path, "plain", problem=problem)
    job = job.model_copy(update={"data": job.problem.fingerprint()})
    assert Harness(job).problem.classes == ("kind-0", "kind-1")  # type: ignore[attr-defined]  # a folder has classes
    draw(tmp_path / "images", 50)
    with pytest.raises(UserError, match="data may not change within a sweep") as refused:
        Harness(job)
    assert "`mine`" in refused.value.got and "the same files" in refused.value.hint
    assert Harness(job.model_copy(update={"data": None})).problem  # a journal of before does not tell
