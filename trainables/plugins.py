"""Methods, makers of artefacts, problems and networks from a user's own file or from an entry point.

A plug-in is an ordinary module. What it offers is found by what it defines: subclasses of `MethodConfig`,
`MakerConfig`, `SourceConfig` or `WrapperConfig` that set `name`, and a mapping `NETWORKS` from names to builders.
There is no registry to edit; a house name cannot be replaced.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from spaces.domain import Space
from tracking.errors import UserError, nearest
from trainables import makers, methods
from trainables.maker import MakerConfig
from trainables.method import MethodConfig, NetworkBuilder
from trainables.modules import networks
from trainables.problems.dataset import SourceConfig, WrapperConfig
from trainables.problems.discovery import entries
from trainables.problems.part_code import PREFIX

ENTRY_POINTS = "invsearch"
Config = TypeVar("Config", MethodConfig, MakerConfig)
Offered = type[MethodConfig] | type[MakerConfig] | type[SourceConfig] | type[WrapperConfig]


class PluginFile(BaseModel):
    """A user's file as a sweep remembers it: a changed file is noticed, never silently mixed in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    digest: str

    @classmethod
    def of(cls, path: Path) -> PluginFile:
        """Raises UserError where there is no such file."""
        path = path.expanduser().resolve()
        if not path.is_file():
            raise UserError("a plug-in must be a Python file that exists", path, "give the path of the file")
        return cls(path=path, digest=sha256(path.read_bytes()).hexdigest())


def load(files: Sequence[PluginFile]) -> tuple[ModuleType, ...]:
    """Import the users' files into this process, once each.

    Raises:
        UserError: a file changed since the sweep began, cannot be imported, takes a house name, or a name that
            another file has taken.
    """
    return tuple(_load(file) for file in files)


def load_named(files: Any) -> None:
    """Load what a model's raw `plugins` field names, before the fields that need it are validated."""
    load([PluginFile.model_validate(file) for file in files or ()])


def method_config(name: str) -> type[MethodConfig]:
    """The configuration class of a method, house or user's; UserError with the nearest name."""
    if name in methods.names():
        return methods.config_class(name)
    own = _own(MethodConfig)
    if name not in own:
        raise UserError("there is no method of that name", name, nearest(name, method_names()))
    return own[name]


def method_names() -> tuple[str, ...]:
    return tuple(sorted({*methods.names(), *_own(MethodConfig)}))


def maker_config(name: str) -> type[MakerConfig]:
    """The configuration class of a maker, house or user's; UserError with the nearest name."""
    if name in makers.names():
        return makers.config_class(name)
    own = _own(MakerConfig)
    if name not in own:
        raise UserError("there is no maker of that name", name, nearest(name, {*makers.names(), *own}))
    return own[name]


def network_builder(name: str) -> NetworkBuilder:
    """The builder (shape, outputs) -> module of a network; UserError with the nearest name."""
    if name in networks.names():
        return networks.builder(name)
    own = _own_networks()
    if name not in own:
        raise UserError("there is no network of that name", name, nearest(name, {*networks.names(), *own}))
    return own[name]


def offered(module: ModuleType) -> dict[str, Offered]:
    """The methods, makers, sources and wrappers that a module defines, by name."""
    return {str(value.__dict__["name"]): value for value in _classes(module)}


def refuse_unsound(module: ModuleType, where: object) -> None:
    """What is offered can be told apart and tuned.

    Raises:
        UserError: two classes of one name, a network's name that is no text, a `space` that is none.
    """
    classes = _classes(module)
    names = [str(value.__dict__["name"]) for value in classes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError("a plug-in's classes have names of their own", f"{twice} in {where}", "rename one of them")
    if odd := [name for name in own_networks(module) if not isinstance(name, str)]:
        raise UserError("the names in `NETWORKS` are text", f"{odd} in {where}")
    for value in classes:
        if issubclass(value, MethodConfig):
            _refuse_bad_space(value, where)


def _refuse_bad_space(config: type[MethodConfig], where: object) -> None:
    named, space = f"`{config.__dict__['name']}` in {where}", getattr(config, "space", None)
    if not isinstance(space, Space):
        raise UserError(
            "a method's `space` is a Space", f"{type(space).__name__} of {named}",
            "space: ClassVar[Space] = Space({...}), empty where nothing is tuned",
        )
    if unknown := sorted(set(space.names) - set(config.model_fields)):
        raise UserError("a method's `space` names its fields", f"{', '.join(unknown)} of {named}",
                        nearest(unknown[0], config.model_fields))


def _classes(module: ModuleType) -> list[Offered]:
    """In the order of their definition; one that stands under two names of the module counts once."""
    return list(dict.fromkeys(
        value for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, MethodConfig | MakerConfig | SourceConfig | WrapperConfig)
        and value.__module__ == module.__name__
        and isinstance(value.__dict__.get("name"), str)
    ))


