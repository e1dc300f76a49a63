"""One run of a method, recorded so that two can be compared bit for bit."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor

from trainables.method import Context, Method, MethodConfig, Slice
from trainables.problems.problem import LEARNABLE, Batch, Kind, Split, View

MANY = 200  # slices, in multiples of those of one training: no method needs so many
LOGICAL = ("flops", "examples", "label_reads")


@dataclass
class Trace:
    """What one run did, step by step.

    Args:
        slices: what each step reported.
        outputs: predictions on fixed inputs after each step.
        saved: the serialised state of method and meter after each step.
        states: the method's states, for comparison.
        costs: flops, examples and label reads by phase, after each step; no times.
    """

    slices: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    saved: list[bytes] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    costs: list[dict[str, int]] = field(default_factory=list)

    @classmethod
    def of(cls, method: Method, context: Context) -> Trace:
        """Run to the end."""
        trace = cls()
        x = context.problem.unlabelled(Generator().manual_seed(5), 6).to(context.device)
        for piece in steps(method):
            state = {"method": method.state_dict(), "meter": context.meter.state_dict()}
            buffer = io.BytesIO()
            torch.save(state, buffer)
            trace.slices.append({
                "metrics": dict(piece.metrics), "phase": str(piece.phase),
                "ready": piece.ready, "done": piece.done,
            })
            trace.outputs.append(predicting(method, context)(x))
            trace.saved.append(buffer.getvalue())
            trace.states.append(_loaded(buffer.getvalue())["method"])
            trace.costs.append(logical_cost(context))
        return trace

    def after(self, k: int) -> Trace:
        """What remains after step k."""
        return Trace(*(getattr(self, f.name)[k + 1 :] for f in fields(self)))


def _loaded(saved: bytes) -> Any:
    try:
        return torch.load(io.BytesIO(saved), weights_only=True)
    except Exception as error:
        raise AssertionError(f"the state must load with weights_only=True: {error}") from error


def predicting(method: Method, context: Context) -> Callable[[Tensor], Tensor]:
    """(B, *shape) -> (B, outputs); where the problem is made of tasks, after adapting to one fixed task."""
    if context.problem.kind is not Kind.EPISODIC:
        return method.predict
    support, _ = context.problem.episode(Generator().manual_seed(6), 2, 1, Split.TRAIN)  # whose labels are free
    x, y = (tensor[None].to(context.device) for tensor in support)
    return lambda queries: method.predict(queries[None], Batch(x, y))[0]


def run(config: MethodConfig, context: Context) -> Trace:
    """Build and run to the end."""
    return Trace.of(config.build(context), context)


def steps(method: Method) -> Iterator[Slice]:
    """Slices up to the one that says `done`; nothing where a loaded state is already at the end.

    Raises:
        AssertionError: `done` is never said.
    """
    for _ in range(MANY):
        piece = method.step()
        yield piece
        if piece.done:
            return
    raise AssertionError(f"the method is not done after {MANY} slices")


def logical_cost(context: Context) -> dict[str, int]:
    """What equal runs must share: counts, not seconds."""
    phases = context.meter.ledger().phases
    return {f"{phase}/{unit}": getattr(cost, unit) for phase, cost in phases.items() for unit in LOGICAL}


def difference(a: Any, b: Any, path: str = "") -> str | None:
    """Where two nested structures first differ, in words; None where they are bit for bit the same."""
    if type(a) is not type(b):
        return f"{path or 'it'}: {type(a).__name__} against {type(b).__name__}"
    if isinstance(a, Tensor):
        return None if a.dtype == b.dtype and torch.equal(a, b) else f"{path or 'it'}: other numbers"
    if isinstance(a, Trace):  # not `saved`: equal states may be serialised to different bytes
        a, b = ({k: v for k, v in vars(t).items() if k != "saved"} for t in (a, b))
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return f"{path or 'it'}: keys {sorted(map(str, a.keys() ^ b.keys()))} on one side only"
        found = (difference(a[key], b[key], f"{path}.{key}".lstrip(".")) for key in a)
        return next((text for text in found if text is not None), None)
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return f"{path or 'it'}: {len(a)} entries against {len(b)}"
        found = (difference(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
        return next((text for text in found if text is not None), None)
    return None if a == b else f"{path or 'it'}: {a!r} against {b!r}"


class WatchedView:
    """A view that notes which splits are asked for, also where the method hides the refusal."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.forbidden: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._view, name)
        return self._watched(value) if name in ("draw", "episode", "episodes", "labelled", "size") else value

    def _watched(self, function: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            asked = {str(arg) for arg in args if isinstance(arg, str)}
            self.forbidden |= asked - {str(split) for split in LEARNABLE}
            return function(*args, **kwargs)

        return watched


def with_view(context: Context, view: Any) -> Context:
    """The same context with another view of the problem."""
    assert is_dataclass(context)
    return replace(context, problem=view)
