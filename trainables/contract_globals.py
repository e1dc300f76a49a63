"""The random generators that no method may touch: torch's, NumPy's and Python's own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def global_state() -> dict[str, Any]:
    """Their states, comparable."""
    return {
        "torch": torch.get_rng_state(),
        "numpy": repr([part.tolist() if isinstance(part, np.ndarray) else part for part in _numpy_state()]),
        "python": repr(random.getstate()),
    }


@contextmanager
def global_generators_seeded(seed: int) -> Iterator[None]:
    """Known global generators inside; as before outside."""
    python, numpy = random.getstate(), _numpy_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _numpy_state() -> tuple[Any, ...]:
    return tuple(np.random.get_state(legacy=True))  # noqa: NPY002 - the global one is meant
