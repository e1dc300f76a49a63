"""Background and stroke width against literal loops over pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from tracking.errors import UserError
from trainables.invariance import planted_sampler
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec
from trainables.problems.strokes import background, stroke


def literal(x: Tensor, side: int, largest: bool) -> Tensor:
    """Largest or smallest value of a window that reaches side // 2 pixels up and left, by a loop over pixels."""
    height, width = x.shape
    made = torch.empty_like(x)
    for row in range(height):
        for column in range(width):
            rows = [r for r in range(row - side // 2, row - side // 2 + side) if 0 <= r < height]
            columns = [c for c in range(column - side // 2, column - side // 2 + side) if 0 <= c < width]
            window = torch.stack([x[r, c] for r in rows for c in columns])
            made[row, column] = window.max() if largest else window.min()
    return made


@pytest.mark.parametrize(
    ("v", "side", "largest"), [(1 / 3, 2, True), (2 / 3, 3, True), (1.0, 4, True), (-1.0, 2, False)]
)
def test_whole_pixels_are_a_dilation_or_an_erosion(v: float, side: int, largest: bool) -> None:
    x = torch.rand(2, 1, 7, 9, generator=Generator().manual_seed(0))
    made = stroke(3.0, x, torch.full((2,), v))
    for before, after in zip(x[:, 0], made[:, 0], strict=True):
        assert torch.allclose(after, literal(before, side, largest), atol=1e-6)


def test_between_whole_pixels_is_the_blend_of_both_neighbours() -> None:
    x = torch.rand(1, 1, 8, 8, generator=Generator().manual_seed(0))
    low, high = (stroke(3.0, x, torch.tensor([p / 3.0])) for p in (1.0, 2.0))
    assert torch.allclose(stroke(3.0, x, torch.tensor([1.25 / 3])), 0.75 * low + 0.25 * high, atol=1e-6)


def test_every_image_has_a_strength_of_its_own_and_zero_is_the_identity() -> None:
    x = torch.rand(3, 1, 6, 6, generator=Generator().manual_seed(0))
    together = stroke(3.0, x, torch.tensor([0.0, 0.8, -0.5]))
    alone = torch.cat([stroke(3.0, x[i : i + 1], torch.tensor([v])) for i, v in enumerate((0.0, 0.8, -0.5))])
    assert torch.equal(together, alone)
    assert torch.equal(together[0], x[0])
    assert bool((together[1] >= x[1]).all()) and bool((together[2] <= x[2]).all())


def test_stroke_is_differentiable_in_its_strength() -> None:
    x = torch.rand(1, 1, 6, 6, generator=Generator().manual_seed(0), dtype=torch.float64)
    v = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: stroke(3.0, x, v), (v,))


def test_background_raises_the_ground_and_nothing_else() -> None:
    x = torch.tensor([[[[0.0, 0.5], [1e-3, 0.0]]]]).repeat(4, 1, 1, 1)
    x[2:][x[2:] == 0] = 0.1  # a ground that was raised before; the soft edge of .001 is darker
    filled = background(0.4, x, torch.tensor([0.5, 0.0, 0.5, 0.1]))
    assert torch.allclose(filled[0, 0], torch.tensor([[0.2, 0.5], [1e-3, 0.2]]))
    assert torch.equal(filled[1], x[1])
    assert torch.allclose(filled[2, 0], torch.tensor([[0.2, 0.5], [1e-3, 0.2]]))
    assert torch.equal(filled[3], x[3]), "a level above the wanted one stays"


def test_a_second_draw_moves_the_ground_of_real_characters(tmp_path: Path) -> None:
    """What an oracle does to images that vary already: of two uniform levels the second is higher half of the time."""
    spec = ProblemSpec(
        label="x", source={"name": "digits"}, actions=("background",),
        wrappers=({"name": "long_tailed", "ratio": 0.5, "ranges": {"background": 0.38}},),
    )
    problem = spec.build(0, 0, tmp_path)
    x = problem.examples(Split.TEST).x
    again = planted_sampler(problem.transform_bank, {"background": 0.38})(x, Generator().manual_seed(0))
    raised = again.flatten(1).mode(1).values > x.flatten(1).mode(1).values + 0.01
    assert 0.35 < float(raised.float().mean()) < 0.6  # 700 images: half, less what is below .01, within .08


def test_actions_join_the_bank_only_where_a_problem_names_them(tmp_path: Path) -> None:
    plain = ProblemSpec(label="plain", source={"name": "digits"})
    more = ProblemSpec(label="more", source={"name": "digits"}, actions=("stroke",), limits={"stroke": 2.0})
    banks = [spec.build(0, 0, tmp_path).transform_bank for spec in (plain, more)]
    names = [{action.name: action.limit for action in bank} for bank in banks]
    assert "stroke" not in names[0] and names[1] == {**names[0], "stroke": 2.0}


def test_actions_do_not_change_the_key_of_what_was_made_without_them() -> None:
    spec = ProblemSpec(label="plain", source={"name": "digits"})
    assert "actions" not in spec.identity()[0]
    assert ProblemSpec(label="more", source={"name": "digits"}, actions=("stroke",)).identity() != spec.identity()


def test_actions_on_colour_images_are_refused(tmp_path: Path) -> None:
    glyphs = ProblemSpec(label="s", source={"name": "sinusoids", "per_class": 36}, actions=("background",))
    with pytest.raises(UserError, match="need grey images"):
        glyphs.build(0, 0, tmp_path)
