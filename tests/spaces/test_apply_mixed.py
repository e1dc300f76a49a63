"""One operation per image: equal to the operations one by one, and no more kernels than operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from spaces.transforms import GEOMETRIC, TRANSFORMS, Operation, apply, apply_mixed
from tests.spaces.transform_laws import noise_image, smooth_image

EVERY: list[tuple[Operation, float | None]] = [(operation, None) for operation in Operation]


class KernelCounter(TorchDispatchMode):
    """Counts the kernels that run inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


def one_by_one(
    operations: Sequence[tuple[Operation, float | None]], index: Tensor, x: Tensor, v: Tensor
) -> Tensor:
    images = []
    for b, k in enumerate(index.tolist()):
        image = x[b : b + 1]
        if k >= 0:
            image = apply(operations[k][0], image, v[b : b + 1], limit=operations[k][1])
        images.append(image)
    return torch.cat(images)


def every_operation_twice_and_the_identity() -> tuple[Tensor, Tensor, Tensor]:
    index = torch.arange(-1, len(EVERY)).repeat(2)[torch.randperm(42, generator=Generator().manual_seed(0))]
    v = torch.rand(42, generator=Generator().manual_seed(1), dtype=torch.float64)
    v = torch.where(torch.arange(42) % 3 == 0, -v, v)
    signed = torch.tensor([*(TRANSFORMS[operation].signed for operation, _ in EVERY), False])
    return index, smooth_image(42), torch.where(signed[index], v, v.abs())


def test_equals_the_operations_one_by_one() -> None:
    index, x, v = every_operation_twice_and_the_identity()
    mixed = apply_mixed(EVERY, index, x, v)
    assert_close(mixed, one_by_one(EVERY, index, x, v), rtol=0, atol=1e-9)
    # The comparison can tell: another assignment gives other images.
    assert (mixed - one_by_one(EVERY, index.roll(1), x, v)).abs().amax((1, 2, 3)).median() > 1e-3


def test_gradients_equal_those_of_the_operations_one_by_one() -> None:
    index, x, v = every_operation_twice_and_the_identity()
    leaves = x.requires_grad_(), v.requires_grad_()
    weight = torch.randn(x.shape, generator=Generator().manual_seed(3), dtype=x.dtype)
    found = torch.autograd.grad((weight * apply_mixed(EVERY, index, x, v)).sum(), leaves)
    expected = torch.autograd.grad((weight * one_by_one(EVERY, index, x, v)).sum(), leaves)
    assert_close(found, expected, rtol=1e-8, atol=1e-9)
    assert ((found[1] != 0) == (index >= 0)).all()


def test_limits_belong_to_entries_not_to_operations() -> None:
    operations = [(o, f * TRANSFORMS[o].limit) for o in (*GEOMETRIC, Operation.CONTRAST) for f in (0.5, 1.0)]
    index = torch.arange(len(operations))
    x, v = smooth_image(len(operations)), torch.full((len(operations),), 0.6, dtype=torch.float64)
    expected = one_by_one(operations, index, x, v)
    assert_close(apply_mixed(operations, index, x, v), expected, rtol=0, atol=1e-9)


def test_identity_is_bit_for_bit() -> None:
    x = noise_image(0, 6).float()
    index = torch.tensor([-1, 0, -1, 8, -1, 13])
    y = apply_mixed(EVERY, index, x, torch.full((6,), 0.7))
    assert torch.equal(y[index < 0], x[index < 0])
    assert ((y != x).flatten(1).any(1) == (index >= 0)).all()
    assert torch.equal(apply_mixed([], torch.full((6,), -1), x, torch.zeros(6)), x)


def kernels(index: Tensor) -> Counter[str]:
    with KernelCounter() as counter:
        apply_mixed(EVERY, index, smooth_image(len(index)), torch.full((len(index),), 0.4))
    return counter.calls


def test_all_geometric_operations_share_one_warp() -> None:
    warps = "aten.grid_sampler_2d.default"
    assert kernels(torch.arange(6))[warps] == 1
    assert kernels(torch.arange(len(EVERY)))[warps] == 1
    with KernelCounter() as counter:  # the counter sees every one of them
        one_by_one(EVERY, torch.arange(6), smooth_image(6), torch.full((6,), 0.4))
    assert counter.calls[warps] == 6


def test_number_of_kernels_does_not_depend_on_the_number_of_images() -> None:
    few, many = (kernels(torch.arange(len(EVERY)).repeat(n)) for n in (1, 5))
    assert few == many
    # Operations that nobody drew cost their place in the table, but no kernel on images.
    assert kernels(torch.tensor([7, 7, -1])).total() < few.total() / 4


def test_cutout_positions_come_from_the_generator_alone() -> None:
    operations: list[tuple[Operation, float | None]] = [(Operation.CUTOUT, None), (Operation.INVERT, None)]
    x, v = torch.ones(8, 1, 16, 16), torch.ones(8)
    draw = partial(apply_mixed, operations, x=x, v=v)
    index = torch.tensor([0, 1, 0, 0, 1, 0, 0, -1])
    some = draw(index=index, generator=Generator().manual_seed(0))
    every = draw(index=torch.zeros(8, dtype=torch.int64), generator=Generator().manual_seed(0))
    assert torch.equal(some[index == 0], every[index == 0])
    assert len(every.unique(dim=0)) == 8


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (torch.tensor([0, 1, 20]), r"must lie in \[-1, 19\] for 20 operations, but got 0 to 20"),
        (torch.tensor([-2, 1, 1]), "but got -2 to 1"),
        (torch.tensor([0, 1]), r"must be int64 \(3,\)"),
        (torch.tensor([0.0, 1.0, 2.0]), "must be int64"),
    ],
)
def test_wrong_index_is_refused(index: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply_mixed(EVERY, index, smooth_image(3), torch.zeros(3))


def test_operations_on_colours_are_refused_for_grey_images_drawn_or_not() -> None:
    with pytest.raises(ValueError, match="saturation, hue needs images with 3 channels, but got 1"):
        apply_mixed(EVERY, torch.tensor([-1]), smooth_image(1, 1), torch.zeros(1))
