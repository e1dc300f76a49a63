"""Which sources and wrappers there are: the modules of this package with a `Config`, and a user's classes.

Names and summaries are read from the source text: listing them imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.errors import UserError, nearest

if TYPE_CHECKING:
    from trainables.problems.problem import ProblemConfig


class Part(StrEnum):
    """What a configuration describes; the value is the name of its base class."""

    SOURCE = "SourceConfig"
    WRAPPER = "WrapperConfig"


@dataclass(frozen=True, slots=True)
class Entry:
    """One house configuration: its name, the module that holds it, and the first line of its docstring."""

    name: str
    module: str
    part: Part
    summary: str


def names() -> tuple[str, ...]:
    """The sources of data that come with the package."""
    return tuple(name for name, entry in entries().items() if entry.part is Part.SOURCE)


def wrapper_names() -> tuple[str, ...]:
    """The wrappers that come with the package."""
    return tuple(name for name, entry in entries().items() if entry.part is Part.WRAPPER)


def config_class(
    name: str, part: Part = Part.SOURCE, extra: Mapping[str, type[ProblemConfig]] | None = None
) -> type[ProblemConfig]:
    """The configuration class of a source or wrapper.

    Looked for in this package, then in `extra`, then among the subclasses that this process has imported and
    that set `name`: importing a user's module is all it takes to make its classes known.

    Raises:
        UserError: no such name, or a user's class takes a name of the house.
    """
    own = {**_loaded(part), **(extra or {})}
    house = {key: entry for key, entry in entries().items() if entry.part is part}
    if name in house and name in own:
        where = own[name].__module__
        raise UserError(f"`{name}` is a name of the house", where, "give your class another `name`")
    if name in house:
        found: type[ProblemConfig] = import_module(house[name].module).Config
        return found
    if name in own:
        return own[name]
    noun = "source of data" if part is Part.SOURCE else "wrapper"
    raise UserError(f"`name` must be a known {noun}", name, nearest(name, {*house, *own}))


@cache
def entries() -> Mapping[str, Entry]:
    """All house configurations by name, sorted."""
    folder, package = Path(__file__).parent, __package__ or ""
    found = [
        entry
        for module in pkgutil.iter_modules([str(folder)])
        for entry in _declared((folder / f"{module.name}.py").read_text(), f"{package}.{module.name}")
    ]
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def _declared(text: str, module: str) -> Iterator[Entry]:
    """The `Config` class of a module, if it has one."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            base = next(base.id for base in node.bases if isinstance(base, ast.Name))
            yield Entry(_name(node), module, Part(base), (ast.get_docstring(node) or "").split("\n")[0])


def _name(node: ast.ClassDef) -> str:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "name":
            return str(ast.literal_eval(line.value)) if line.value else ""
    raise AssertionError(f"{node.name} must set `name: ClassVar[str]`")


def _loaded(part: Part) -> dict[str, type[ProblemConfig]]:
    """Imported subclasses outside this package that set `name` themselves."""
    from trainables.problems import dataset

    found: dict[str, type[ProblemConfig]] = {}
    waiting: list[type[ProblemConfig]] = [getattr(dataset, part.value)]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if isinstance(cls.__dict__.get("name"), str) and not cls.__module__.startswith(f"{__package__}."):
                found[cls.__dict__["name"]] = cls
    return found
