"""What a confirmed trial leaves for people; nothing of it can fail the trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from trainables.takeaway import take_away


class Leaves:
    """A method with an export and a warning."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def export(self, folder: Path) -> Mapping[str, str]:
        if self._error is not None:
            raise self._error
        (folder / "card.json").write_text("{}")
        return {"card": "card.json"}

    def warnings(self) -> Sequence[str]:
        return ["the data are odd"]


def test_files_go_where_they_are_asked_for(tmp_path: Path) -> None:
    assert take_away(Leaves(), str(tmp_path / "a")) == ["the data are odd"]  # type: ignore[arg-type]
    assert (tmp_path / "a" / "card.json").read_text() == "{}"
    assert take_away(Leaves(), "") == ["the data are odd"]  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failing_export_is_a_note(tmp_path: Path) -> None:
    notes = take_away(Leaves(RuntimeError("planted")), str(tmp_path / "a"))  # type: ignore[arg-type]
    assert notes[1] == "the export failed: RuntimeError: planted"


def test_a_place_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    notes = take_away(Leaves(), str(tmp_path / "file" / "below"))  # type: ignore[arg-type]
    assert "could not be written" in notes[1]


def test_methods_without_either_leave_nothing(tmp_path: Path) -> None:
    assert take_away(object(), str(tmp_path / "a")) == []  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("factor", [0.3, 1.0])
def test_images_unlike_those_of_pre_training_are_told(factor: float) -> None:
    """The reference is moved instead of the images: what is compared is the same."""
    import torch

    from trainables import methods
    from trainables.contract_toy import toy_context
    from trainables.modules.closed_form import ClosedForm
    from trainables.modules.control import invariance
    from trainables.modules.report_card import probed

    method = methods.config_class("descriptor")().build(toy_context())
    assert isinstance(method, ClosedForm)
    method.step()
    here = invariance(probed(method.task), torch.ones(1, 7))[0]
    reference = here.clone()
    reference[0] += 0.2 * (factor < 1)
    method.task.extractor.reference = reference
    told = take_away(method, "")
    assert len(told) == (factor < 1)
    assert all("invariance to rotation" in text for text in told)
