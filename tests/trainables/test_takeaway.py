"""What a confirmed trial leaves for people; nothing of it can fail the trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainables import methods
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps
from trainables.method import Warns
from trainables.program import program
from trainables.takeaway import take_away

SHAPE = (1, 8, 8)


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
    assert take_away(Leaves(), str(tmp_path / "a"), SHAPE) == ["the data are odd"]  # type: ignore[arg-type]
    assert (tmp_path / "a" / "card.json").read_text() == "{}"
    assert take_away(Leaves(), "", SHAPE) == ["the data are odd"]  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failing_export_is_a_note(tmp_path: Path) -> None:
    notes = take_away(Leaves(RuntimeError("planted")), str(tmp_path / "a"), SHAPE)  # type: ignore[arg-type]
    assert notes[1] == "the export failed: RuntimeError: planted"


class Unwell(Leaves):
    """Its warnings fail."""

    def warnings(self) -> Sequence[str]:
        raise AssertionError("planted")


def test_failing_warnings_are_a_note_and_the_export_is_made(tmp_path: Path) -> None:
    notes = take_away(Unwell(), str(tmp_path / "a"), SHAPE)  # type: ignore[arg-type]
    assert notes == ["what the method warns of could not be asked: AssertionError: planted"]
    assert (tmp_path / "a" / "card.json").read_text() == "{}"


def test_a_place_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    notes = take_away(Leaves(), str(tmp_path / "file" / "below"), SHAPE)  # type: ignore[arg-type]
    assert "could not be written" in notes[1]


def test_methods_without_either_leave_nothing(tmp_path: Path) -> None:
    assert take_away(object(), str(tmp_path / "a"), SHAPE) == []  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("factor", [0.3, 1.0])
def test_images_unlike_those_of_pre_training_are_told(factor: float) -> None:
    """The reference is moved instead of the images: what is compared is the same."""
    from trainables.modules.closed_form import ClosedForm
    from trainables.modules.control import invariance
    from trainables.modules.drift import probed
    from trainables.modules.extractor import Reference

    method = methods.config_class("descriptor")().build(toy_context())
    assert isinstance(method, ClosedForm)
    method.step()
    centre = torch.full((method.task.extractor.features,), 0.01)
    reference = invariance(probed(method.task), torch.ones(1, 7), centre)[0]
    reference[0] += 0.2 * (factor < 1)
    method.task.extractor.reference = Reference(reference, centre)
    told = [text for text in take_away(method, "", SHAPE) if "than in pre-training" in text]
    assert len(told) == (factor < 1)
    assert all("(rotation " in text for text in told)


@pytest.mark.parametrize("name", ["plain", "learned_ranges", "unrolled"])
def test_a_trained_network_is_left_as_a_program_that_predicts_alike(name: str, tmp_path: Path) -> None:
    """Of a plain training, of a learned layer, and of what is trained after a policy search."""
    context = toy_context()
    method = methods.config_class(name).quick().build(context)
    for _ in steps(method):
        pass
    own = list(method.warnings()) if isinstance(method, Warns) else []  # five updates teach little
    assert take_away(method, str(tmp_path), tuple(context.problem.shape)) == own
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    for count in (1, 7):
        x = torch.rand(count, *context.problem.shape)
        assert torch.allclose(loaded(x), method.predict(x), atol=1e-5)


class Forgetful(nn.Module):
    """Another function at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


def test_a_program_that_computes_something_else_is_refused() -> None:
    with pytest.raises(RuntimeError, match="must equal"):
        program(Forgetful(), (3,))
