"""FLOP formulas of operations that torch's flop counter does not know, and the names that cost nothing.

A formula takes (positional arguments, keyword arguments, result) of one aten call and returns FLOPs. Unless
said otherwise the numbers are the additions, multiplications, divisions and elementary functions per element
of the textbook algorithm; linear algebra follows Golub & Van Loan, Matrix Computations, 4th ed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

Formula = Callable[[Any, Any, Any], int]


def elements(value: Any) -> int:
    """Elements of a tensor; all of a list's; the first tensor's of a tuple of results."""
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, list):
        return sum(elements(item) for item in value)
    if isinstance(value, tuple):
        return next((elements(item) for item in value if isinstance(item, Tensor | list)), 0)
    return 0


def elements_out(cost: int) -> Formula:
    """`cost` per element of the result; in-place lists return nothing, so their first argument stands in."""
    return lambda args, kwargs, result: cost * elements(args[0] if result is None else result)


def elements_in(cost: int) -> Formula:
    """`cost` per element of the first argument."""
    return lambda args, kwargs, result: cost * elements(args[0])


def argument_elements(index: int) -> Formula:
    """One addition per element of a later argument: scattered and indexed sums."""
    return lambda args, kwargs, result: elements(args[index])


def _index_put(args: Any, kwargs: Any, result: Any) -> int:
    accumulate = args[3] if len(args) > 3 else kwargs.get("accumulate", False)
    return elements(args[2]) if accumulate else 0


def _batch_norm(args: Any, kwargs: Any, result: Any) -> int:
    """Mean 1, variance 3, normalise 2, affine 2; with running statistics only the last 4."""
    training = next((argument for argument in args[3:] if isinstance(argument, bool)), True)
    return (8 if training else 4) * elements(args[0])


def _convolution_backward(args: Any, kwargs: Any, result: Any) -> int:
    """Each of the two gradients costs what the forward pass does; torch's own formula forgets the groups."""
    grad_out, x, weight, transposed, mask = args[0], args[1], args[2], args[7], args[10]
    forward = 2 * elements(x if transposed else grad_out) * (elements(weight) // int(weight.shape[0]))
    return int(mask[0]) * forward + int(mask[1]) * forward + int(mask[2]) * elements(grad_out)


def _window(args: Any, kwargs: Any, result: Any) -> int:
    """Pooling forward: one operation per element of a window; `kernel_size` may be a single number."""
    return elements(result) * _kernel(args[1], args[0].dim() - 2)


def _window_backward(args: Any, kwargs: Any, result: Any) -> int:
    return elements(args[0]) * _kernel(args[2], args[1].dim() - 2)


def _kernel(size: Any, dims: int) -> int:
    sizes = [size] if isinstance(size, int) else list(size)
    return int(math.prod(sizes)) if len(sizes) > 1 else int(sizes[0]) ** min(dims, 2)


_LINEAR, _NEAREST = 0, 1  # torch's codes of the interpolation mode; 2 is bicubic


def _taps(mode: int, dims: int) -> tuple[int, int]:
    """(neighbours read, FLOPs per location) of a sampler; a coordinate takes 3 FLOPs to unnormalise."""
    if mode == _NEAREST:
        return 1, 3 * dims
    if mode == _LINEAR:
        return 2**dims, 3 * dims + 2 * dims + 2**dims * (dims - 1)
    weights = 4 * 8 * dims  # a cubic weight is a polynomial of 8 FLOPs
    return 4**dims, 3 * dims + weights + 4**dims * (dims - 1)


def _grid_sampler(args: Any, kwargs: Any, result: Any) -> int:
    """Weights once per location, one weighted sum of the neighbours per channel."""
    dims, mode, channels = result.dim() - 2, (args[2] if len(args) > 2 else _LINEAR), int(result.shape[1])
    neighbours, location = _taps(mode, dims)
    return elements(result) // max(channels, 1) * (location + channels * (2 * neighbours - 1))


def _grid_sampler_backward(args: Any, kwargs: Any, result: Any) -> int:
    """Image: a product and a scattered sum per neighbour. Grid: value x gradient, 2 FLOPs per coordinate."""
    grad_out, mode, mask = args[0], (args[3] if len(args) > 3 else _LINEAR), args[-1]
    wanted = mask if isinstance(mask, list | tuple) else (True, True)
    dims, channels = grad_out.dim() - 2, int(grad_out.shape[1])
    neighbours, location = _taps(mode, dims)
    to_image = 2 * neighbours * int(wanted[0])
    to_grid = 0 if mode == _NEAREST else neighbours * (1 + 2 * dims) * int(wanted[1])
    return elements(grad_out) // max(channels, 1) * (location + channels * (to_image + to_grid))


def _fourier(cost: float) -> Formula:
    """cost * n log2 n per transform: 5 for complex data (Cooley & Tukey, radix 2), half of it for real."""

    def formula(args: Any, kwargs: Any, result: Any) -> int:
        real = args[0] if not args[0].is_complex() else result
        length = math.prod(real.shape[dim] for dim in args[1])
        return round(cost * elements(real) * math.log2(max(length, 1)))

    return formula


def _square(cost: float) -> Formula:
    """cost * n^3 per n x n matrix in the first argument."""
    return lambda args, kwargs, result: round(cost * elements(args[0]) * int(args[0].shape[-1]))


def _sides(matrices: Tensor) -> tuple[int, int]:
    """(longer, shorter) side of each matrix."""
    return max(matrices.shape[-2:]), min(matrices.shape[-2:])


def _rectangular(args: Any, kwargs: Any, result: Any) -> int:
    """Householder QR with Q formed: 4 (m n^2 - n^3 / 3) for m >= n."""
    longer, shorter = _sides(args[0])
    matrices = elements(args[0]) // max(longer * shorter, 1)
    return round(matrices * 4 * (longer * shorter**2 - shorter**3 / 3))


def _svd(args: Any, kwargs: Any, result: Any) -> int:
    """R-SVD with both factors: 4 m^2 n + 22 n^3 for m >= n."""
    longer, shorter = _sides(args[0])
    return int(elements(args[0]) // max(longer * shorter, 1) * (4 * longer**2 * shorter + 22 * shorter**3))


def _lstsq(args: Any, kwargs: Any, result: Any) -> int:
    """Householder QR, 2 (m n^2 - n^3 / 3) for m >= n, then 4 m n per column of the right-hand side."""
    _, shorter = _sides(args[0])
    return _rectangular(args, kwargs, result) // 2 + 4 * shorter * elements(args[1])


def _solve(factor: float, substitutions: int, matrix: int, right: int) -> Formula:
    """factor * n^3 to factorise argument `matrix`, n^2 per substitution and column of argument `right`."""

    def formula(args: Any, kwargs: Any, result: Any) -> int:
        n = int(args[matrix].shape[-1])
        return round(factor * elements(args[matrix]) * n + substitutions * n * elements(args[right]))

    return formula


def _inner(args: Any, kwargs: Any, result: Any) -> int:
    """A matrix-vector or vector-vector product: 2 per element of the larger factor."""
    tensors = [argument for argument in args if isinstance(argument, Tensor)]
    return 2 * max(elements(tensor) for tensor in tensors)


def _addbmm(args: Any, kwargs: Any, result: Any) -> int:
    return 2 * elements(args[1]) * int(args[2].shape[-1])


def _distances(args: Any, kwargs: Any, result: Any) -> int:
    """Difference, power and sum per coordinate of each pair."""
    return 3 * elements(result) * int(args[0].shape[-1])


def _fused_sgd(args: Any, kwargs: Any, result: Any) -> int:
    """As the unfused optimiser is counted: the update, momentum 2, weight decay 1, Nesterov 1."""
    steps = 1 + 2 * bool(kwargs["momentum"]) + bool(kwargs["weight_decay"]) + bool(kwargs["nesterov"])
    return steps * elements(args[0])


def _fused_adam(args: Any, kwargs: Any, result: Any) -> int:
    """As the unfused optimiser is counted: moments 3, root, division, epsilon, update; weight decay 1."""
    return (7 + bool(kwargs["weight_decay"])) * elements(args[0])


def _words(text: str) -> list[str]:
    return text.split()


def _table(formula: Formula, names: str) -> dict[str, Formula]:
    return dict.fromkeys(_words(names), formula)


FORMULAS: dict[str, Formula] = {
    "convolution_backward": _convolution_backward,
    **_table(_inner, "mv addmv dot vdot"),
    **_table(_addbmm, "addbmm"),
    **_table(elements_out(2), "addr _trilinear native_dropout"),
    **_table(_batch_norm, "native_batch_norm _native_batch_norm_legit cudnn_batch_norm miopen_batch_norm"),
    **_table(elements_in(8), "_batch_norm_with_update native_layer_norm native_group_norm"),
    **_table(elements_in(4), "_native_batch_norm_legit_no_training _batch_norm_no_update _fused_rms_norm"),
    **_table(elements_in(9), """
        native_batch_norm_backward cudnn_batch_norm_backward batch_norm_backward
        native_layer_norm_backward native_group_norm_backward _fused_rms_norm_backward
    """),
    **_table(elements_in(5), "_softmax _log_softmax _safe_softmax logsumexp"),
    **_table(elements_in(4), "_softmax_backward_data _log_softmax_backward_data var std var_mean std_mean"),
    **_table(elements_in(2), "linalg_vector_norm norm native_norm _foreach_norm logcumsumexp _logcumsumexp"),
    **_table(elements_in(1), """
        cumsum cumprod cummax cummin _cummax_helper _cummin_helper trace aminmax _aminmax allclose
        equal median nanmedian mode argmax argmin col2im reflection_pad1d_backward
        reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
        replication_pad2d_backward replication_pad3d_backward max_pool2d_with_indices_backward
        max_pool3d_with_indices_backward adaptive_max_pool2d_backward adaptive_max_pool3d_backward
        upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
        embedding_dense_backward _prelu_kernel nll_loss_forward nll_loss2d_forward
    """),
    **_table(elements_out(1), """
        polar complex rsub floor_divide softplus_backward elu_backward glu_backward
        leaky_relu_backward hardtanh_backward hardsigmoid_backward hardswish hardswish_backward
        hardshrink_backward softshrink_backward log_sigmoid_forward log_sigmoid_backward
        nll_loss_backward nll_loss2d_backward _prelu_kernel_backward glu linalg_cross _conj_physical
        renorm
    """),
    **_table(elements_in(3), """
        mse_loss mse_loss_backward smooth_l1_loss smooth_l1_loss_backward huber_loss
        huber_loss_backward soft_margin_loss
    """),
    **_table(elements_in(6), """
        binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits
    """),
    **_table(argument_elements(3), "index_add scatter_add scatter_reduce index_reduce"),
    **_table(_index_put, "index_put _index_put_impl _unsafe_index_put"),
    **_table(_window, "avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices"),
    **_table(_window_backward, "avg_pool2d_backward avg_pool3d_backward"),
    **_table(elements_in(1), """
        _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d
    """),
    **_table(elements_out(1), "_adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward"),
    **_table(elements_out(11), "upsample_bilinear2d _upsample_bilinear2d_aa"),
    **_table(elements_in(12), "upsample_bilinear2d_backward _upsample_bilinear2d_aa_backward"),
    **_table(elements_out(5), "upsample_linear1d"),
    **_table(elements_in(6), "upsample_linear1d_backward"),
    **_table(elements_out(6), "affine_grid_generator"),
    **_table(_grid_sampler, """
        grid_sampler_2d grid_sampler_3d _grid_sampler_2d_cpu_fallback cudnn_grid_sampler
    """),
    **_table(_grid_sampler_backward, """
        grid_sampler_2d_backward grid_sampler_3d_backward _grid_sampler_2d_cpu_fallback_backward
    """),
    **_table(_fourier(5.0), "_fft_c2c"),
    **_table(_fourier(2.5), "_fft_r2c _fft_c2r"),
    **_table(_square(2 / 3), """
        linalg_lu_factor_ex linalg_lu _linalg_det _linalg_slogdet linalg_ldl_factor_ex
    """),
    **_table(_square(1 / 3), "linalg_cholesky_ex"),
    **_table(_square(2.0), "linalg_inv_ex"),
    **_table(_square(9.0), "_linalg_eigh"),
    **_table(_square(25.0), "linalg_eig"),
    # Five products of the degree-18 Taylor polynomial; the squarings depend on the norm and are left out.
    **_table(_square(10.0), "linalg_matrix_exp"),
    **_table(_rectangular, "linalg_qr geqrf"),
    **_table(_svd, "_linalg_svd"),
    **_table(_lstsq, "linalg_lstsq"),
    **_table(_solve(2 / 3, 2, 0, 1), "_linalg_solve_ex"),
    **_table(_solve(0.0, 1, 0, 1), "linalg_solve_triangular"),
    **_table(_solve(0.0, 1, 1, 0), "triangular_solve"),
    **_table(_solve(0.0, 2, 1, 0), "cholesky_solve _cholesky_solve_helper"),
    **_table(_solve(0.0, 2, 0, 2), "linalg_lu_solve"),
    **_table(_distances, "_cdist_forward _euclidean_dist"),
    **_table(_fused_sgd, "_fused_sgd"),
    **_table(_fused_adam, "_fused_adam _fused_adamw"),
}

# Copies, fills, indexing, sorting, padding, shape queries: data move, no arithmetic is done.
MOVES = frozenset(_words("""
    clone copy _to_copy contiguous empty empty_like empty_strided empty_permuted new_empty
    new_empty_strided zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full fill
    zero eye arange range linspace logspace scalar_tensor tril_indices triu_indices _local_scalar_dense
    lift lift_fresh detach alias resize resize_as set _unsafe_view _reshape_alias _reshape_copy
    _resize_output view_as cat stack _stack _chunk_cat block_diag flip roll rot90 repeat
    repeat_interleave index select_backward slice_backward diagonal_backward unfold_backward
    index_select gather take put scatter masked_scatter masked_select index_fill index_copy
    _unsafe_index _index_copy slice_scatter select_scatter diagonal_scatter as_strided_scatter embedding
    nonzero nonzero_static bucketize searchsorted histc bincount sort topk kthvalue unique_consecutive
    unique_dim _unique _unique2 isin constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d
    replication_pad1d replication_pad2d replication_pad3d im2col pixel_shuffle pixel_unshuffle
    channel_shuffle upsample_nearest1d upsample_nearest2d upsample_nearest3d tril triu diag_embed
    max_unpool2d max_unpool3d lu_unpack _efficientzerotensor _new_zeros_with_same_feature_meta
    is_same_size _has_same_storage_numel is_pinned _pin_memory record_stream split_with_sizes
    unsafe_split unsafe_split_with_sizes unbind _linalg_check_errors _assert_async
    _functional_assert_async _is_all_true _is_any_true item data_ptr conj _conj resolve_conj resolve_neg
    real imag complex_copy _neg_view randperm squeeze unsqueeze transpose t expand view squeeze_copy
    unsafe_chunk dense_dim sparse_dim
"""))
