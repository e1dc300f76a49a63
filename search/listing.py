"""What there is: methods, problems and recipes, one line each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from search import pretrain_recipes
from search import recipes as all_recipes
from search.printing import print_json


def methods(modules: Sequence[Path], as_json: bool = False) -> None:
    from trainables import plugins

    plugins.load([plugins.PluginFile.of(path) for path in modules])
    lines = {name: _summary(plugins.method_config(name)) for name in plugins.method_names()}
    _print("method", lines, as_json)


def problems(modules: Sequence[Path], as_json: bool = False) -> None:
    from trainables.problems.discovery import Part, entries

    house = {f"{entry.name} ({_noun(entry.part is Part.SOURCE)})": entry.summary for entry in entries().values()}
    own: dict[str, str] = {}
    if modules:
        from trainables import plugins
        from trainables.problems.dataset import SourceConfig, WrapperConfig

        for module in plugins.load([plugins.PluginFile.of(path) for path in modules]):
            own |= {
                f"{name} ({_noun(issubclass(value, SourceConfig))})": _summary(value)
                for name, value in plugins.offered(module).items()
                if issubclass(value, SourceConfig | WrapperConfig)
            }
    _print("problem", {**house, **own}, as_json)


def recipes(show: str | None, as_json: bool = False, pretrain: bool = False) -> None:
    book = pretrain_recipes if pretrain else all_recipes
    if show is None:
        _print("recipe", book.names(), as_json)
    elif as_json:
        print_json(book.get(show))
    else:
        print(yaml.safe_dump(book.get(show), sort_keys=False), end="")


def _noun(source: bool) -> str:
    return "source" if source else "wrapper"


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n")[0]


def _print(what: str, lines: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        print_json({f"{what}s": dict(lines)})
        return
    table = Table(box=None, pad_edge=False)
    table.add_column(what)
    table.add_column("")
    for name, line in lines.items():
        table.add_row(name, line)
    Console().print(table)
