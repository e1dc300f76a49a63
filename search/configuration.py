"""From a recipe's name or a YAML file, plus dotted overrides, to a validated comparison."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from search import recipes
from search.method_spec import MethodSpec
from search.picking import picked
from search.study import Comparison
from tracking.errors import UserError, nearest
from tracking.journal import Event
from trainables.plugins import PluginFile, method_config
from trainables.problems.faults import advice, joined, said
from trainables.problems.validation import causes

# What may change when a sweep goes on: nothing that was decided so far depends on it.
CHANGEABLE = ("limits", "price_per_device_hour", "hang_seconds", "retries")


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers and booleans: `1e-5` is a number, `on` and `no` are words."""


_FLOAT, _BOOL = "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in (_FLOAT, _BOOL)]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load(source: str, overrides: Sequence[str] = (), modules: Sequence[Path] = ()) -> Comparison:
    """The comparison that the user means.

    Args:
        source: a recipe's name, or the path of a YAML file with the fields of `Comparison`.
        overrides: "dotted.key=value"; list elements by number (`problems.0.label=x`); values are YAML. Rows and
            problems of a recipe may be named (`methods=[plain, git]`), see `picking`.
        modules: the user's own plug-in files.

    Raises:
        UserError: an unknown recipe or field, a value out of its domain, a file that is not YAML.
    """
    return validate(fields(source, overrides, modules, recipes.get))


def fields(
    source: str, overrides: Sequence[str], modules: Sequence[Path], recipe: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """What the user gave, before it is validated.

    Args:
        recipe: the fields of a recipe by its name.
    """
    data = _from_file(Path(source)) if _looks_like_file(source) else recipe(source)
    data["plugins"] = [*(data.get("plugins") or []), *plugin_files(modules)]
    recipe_fields = deepcopy(data)
    data = picked(data, {})
    for override in overrides:
        _apply(data, override)
        data = picked(data, recipe_fields)  # at once, so that the next override finds what a word stands for
    return data


def overridden(
    comparison: Comparison, events: Sequence[Event], overrides: Sequence[str]
) -> tuple[Comparison, dict[str, Any]]:
    """The comparison as a resumed sweep goes on with it.

    Args:
        comparison: as it was frozen at the start.
        events: the journal; what earlier drivers were told stays told.
        overrides: "dotted.key=value" of fields that no decision made so far depends on.

    Returns:
        The comparison, and the overrides that are new, for this driver's `resumed` event.

    Raises:
        UserError: a field that may not change, or a value out of its domain.
    """
    fresh: dict[str, Any] = {}
    for override in overrides:
        key, value = _split(override)
        if key.split(".")[0] not in CHANGEABLE:
            raise UserError(
                "a sweep goes on with what it was begun with: its decisions so far depend on it", override,
                f"only these may change on the way: {', '.join(CHANGEABLE)}; for the rest launch a new sweep, "
                "with this one's observations by `--set warm_start=[NAME]`",
            )
        fresh[key] = value
    data = comparison.model_dump(mode="json")
    latest: Event = {"kind": "resumed", "overrides": fresh}
    for key, value in earlier_overrides([*events, latest]).items():
        _put(data, key, value, f"{key}={value}")
    return validate(data), fresh


def earlier_overrides(events: Iterable[Event]) -> dict[str, Any]:
    """What the drivers so far were told to change, dotted key -> value, the latest last."""
    found: dict[str, Any] = {}
    for event in events:
        if event["kind"] == "resumed":
            for key, value in (event.get("overrides") or {}).items():
                found.pop(key, None)  # the latest word comes last: `limits={}` takes back what stood below it
                found[key] = value
    return found


def plugin_files(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The users' files as a comparison remembers them."""
    return [PluginFile.of(path).model_dump(mode="json") for path in paths]


def validate(data: Mapping[str, Any]) -> Comparison:
    """Validated, or one UserError that lists every fault with its place."""
    return checked(lambda: Comparison.model_validate(data), Comparison, data)


def checked(make: Callable[[], Comparison], model: type[BaseModel], data: Mapping[str, Any]) -> Comparison:
    """What `make` returns, or one UserError that lists every fault with its place.

    Args:
        model: whose fields the user filled in.
        data: with what.
    """
    try:
        return make()
    except ValidationError as error:
        raise _friendly(error, model, data) from None


def parse(text: str) -> Any:
    """One YAML 1.2 value."""
    return yaml.load(text, Loader=_Loader)  # a SafeLoader: builds plain data only


def _looks_like_file(source: str) -> bool:
    return source.endswith((".yaml", ".yml")) or "/" in source


def _from_file(path: Path) -> dict[str, Any]:
    try:
        data = parse(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("the comparison's file must be readable text", f"{path}: {error}") from None
    except yaml.YAMLError as error:
        raise UserError("the comparison's file must be YAML", f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise UserError("a comparison's file holds `field: value` lines", path, "see `invsearch recipes --show smoke`")
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    key, value = _split(override)
    _put(data, key, value, override)


def _split(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UserError("--set takes dotted.key=value", override, "for example --set budget=6")
    try:
        return key, parse(text)
    except yaml.YAMLError as error:
        raise UserError("the value of --set must be YAML", f"{override}: {error}") from None


def _put(data: dict[str, Any], key: str, value: Any, override: str) -> None:
    *parents, last = key.split(".")
    place: Any = data
    for part in parents:
        place = _step(place, part, override)
    if isinstance(place, list):
        place[_number(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UserError("--set reaches into fields and lists only", override)


def _step(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_number(place, part, override)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise UserError("--set reaches into fields and lists only", override)


def _number(place: list[Any], part: str, override: str) -> int:
    if not part.isdecimal() or int(part) >= len(place):
        raise UserError(f"an element of a list is named by its number, 0 to {len(place) - 1}", override)
    return int(part)


def _friendly(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> UserError:
    """All faults in one message; a UserError raised inside a validator is passed on as it is."""
    faults, hints = [], []
    for fault in causes(error):
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, UserError):
            return inner
        place = ".".join(str(part) for part in fault["loc"])
        faults.append(f"{place} = {fault['input']!r}: {said(fault)}")
        if fault["type"] == "extra_forbidden":
            known = _fields(model, fault["loc"][:-1], data)
            close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0)
            hints.append(nearest(str(fault["loc"][-1]), known) if close else "")
        else:
            hints.append(advice(fault))
    return UserError("every field must be known and in its domain", "; ".join(faults), joined(hints))


def _fields(model: type[BaseModel], place: Sequence[int | str], data: Any) -> list[str]:
    """Names of the fields at a place of the model, as far as they are models themselves.

    Args:
        data: what was given for the model; faults in the `settings` of a row have the place of its method's fields.
    """
    for part in place:
        if isinstance(part, int):
            data = data[part] if isinstance(data, list) and part < len(data) else None
            continue
        if model is MethodSpec and part not in model.model_fields and isinstance(data, dict):
            model, data = method_config(str(data.get("name"))), data.get("settings")
        inner = _inner_model(model.model_fields[part].annotation) if part in model.model_fields else None
        if inner is None:
            return []
        model, data = inner, data.get(part) if isinstance(data, dict) else None
    return list(model.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None
