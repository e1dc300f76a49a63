"""Rows and problems of a recipe by their labels: `methods=[drs, git]` keeps these two as the recipe describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from tracking.errors import UserError, nearest


def picked(data: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with every word among `methods` and `problems` replaced by what it stands for.

    A word among the methods that is no row of the recipe is a method at its defaults, unless the recipe's rows of that
    method have labels of their own: then one of those is meant, or all is to be said.

    Args:
        data: as the user changed it.
        recipe: as it was.

    Raises:
        UserError: a problem that the recipe does not have; a method that its rows call by other labels.
    """
    return {
        **data,
        **{field: [_entry(word, field, _labelled(recipe.get(field))) for word in data[field]]
           for field in ("methods", "problems") if isinstance(data.get(field), list)},
    }


def _entry(word: Any, field: str, known: Mapping[str, Any]) -> Any:
    if not isinstance(word, str):
        return word
    if word in known:
        return deepcopy(known[word])
    rows = [label for label, entry in known.items() if entry.get("name") == word]
    if field == "methods" and rows:
        raise UserError("rows of a recipe are named by their labels", word,
                        f"{', '.join(rows)}; or `{{name: {word}}}` for the method at its defaults")
    if field == "methods":
        return {"name": word}
    raise UserError("a problem that is named must be one of the recipe's", word, nearest(word, known) if known else "")


def _labelled(entries: Sequence[Any] | None) -> dict[str, Any]:
    """Label, or name where there is none -> entry."""
    found = [entry for entry in entries or () if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(entry.get("label") or entry.get("name")): entry for entry in found}