def modules() -> tuple[ModuleType, ...]:
    """The plug-ins of this process: loaded files, then installed entry points."""
    loaded = [module for name, module in sorted(sys.modules.items()) if name.startswith(PREFIX)]
    return (*loaded, *_installed())


def installed_code(names: Collection[str]) -> dict[str, str]:
    """Module -> digest of its package's Python files, of the installed plug-ins that offer one of these names."""
    used = [module for module in _installed() if not _all_names(module).isdisjoint(names)]
    return {module.__name__: digest for module in used if (digest := _package_digest(module)) is not None}


@cache  # what was imported stays what it was, whatever becomes of its files
def _package_digest(module: ModuleType) -> str | None:
    """By name and content; of a module alone its own file, and None where there is none."""
    package = sys.modules.get(module.__name__.partition(".")[0], module)
    folders = [Path(folder) for folder in getattr(package, "__path__", ())]
    found = [(path.relative_to(folder), path) for folder in folders for path in folder.rglob("*.py")]
    if not folders and getattr(module, "__file__", None):
        found = [(Path(), Path(str(module.__file__)))]
    digest = sha256()
    for name, path in sorted(found):
        digest.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16] if found else None


@cache
def _installed() -> tuple[ModuleType, ...]:
    found = []
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            found.append(importlib.import_module(entry.module))
        except (Exception, SystemExit) as error:
            raise UserError(
                "an installed plug-in must import without an error", f"{entry.module}: {type(error).__name__}: {error}",
                f"mend or uninstall the package with the entry point `{entry.name}`",
            ) from error
        refuse_unsound(found[-1], entry.module)
        _refuse_house_names(found[-1], entry.module)
    return tuple(found)


def _load(file: PluginFile) -> ModuleType:
    name = f"{PREFIX}{file.digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    if PluginFile.of(file.path).digest != file.digest:
        raise UserError("a plug-in may not change within a sweep", file.path, "start a new sweep with the new file")
    others = {names for module in modules() for names in _all_names(module)}
    module = _execute(name, file.path)
    try:
        refuse_unsound(module, file.path)
        _refuse_house_names(module, file.path)
        if twice := sorted(others & _all_names(module)):
            raise UserError(
                "two plug-ins may not offer the same name", f"{twice} in {file.path}",
                "rename one of them; another version of a file needs a new process",
            )
    except UserError:
        del sys.modules[name]
        raise
    return module


def _refuse_house_names(module: ModuleType, where: object) -> None:
    house = {*methods.names(), *makers.names(), *entries(), *networks.names()}
    if taken := sorted(house & _all_names(module)):
        rule = "a plug-in may not take the name of a house method, maker, problem or network"
        raise UserError(rule, f"{taken} in {where}")


def own_networks(module: ModuleType) -> dict[str, NetworkBuilder]:
    """The networks that a module declares in `NETWORKS`, by name."""
    declared = getattr(module, "NETWORKS", {})
    return dict(declared) if isinstance(declared, Mapping) else {}


def _all_names(module: ModuleType) -> set[str]:
    return {*offered(module), *own_networks(module)}


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("a plug-in must be a Python file", path, "its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves annotations through sys.modules while the classes are made
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script without a guard may exit, with 0
        del sys.modules[name]
        raise UserError(
            "a plug-in must import without an error", f"{path}: {type(error).__name__}: {error}"
        ) from error
    return module


def _own(base: type[Config]) -> dict[str, type[Config]]:
    """The users' subclasses of a base, by name."""
    return {
        name: value for module in modules() for name, value in offered(module).items() if issubclass(value, base)
    }


def _own_networks() -> dict[str, NetworkBuilder]:
    return {name: builder for module in modules() for name, builder in own_networks(module).items()}
