"""Shared by the tests of policies."""

from __future__ import annotations

import pytest
from torch import Generator, Tensor

from spaces import tables


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Records what is asked of `apply_mixed`, by name."""
    seen: dict[str, Tensor] = {}

    def record(operations: object, index: Tensor, x: Tensor, v: Tensor, generator: Generator) -> Tensor:
        seen.update(index=index, v=v)
        return x

    monkeypatch.setattr(tables, "apply_mixed", record)
    return seen
