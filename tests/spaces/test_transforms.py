"""One suite for all operations, and for each check a broken operation that it rejects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from spaces.transforms import TRANSFORMS, Channels, GradientKind, Operation, Strength, apply, fits
from tests.spaces import transform_laws as laws

ALL = pytest.mark.parametrize("operation", tuple(Operation), ids=str)
SIGNED = tuple(o for o in Operation if TRANSFORMS[o].signed)
EVEN = (Operation.GAUSSIAN_BLUR, Operation.CUTOUT)  # depend on v^2, so the derivative at 0 is 0
VALUES = (0.137, 0.513, 0.871)


def swap_red_and_green(x: Tensor) -> Tensor:
    return x[:, [1, 0, 2]]


# What the sign means: a mirror image that turns one sign into the other, the opposite change, or the inverse.
MIRRORS: dict[Operation, Callable[[Tensor], Tensor]] = {
    Operation.ROTATION: partial(torch.flip, dims=(-1,)),
    Operation.TRANSLATE_X: partial(torch.flip, dims=(-1,)),
    Operation.TRANSLATE_Y: partial(torch.flip, dims=(-2,)),
    Operation.SHEAR_X: partial(torch.flip, dims=(-1,)),
    Operation.SHEAR_Y: partial(torch.flip, dims=(-2,)),
    Operation.HUE: swap_red_and_green,
}
OPPOSITE = (Operation.BRIGHTNESS, Operation.CONTRAST, Operation.SATURATION, Operation.SHARPNESS)


def signs(operation: Operation) -> tuple[int, ...]:
    return (1, -1) if TRANSFORMS[operation].signed else (1,)


@ALL
def test_magnitude_zero_is_the_identity_bit_for_bit(operation: Operation) -> None:
    for x in (laws.smooth_image(), laws.noise_image(0), laws.smooth_image(dtype=torch.float32)):
        laws.check_identity(partial(apply, operation), x)


@ALL
def test_distance_grows_with_magnitude(operation: Operation) -> None:
    laws.check_grows(partial(apply, operation), laws.smooth_image(), signs(operation))


@pytest.mark.parametrize("operation", SIGNED, ids=str)
def test_sign_symmetry(operation: Operation) -> None:
    map_, x = partial(apply, operation), laws.smooth_image()
    if operation in MIRRORS:
        laws.check_conjugate(map_, x, MIRRORS[operation])
    elif operation in OPPOSITE:
        laws.check_opposite(map_, x)
    else:
        assert operation is Operation.SCALE
        laws.check_inverse(map_, laws.smooth_image(height=40, width=44))


@ALL
def test_gradient_of_strength(operation: Operation) -> None:
    map_, x = partial(apply, operation), laws.smooth_image()
    values = VALUES + tuple(-v for v in VALUES) if TRANSFORMS[operation].signed else VALUES
    if TRANSFORMS[operation].gradient is GradientKind.TRUE:
        laws.check_gradient_of_strength(map_, x, values)
    else:
        laws.check_mean_gradient_of_strength(map_, x, (0.0, *values, 1.0))


@ALL
def test_gradient_of_image(operation: Operation) -> None:
    if TRANSFORMS[operation].image_gradient is GradientKind.TRUE:
        laws.check_gradient_of_image(partial(apply, operation), laws.smooth_image(), 0.513)
    else:
        laws.check_unit_gradient_of_image(partial(apply, operation), laws.smooth_image(), 0.513)


@ALL
def test_gradient_is_alive_at_zero(operation: Operation) -> None:
    if operation in EVEN:
        with pytest.raises(AssertionError, match="slopes at 0"):
            laws.check_alive_at_zero(partial(apply, operation), laws.smooth_image())
    else:
        laws.check_alive_at_zero(partial(apply, operation), laws.smooth_image())


@ALL
def test_batched_equals_looped(operation: Operation) -> None:
    laws.check_batched(partial(apply, operation), laws.smooth_image(5), TRANSFORMS[operation].signed)


@ALL
def test_result_is_an_image(operation: Operation) -> None:
    laws.check_range(partial(apply, operation), laws.noise_image(1), signs(operation))


@ALL
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (8, 8)])
def test_small_and_grey_images(operation: Operation, shape: tuple[int, int]) -> None:
    channels = 3 if TRANSFORMS[operation].channels is Channels.COLOUR else 1
    x = torch.rand(2, channels, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    laws.check_range(partial(apply, operation), x, signs(operation))
    laws.check_identity(partial(apply, operation), x)


@ALL
def test_limit_rescales_the_strength(operation: Operation) -> None:
    limit, m = TRANSFORMS[operation].limit * 0.5, 0.5
    x = laws.smooth_image()
    usual = apply(operation, x, laws.strengths(m * limit / TRANSFORMS[operation].limit, 3))
    scaled = apply(operation, x, laws.strengths(m, 3), limit=limit)
    torch.testing.assert_close(scaled, usual, rtol=0, atol=1e-12)


@ALL
def test_input_is_not_changed_and_half_precision_comes_back(operation: Operation) -> None:
    x = laws.smooth_image()
    before = x.clone()
    wide = apply(operation, x, laws.strengths(0.6, 3))
    assert torch.equal(x, before)
    half = apply(operation, x.bfloat16(), laws.strengths(0.6, 3))
    assert half.dtype is torch.bfloat16
    assert (half.double() - wide).abs().mean() < 0.02


@ALL
def test_vmap_over_strengths_equals_loop(operation: Operation) -> None:
    x = laws.smooth_image(2)
    v = torch.tensor([[0.1, 0.9], [0.4, 0.2], [0.7, 0.0]], dtype=torch.float64)
    mapped = torch.func.vmap(partial(apply, operation, x))(v)
    looped = torch.stack([apply(operation, x, row) for row in v])
    torch.testing.assert_close(mapped, looped, rtol=0, atol=1e-9)


@ALL
def test_one_graph_without_reading_values(operation: Operation) -> None:
    """Tracing in full shows that nothing waits for a value: no branch on data, no number fetched."""
    torch.compiler.reset()
    x, v = laws.smooth_image(), laws.strengths(0.6, 3)
    compiled = torch.compile(partial(apply, operation), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, v), apply(operation, x, v), rtol=0, atol=1e-12)


def test_tracing_notices_when_a_value_is_read() -> None:
    torch.compiler.reset()
    peek = torch.compile(lambda x: x if x.sum().item() > 0 else -x, fullgraph=True, backend="eager")
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        peek(torch.ones(2))


def test_table_is_complete_and_consistent() -> None:
    assert tuple(TRANSFORMS) == tuple(Operation)
    for operation, transform in TRANSFORMS.items():
        assert transform.operation is operation
        assert transform.limit > 0
        assert transform.unit
        assert transform.strength is Strength.RANGE or not transform.signed


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_fits_agrees_with_apply(channels: int) -> None:
    x = laws.smooth_image(2, channels)
    refused = set()
    for operation in Operation:
        if fits(operation, channels):
            apply(operation, x, laws.strengths(0.5, 2))
            continue
        refused.add(operation)
        message = rf"{operation} needs images with 3 channels, but got {channels}"
        with pytest.raises(ValueError, match=message):
            apply(operation, x, laws.strengths(0.5, 2))
    assert refused == (set() if channels == 3 else {Operation.SATURATION, Operation.HUE})


@pytest.mark.parametrize(
    ("x", "v", "message"),
    [
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2), "divide integer images by 255"),
        (torch.zeros(3, 4, 4), torch.zeros(3), r"\(B, C, H, W\)"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(()), "one per image"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64), "floating point"),
    ],
)
def test_wrong_types_and_shapes_are_refused(x: Tensor, v: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply(Operation.ROTATION, x, v)


def test_generator_places_cutout() -> None:
    x, v = torch.ones(64, 1, 16, 16), torch.ones(64)
    cut = partial(apply, Operation.CUTOUT, x, v)
    first, again = (cut(generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert len(first.unique(dim=0)) == 64
    centred = apply(Operation.CUTOUT, x, v)
    assert len(centred.unique(dim=0)) == 1
    # A square of half the side covers a quarter where it lies inside, and less where the border cuts it off.
    assert (1 - centred).mean((1, 2, 3)).allclose(torch.tensor(0.25))
    assert (1 - first).mean((1, 2, 3)).max() <= 0.25 + 1e-6


def no_op_posterise(x: Tensor, v: Tensor) -> Tensor:
    return x + 0 * v[:, None, None, None]


class _FlippedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, v: Tensor) -> Tensor:
        return v.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return -gradient


def flipped_gradient(operation: Operation) -> laws.Map:
    return lambda x, v: apply(operation, x, _FlippedGradient.apply(v))


def batch_contrast(x: Tensor, v: Tensor) -> Tensor:
    return x + v[:, None, None, None] * (x - x.mean())


def test_checks_reject_broken_operations() -> None:
    x = laws.smooth_image()
    mirror, large = MIRRORS[Operation.ROTATION], laws.smooth_image(1, 3, 40, 44)
    broken = [
        lambda: laws.check_identity(lambda x, v: x + 1e-6, x),
        lambda: laws.check_grows(no_op_posterise, x, (1,)),
        lambda: laws.check_grows(lambda x, v: apply(Operation.INVERT, x, 1 - v), x, (1,)),
        lambda: laws.check_conjugate(lambda x, v: apply(Operation.ROTATION, x, v.abs()), x, mirror),
        lambda: laws.check_conjugate(no_op_posterise, x, mirror),
        lambda: laws.check_opposite(lambda x, v: apply(Operation.BRIGHTNESS, x, v.abs()), x),
        lambda: laws.check_opposite(no_op_posterise, x),
        lambda: laws.check_inverse(lambda x, v: apply(Operation.SCALE, x, v.abs()), large),
        lambda: laws.check_inverse(no_op_posterise, x),
        lambda: laws.check_gradient_of_strength(flipped_gradient(Operation.ROTATION), x, VALUES),
        lambda: laws.check_gradient_of_strength(partial(apply, Operation.SOLARISE), x, VALUES),
        lambda: laws.check_mean_gradient_of_strength(flipped_gradient(Operation.POSTERISE), x, VALUES),
        lambda: laws.check_gradient_of_image(partial(apply, Operation.POSTERISE), x, 0.5),
        lambda: laws.check_unit_gradient_of_image(partial(apply, Operation.BRIGHTNESS), x, 0.5),
        lambda: laws.check_alive_at_zero(no_op_posterise, x),
        lambda: laws.check_batched(batch_contrast, x, True),
        lambda: laws.check_range(lambda x, v: x * (1 + v[:, None, None, None]), x, (1,)),
    ]
    for check in broken:
        with pytest.raises(AssertionError):
            check()
