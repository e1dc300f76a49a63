"""Recipes by name: the functions of a module, each without arguments, each returning plain fields."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tracking.errors import UserError, nearest

Recipe = Callable[[], dict[str, Any]]
NO_RECIPES = ("names", "get")


def book(module: str) -> dict[str, Recipe]:
    """The public functions that a module defines itself, but for those that look things up."""
    found = inspect.getmembers(sys.modules[module], inspect.isfunction)
    return {
        name: function for name, function in found
        if function.__module__ == module and not name.startswith("_") and name not in NO_RECIPES
    }


def lines(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """Recipe -> its one line."""
    return {name: (inspect.getdoc(recipe) or "").splitlines()[0] for name, recipe in recipes.items()}


def chosen(recipes: Mapping[str, Recipe], name: str) -> dict[str, Any]:
    """The fields of a recipe; UserError with the nearest name."""
    if name not in recipes:
        raise UserError("there is no recipe of that name", name, nearest(name, recipes) + "; a file ends in .yaml")
    return recipes[name]()
