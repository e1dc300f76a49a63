"""Turns what pydantic says about a user's fields into one message: rule, what was given, the nearest name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tracking.errors import UserError, nearest
from trainables.problems.faults import advice, joined, said

Model = TypeVar("Model", bound=BaseModel)


def validated(config: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """A configuration from a user's fields.

    Raises:
        UserError: all faults at once.
    """
    try:
        return config.model_validate(dict(values))
    except ValidationError as error:
        raise friendly(error, config, where) from None


def friendly(error: ValidationError, config: type[BaseModel], where: str) -> UserError:
    """One UserError for all faults of a ValidationError; a lone UserError inside it comes out as it is."""
    faults = causes(error)
    inner = [fault.get("ctx", {}).get("error") for fault in faults]
    if len(faults) == 1 and isinstance(inner[0], UserError):
        return inner[0]
    told = [_told(fault, raised, where) for fault, raised in zip(faults, inner, strict=True)]
    hints = [
        raised.hint if isinstance(raised, UserError) else
        nearest(str(fault["loc"][0]), config.model_fields) if fault["type"] == "extra_forbidden" else advice(fault)
        for fault, raised in zip(faults, inner, strict=True)
    ]
    return UserError(f"the fields of `{where}` must be valid", "; ".join(told), joined(hints))


def causes(error: ValidationError) -> list[Any]:
    """The faults without those that follow from one further in: a list whose only entry is refused is not empty."""
    faults = error.errors(include_url=False)
    places = [fault["loc"] for fault in faults]
    return [
        fault for fault, here in zip(faults, places, strict=True)
        if not any(len(other) > len(here) and other[: len(here)] == here for other in places)
    ]


def _told(fault: Any, raised: object, where: str) -> str:
    path = ".".join(str(part) for part in (where, *fault["loc"]))
    if isinstance(raised, UserError):
        return f"{path}: {raised.rule}, but got {raised.got}"
    if fault["type"] == "extra_forbidden":
        return f"`{path}` is no field"
    return f"`{path}`: {said(fault)}" + ("" if fault["type"] == "missing" else f", but got {fault['input']!r}")
