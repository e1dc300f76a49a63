"""A device that is not the CPU, for machines without one: what works on it puts every tensor where it belongs.

Tensors of `DEVICE` hold their numbers on the CPU, so the same operations give the same numbers, bit for bit. What a GPU
refuses is refused: operands on two devices, a CPU's generator for a tensor that lives elsewhere, `numpy()` without
`cpu()`. What it allows is allowed: scalars and indices of the CPU, copies from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("lazy")  # a type that PyTorch knows, that nothing implements, and that autograd takes
_COPIES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from")
_INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index")
_NO_SCALARS = ("aten::cat", "aten::stack", "aten::mm", "aten::bmm", "aten::addmm", "aten::index_select", "aten::gather")


class ElsewhereError(RuntimeError):
    """What a GPU would refuse."""


class Elsewhere(Tensor):
    """A tensor of `DEVICE`.

    Args:
        held: its numbers, on the CPU.
    """

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Allowed: the numbers are fetched."""
        return self.held.detach().tolist()

    def new_tensor(self, *args: Any, **kwargs: Any) -> Tensor:
        """Like `torch.tensor`, here."""
        return torch.tensor(*args, **{"dtype": self.dtype, "device": DEVICE} | kwargs)

    def __getitem__(self, place: Any) -> Tensor:
        places = place if isinstance(place, tuple) else (place,)
        found = tuple(torch.tensor(one) if isinstance(one, list) else one for one in places)
        return super().__getitem__(found)

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.held!r})"


class _Machine(TorchDispatchMode):
    """Also what makes tensors out of nothing is seen."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def machine(patch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """While the body runs there is a second device: it is yielded."""
    autocast, load, save, tensor = torch.autocast, torch.load, torch.save, torch.tensor

    def mixed(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return nullcontext() if device_type == DEVICE.type else autocast(device_type, *args, **kwargs)

    def loaded(*args: Any, map_location: Any = None, **kwargs: Any) -> Any:
        if torch.device(map_location or "cpu") != DEVICE:
            return load(*args, map_location=map_location, **kwargs)
        return tree_map(there, load(*args, map_location="cpu", **kwargs))

    def saved(value: Any, *args: Any, **kwargs: Any) -> None:
        save(tree_map(here, value), *args, **kwargs)

    def made(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        one = tensor(*args, **kwargs)
        return one if device is None else one.to(device)

    def taken(value: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value if device is None else value.to(device)
        return made(value, *args, device=device, **kwargs)

    patch.setattr(torch, "autocast", mixed)
    patch.setattr(torch, "as_tensor", taken)
    patch.setattr(torch, "tensor", made)
    patch.setattr(torch, "load", loaded)
    patch.setattr(torch, "save", saved)
    with _Machine():
        yield DEVICE


def here(value: Any) -> Any:
    """On the CPU, if it is a tensor."""
    return value.held.detach() if isinstance(value, Elsewhere) else value


def there(value: Any) -> Any:
    """On the other device, if it is a tensor."""
    return Elsewhere(value) if isinstance(value, Tensor) and not isinstance(value, Elsewhere) else value


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    asked = kwargs.get("device")
    _check(func, flat, args, asked)
    if asked is not None and torch.device(asked) == DEVICE:
        kwargs = kwargs | {"device": torch.device("cpu")}
    out = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    changed = _changed(func, args, kwargs)
    if changed:
        return changed[0] if len(changed) == 1 else tuple(changed)
    lives = torch.device(asked) == DEVICE if asked is not None else any(isinstance(one, Elsewhere) for one in flat)
    return tree_map(there, out) if lives else out


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Elsewhere) else value


def _changed(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any]:
    """What an operation in place gives back: its own arguments."""
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    written = [
        given[argument.name] for argument in func._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write and argument.name in given
    ]
    for one in written:
        if isinstance(one, Elsewhere) and one.shape != one.held.shape:
            raise NotImplementedError(f"{func} changes a shape in place")
    return written if func._schema.returns else []


def _check(func: Any, flat: list[Any], args: Any, asked: Any) -> None:
    name = func._schema.name
    tensors = [one for one in flat if isinstance(one, Tensor)]
    away = [one for one in tensors if isinstance(one, Elsewhere)]
    madethere = torch.device(asked) == DEVICE if asked is not None else bool(away)
    if madethere and any(isinstance(one, Generator) for one in flat):
        raise ElsewhereError(f"{name}: the generator is the CPU's, the tensor is not")
    if name in _COPIES or len(away) in (0, len(tensors)):
        return
    if name in _INDEXED and isinstance(args[0], Elsewhere):
        values = args[2] if len(args) > 2 else args[0]
        if isinstance(values, Elsewhere) or values.ndim == 0:
            return
    if all(one.ndim == 0 for one in tensors if not isinstance(one, Elsewhere)) and name not in _NO_SCALARS:
        return
    raise ElsewhereError(f"{name}: operands on the CPU and on {DEVICE}")
