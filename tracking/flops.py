"""FLOPs of what runs inside, by torch's formulas and ours; what has none is listed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class FlopCounter(TorchDispatchMode):
    flops: int
    uncounted: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.uncounted = 0, Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))
