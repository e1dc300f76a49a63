"""One file per method: its name is the method's name, its `Config` builds it. No registry to edit."""

from __future__ import annotations

import importlib
import pkgutil

from tracking.errors import UserError, nearest
from trainables.method import MethodConfig


def names() -> tuple[str, ...]:
    """The house methods; imports none of them."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def config_class(name: str) -> type[MethodConfig]:
    """The configuration class of a house method.

    Raises:
        UserError: there is no house method of that name; names the nearest.
    """
    if name not in names():
        raise UserError("there is no method of that name", name, nearest(name, names()))
    config: type[MethodConfig] = importlib.import_module(f"{__name__}.{name}").Config
    return config
