"""One file per maker of artefacts: its name is the maker's name, its `Config` builds it. No registry to edit."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from tracking.errors import UserError, nearest

if TYPE_CHECKING:
    from trainables.maker import MakerConfig


def names() -> tuple[str, ...]:
    """The house makers; imports none of them."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def config_class(name: str) -> type[MakerConfig]:
    """The configuration class of a house maker.

    Raises:
        UserError: there is no house maker of that name; names the nearest.
    """
    if name not in names():
        raise UserError("there is no maker of that name", name, nearest(name, names()))
    config: type[MakerConfig] = importlib.import_module(f"{__name__}.{name}").Config
    return config
