"""What can be reached from an object by attributes, items and closures; for checks that something cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

# Modules and classes lead to the whole interpreter, from anywhere; no view can close that way.
_DEAD_ENDS = (ModuleType, type, BuiltinFunctionType, str, bytes, int, float, type(None))


def walk(root: object) -> Iterator[object]:
    """Every object that a chain of attributes, items or closure cells reaches from `root`, each once."""
    seen: dict[int, object] = {}  # holds the objects, so that an id is not given out twice
    waiting = [root]
    while waiting:
        current = waiting.pop()
        if id(current) in seen or isinstance(current, _DEAD_ENDS):
            continue
        seen[id(current)] = current
        yield current
        waiting.extend(_neighbours(current))


def arrays(root: object) -> Iterator[NDArray[Any]]:
    """The arrays and tensors among them, as NumPy arrays."""
    for found in walk(root):
        if isinstance(found, np.ndarray):
            yield found
        elif isinstance(found, Tensor):
            yield found.detach().cpu().numpy()


def rows_of(array: NDArray[Any], shape: tuple[int, ...] | None = None) -> list[bytes]:
    """The inputs that an array holds, comparable whether stored as uint8 or as float32 in [0, 1].

    Args:
        shape: of one input; an array that holds no such inputs has no rows. None: what follows axis 0.
    """
    size = int(np.prod(array.shape[1:] if shape is None else shape))
    if array.dtype.kind not in "uf" or array.size < size or size == 0 or array.size % size:
        return []
    flat = np.ascontiguousarray(array).reshape(-1, size)
    scaled = flat.astype(np.float32) / np.float32(255) if flat.dtype == np.uint8 else flat.astype(np.float32)
    return [row.tobytes() for row in scaled]


def _neighbours(current: object) -> Iterator[object]:
    if isinstance(current, Tensor):
        return
    if isinstance(current, Mapping):
        yield from current.keys()
        yield from current.values()
    elif isinstance(current, list | tuple | Set):
        yield from current
    elif isinstance(current, np.ndarray):
        yield current.base
    elif isinstance(current, MethodType):
        yield from (current.__self__, current.__func__)
    elif isinstance(current, FunctionType):
        yield from (cell.cell_contents for cell in current.__closure__ or ())
        yield from current.__defaults__ or ()
        yield from (current.__kwdefaults__ or {}).values()
    elif isinstance(current, partial):
        yield from (current.func, current.args, current.keywords)
    yield from getattr(current, "__dict__", {}).values()
    yield from _slots(current)


def _slots(current: object) -> Iterator[object]:
    for cls in type(current).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            mangled = f"_{cls.__name__.lstrip('_')}{name}" if private else name
            if hasattr(current, mangled):
                yield getattr(current, mangled)
