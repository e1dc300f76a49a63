"""The Python in the documents runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


def test_a_training_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    code, by_input = blocks("augmentation.md")
    names: dict[str, Any] = {}
    exec(code, names)
    shown = capsys.readouterr().out
    assert re.search(r"rotation: -\d.* to \d.* deg", shown)
    assert len(shown.splitlines()) == 11
    exec(by_input, names)
    layer = names["model"].augmentation
    assert all(parameter.grad is None for parameter in layer.layer.parameters()), "caps are not learned"
    start = type(layer)(layer.layer, layer.shape).mean
    assert not torch.equal(layer.mean, start), "what `learned` says follows the inputs"
