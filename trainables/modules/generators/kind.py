"""Which generator an artefact holds."""

from __future__ import annotations

from enum import StrEnum


class GeneratorKind(StrEnum):
    """As artefacts name it."""

    STYLE = "style"      # content and style by convolutions: local changes
    SPATIAL = "spatial"  # warps by which an image may have come about: global moves
