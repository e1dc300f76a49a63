"""Configurations that differ from one in a single choice: every member of an enumeration, the other truth value."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel

from tracking.errors import UserError


def alternatives(config: BaseModel) -> Iterator[tuple[str, Any]]:
    """(what differs, the configuration), also of settings within settings; what is refused is left out."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            found: Iterator[tuple[str, Any]] = alternatives(value)
        else:
            found = ((str(other), other) for other in _others(field.annotation, value))
        for said, other in found:
            try:
                yield f"{name}.{said}", type(config).model_validate(config.model_dump() | {name: other})
            except (UserError, ValueError):
                continue


def _others(annotation: Any, value: Any) -> list[Any]:
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    every = [one for kind in kinds if issubclass(kind, Enum) for one in kind] + ([True, False] if bool in kinds else [])
    return [one for one in every if one != value]
