"""Toy artefacts: descriptions, and the making of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import toy_problems  # noqa: F401 - importing it makes its sources known
from tests.support.trials import OF_PROTOCOL, PROTOCOL
from trainables.artefact import ArtefactSpec
from trainables.assignment import Making
from trainables.plugins import PluginFile, load

MAKER = PluginFile.of(Path(__file__).with_name("toy_maker.py"))
SOURCE: dict[str, Any] = {"label": "toy", "source": {"name": "toy_images"}}


def spec(**changes: Any) -> ArtefactSpec:
    """A toy artefact; `changes` are fields, those of `settings` among them."""
    load([MAKER])
    fields: dict[str, Any] = {"maker": "toy_maker", "source": SOURCE}
    return ArtefactSpec.model_validate(fields | changes)


def making(tmp_path: Path, made: ArtefactSpec | None = None, **changes: Any) -> Making:
    """The making of a toy artefact; `changes` are fields, or some of its protocol's."""
    protocol = PROTOCOL | {"plugins": [MAKER.model_dump(mode="json")]}
    protocol |= {name: changes.pop(name) for name in OF_PROTOCOL if name in changes}
    described = made or spec()
    fields: dict[str, Any] = {
        "uid": "artefacts/toy", "spec": described.model_dump(mode="json"), "key": described.key(), "protocol": protocol,
        "place": str(tmp_path / "checkpoints"), "cache": tmp_path / "cache", "store": str(tmp_path / "artefacts"),
    }
    return Making.model_validate(fields | changes)
