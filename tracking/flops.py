"""Counts the FLOPs of whatever runs inside, eagerly, and lists what it could not count.

Conventions (the same for every method, so that ratios are fair):
- products of matrices and convolutions: 2 per multiply-add, bias ignored (torch's own formulas);
- pointwise operations: 1 per output element, whatever the function;
- reductions and scans: 1 per input element;
- norms, softmax, losses, pooling, sampling, FFT, solves: the formulas of flop_formulas.py;
- views, copies, indexing, sorting, padding and random numbers: 0, no arithmetic is done.

Formulas depend on shapes and arguments only, never on values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tracking.flop_formulas import FORMULAS, MOVES, Formula, elements_in, elements_out

NO_ARITHMETIC = ("profiler", "prim", "rngprims", "c10d")


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context: `flops` is the total, `uncounted` maps operations without a formula to their calls.

    One dispatch mode does both, where torch's FlopCounterMode would need a second mode beside it and hooks
    modules; products are counted by the very formulas of FlopCounterMode. Last bits may differ from
    those without it, so what is resumed must not be counted anew.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.uncounted: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not skipping keeps torch's compiler from being imported (3 s) inside of what is timed."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = _formula(func)
        if formula is None and _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        result = func(*args, **kwargs)
        if formula is None:
            self.uncounted[_name(func)] += 1
        else:
            self.flops += formula(args, kwargs, result)
        return result


@cache
def _formula(func: Any) -> Formula | None:
    """How to count one operation; None where nobody knows."""
    if not isinstance(func, torch._ops.OpOverload):
        return None
    name = func._schema.name.split("::")[1]
    if (known := _known(func, name)) is not None:
        return known
    if _is_composite(func):
        return None
    return _by_kind(func, name)


def _known(func: Any, name: str) -> Formula | None:
    """An explicit formula; the in-place form of an operation counts like the operation."""
    if func._schema.name.startswith("aten::"):
        for candidate in (name, name.removesuffix("_")):
            if candidate in FORMULAS:
                return FORMULAS[candidate]
    if func._overloadpacket in flop_registry:
        return _from_torch(flop_registry[func._overloadpacket])
    return None


def _by_kind(func: Any, name: str) -> Formula | None:
    base = name.removeprefix("_foreach_").removesuffix("_")
    if func.is_view or base in MOVES or base.endswith("_copy") or func.namespace in NO_ARITHMETIC:
        return _zero
    if torch.Tag.nondeterministic_seeded in func.tags:
        return _zero
    if _has_tag(func, base, torch.Tag.pointwise):
        return elements_out(1)
    if _has_tag(func, base, torch.Tag.reduction):
        return elements_in(1)
    return None


def _has_tag(func: Any, base: str, tag: torch.Tag) -> bool:
    """Whether the operation, or for in-place and `_foreach_` forms the plain one, carries the tag."""
    if tag in func.tags:
        return True
    plain = getattr(torch.ops.aten, base, None)
    return plain is not None and any(tag in getattr(plain, overload).tags for overload in plain.overloads())


def _from_torch(function: Callable[..., int]) -> Formula:
    return lambda args, kwargs, result: int(function(*args, **kwargs, out_val=result))


def _zero(args: Any, kwargs: Any, result: Any) -> int:
    return 0


@cache
def _is_composite(func: Any) -> bool:
    """Composite operations arrive whole in inference mode only; elsewhere autograd has taken them apart."""
    return isinstance(func, torch._ops.OpOverload) and func._can_decompose()


def _name(func: Any) -> str:
    return str(getattr(func, "_overloadpacket", func))
