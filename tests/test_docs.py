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


def links(page: Path) -> list[str]:
    """Relative targets of the page's links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL))
    return [link for link in found if not link.startswith("http")]


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as they are made where the pages are read."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def dangling(page: Path) -> list[str]:
    """Links that lead nowhere."""
    missing = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    return missing


PAGES = [*DOCS.rglob("*.md"), DOCS.parent / "README.md", DOCS.parent / "benchmarks" / "results" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not dangling(page)


def test_a_dangling_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One head\n[a](page.md#one-head) [b](#another) [c](none.md) `[d](code.md)`\n")
    assert dangling(page) == ["#another", "none.md"]
