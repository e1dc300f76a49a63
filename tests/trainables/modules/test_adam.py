"""Adam against torch's own, and what waiting leaves as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainables.modules.adam import Adam


def gradients(count: int) -> list[Tensor]:
    return list(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)))


def test_rates_by_parameter_and_scales_are_torchs() -> None:
    ours, theirs = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    adam, reference = Adam({ours: 0.1}), torch.optim.Adam([theirs], lr=0.1)
    for step, gradient in enumerate(gradients(10)):
        adam.update((gradient,), scale=1 / (step + 1))
        theirs.grad = gradient
        reference.param_groups[0]["lr"] = 0.1 / (step + 1)
        reference.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("waited", [1, 50])
def test_after_waiting_the_steps_are_those_of_a_fresh_one(waited: int) -> None:
    """A count that ran on while moments stood still would make the first steps up to six times too long."""
    late, fresh = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    waiting, adam = Adam({late: 0.1}), Adam({fresh: 0.1})
    for gradient in gradients(waited):
        waiting.update((gradient,), begun=torch.tensor(0.0))
    assert torch.equal(late, torch.ones(3))
    for gradient in gradients(20):
        waiting.update((gradient,), begun=torch.tensor(1.0))
        adam.update((gradient,))
        assert torch.equal(late, fresh)


def test_waiting_is_no_freezing_later_steps_without_it_are_adams_own() -> None:
    """The control of the test above: without a wait nothing is reset."""
    one, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    first, second = Adam({one: 0.1}), Adam({other: 0.1})
    for gradient in gradients(5):
        first.update((gradient,))
        second.update((gradient,), begun=torch.tensor(1.0))
    assert torch.equal(one, other) and not torch.equal(one, torch.ones(3))
