"""Descriptions of toy artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import toy_problems  # noqa: F401 - importing it makes its sources known
from trainables.artefact import ArtefactSpec
from trainables.plugins import PluginFile, load

MAKER = PluginFile.of(Path(__file__).with_name("toy_maker.py"))
SOURCE: dict[str, Any] = {"label": "toy", "source": {"name": "toy_images"}}


def spec(**changes: Any) -> ArtefactSpec:
    """A toy artefact; `changes` are fields, those of `settings` among them."""
    load([MAKER])
    fields: dict[str, Any] = {"maker": "toy_maker", "source": SOURCE}
    return ArtefactSpec.model_validate(fields | changes)
