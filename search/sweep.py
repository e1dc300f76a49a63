"""A sweep in its storage: one folder with the frozen comparison, the journal, checkpoints and the report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import yaml
from pydantic import ValidationError

from search.study import Comparison
from search.sweep_name import NAME
from tracking import lease
from tracking.errors import StorageError, UserError, nearest
from tracking.journal import Event, JournalError, Loaded, load, read
from tracking.storage import Place
from trainables.artefact_store import FOLDER
from trainables.problems.store import CACHE_VARIABLE as CACHE_VARIABLE
from trainables.problems.store import cache_folder as cache_folder

ROOT_VARIABLE = "INVSEARCH_ROOT"
CONFIGURATION = Path("~/.config/invsearch/config.yaml")
STUDY = "comparison.json"
BEFORE_EVENTS = {STUDY, "journal.jsonl", lease.FILE}  # what a sweep writes before its first event
Observer = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Where one sweep lives."""

    place: Place

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def checkpoints(self) -> Place:
        """One folder per trial below it."""
        return self.place / "checkpoints"

    @property
    def report(self) -> Place:
        return self.place / "report"

    @property
    def exports(self) -> Place:
        """What the methods give people to take away, by problem and row."""
        return self.place / "exports"

    def comparison(self) -> Comparison:
        """The frozen description; see `described`."""
        return self.described()[0]

    def described(self) -> tuple[Comparison, str | None]:
        """The frozen description, as the sweep began with it; the journal's copy where the file is damaged.

        Returns:
            It, and what a person should know about where it came from.

        Raises:
            UserError: there is no sweep; both are damaged, or made by a version with other fields.
        """
        try:
            return _validated(self.place.read(STUDY)), None
        except (ValidationError, FileNotFoundError) as error:
            found = error
        self.required()
        first = next(iter(self.loaded().events), None)
        try:
            if first is not None and first["kind"] == "sweep":
                copy = _validated(json.dumps(first["comparison"]))
                return copy, f"{STUDY} is missing or damaged; the copy in the journal's first event is used"
        except ValidationError:
            pass
        raise UserError(
            "a sweep's comparison.json must be readable by this version", f"{self.place / STUDY}: {found}",
            "use the version of invsearch that made it",
        ) from None

    def events(self) -> list[Event]:
        """All events.

        Raises:
            JournalError: the journal is damaged.
        """
        return list(read(self.place)) if self._journaled() else []

    def loaded(self) -> Loaded:
        """The events up to the end or up to damage, and what the damage is.

        Raises:
            UserError: a later version wrote the journal.
        """
        try:
            return load(self.place) if self._journaled() else Loaded([], None)
        except JournalError as error:
            raise UserError(
                "a sweep must be readable by this version", error, "use the version of invsearch that made it"
            ) from None

    def exists(self) -> bool:
        """Whether there is a sweep in this place."""
        return self.place.exists(STUDY) or self._journaled()

    def required(self) -> Sweep:
        """Itself; raises UserError where there is no sweep in this place."""
        if self.exists():
            return self
        lacks = f"neither {STUDY} nor a journal is there" if self.place.exists() else "there is no such folder"
        raise UserError("the folder of a sweep must be given", f"{self.place}: {lacks}")

    def began(self) -> float | None:
        """When, in seconds since 1970: the description is written once; everything else changes later."""
        return self.place.modified(STUDY) or self.place.modified("journal.jsonl")

    def _journaled(self) -> bool:
        return self.place.exists("journal.jsonl" if self.place.local is not None else "journal")


def _validated(text: str | bytes) -> Comparison:
    try:
        return Comparison.model_validate_json(text)
    except ValidationError as error:
        inner = error.errors()[0].get("ctx", {}).get("error")
        if isinstance(inner, UserError):
            raise inner from None
        raise


def root(given: str | Path | None) -> Place:
    """Where sweeps live: `--root`, then INVSEARCH_ROOT, then the user's configuration file, then ./sweeps.

    Args:
        given: a path or a URI.

    Raises:
        UserError: the configuration file is damaged, or the URI is none.
    """
    if given is not None:
        return Place.of(given)
    return Place.of(os.environ.get(ROOT_VARIABLE) or _configured_root() or "sweeps")


def handle(place: Place) -> str:
    """What a command is to be given to find the sweep: its name where sweeps lie by default, else its address, quoted.

    So that a hint works as it stands, whatever `--root` the sweep was begun with.
    """
    with suppress(UserError):  # a damaged configuration file says nothing about where sweeps lie
        here = Place.of(place.name)  # where a command looks first
        if root(None) / place.name == place and (here == place or not Sweep(here).exists()):
            return place.name
    return quote(place.uri)


def _configured_root() -> str | None:
    file = CONFIGURATION.expanduser()
    if not file.is_file():
        return None
    try:
        configured = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError("the configuration file must be readable YAML", f"{file}: {error}") from None
    found = configured.get("root") if isinstance(configured, dict) else None
    if found is not None and not isinstance(found, str):
        raise UserError("`root` in the configuration file must be a path", f"{found!r} in {file}")
    return found


def check_new(place: Place, again: bool = False) -> None:
    """Raises UserError where a sweep of that name exists or its storage cannot be used.

    Args:
        again: a folder in which nothing was decided may be taken, see `unbegun`.
    """
    if place.name == FOLDER:
        raise UserError("a sweep needs another name than the store of artefacts beside it", place.name)
    place.parent.check()
    if place.exists() and not (again and unbegun(place)):
        raise _named_already(place)


def unbegun(place: Place) -> bool:
    """Whether nothing is there but what a driver leaves that was stopped before its first event."""
    if not BEFORE_EVENTS.issuperset(place.names()):
        return False
    found = Sweep(place).loaded()
    return not found.events and found.damage is None


def claim(place: Place, again: bool = False) -> Sweep:
    """Make the folder of a new sweep; of launches of one name at the same time one can.

    Where the storage cannot refuse a folder that is there, the journal's lease lets only one go on.

    Args:
        again: as in `check_new`.

    Raises:
        UserError: the name is taken, or the storage cannot be used.
    """
    check_new(place, again)
    try:
        if place.local is not None:
            place.local.mkdir(exist_ok=again)
    except FileExistsError:
        raise _named_already(place) from None
    except OSError as error:
        said = f"{place}: {error.strerror}"
        raise UserError("the sweep's folder must be writable", said, "give another --root") from None
    return Sweep(place)


def freeze(made: Sweep, comparison: Comparison, events: Sequence[Event] = ()) -> None:
    """Write the description of a sweep that was claimed; `events` are those that its journal's only writer finds.

    Raises:
        UserError: another launch has begun the sweep in the meantime, or the storage cannot be used.
    """
    if events:
        raise _named_already(made.place)
    try:
        made.place.write(STUDY, comparison.model_dump_json(indent=2).encode())
    except StorageError as error:
        raise UserError("the sweep's folder must be writable", error.got, "give another --root") from None


def create(place: Place, comparison: Comparison) -> Sweep:
    """A new sweep that no driver has begun.

    Raises:
        UserError: the name is taken, or the storage cannot be used.
    """
    made = claim(place)
    freeze(made, comparison)
    if place.local is not None:
        place.write("journal.jsonl", b"")
    return made


def _named_already(place: Place) -> UserError:
    return UserError(
        "a new sweep needs a name of its own", place,
        f"go on with it by `invsearch resume {handle(place)}`, or choose another --name",
    )


def sought(name: str, given: str | Path | None) -> Sweep:
    """The sweep that a command is told, with its `--root`; see `find`."""
    return find(name, root(given), given is not None)


def find(name: str, base: Place, chosen: bool = False) -> Sweep:
    """The sweep of that name, or in that folder, or at that URI.

    Args:
        chosen: the base was named by the user: a bare name is looked for there, and only then in the current folder.

    Raises:
        UserError: there is none; the nearest names are told.
    """
    candidates = [Place.of(name)] if "://" in name or base.local is not None else []
    if NAME.fullmatch(name):
        candidates.insert(0 if chosen else len(candidates), base / name)
    for place in candidates:
        with explained(place):
            if (made := Sweep(place)).exists():
                return made
    known = names(base)
    if not known and base.local is None:
        base.check()  # no bucket, or no way to it, looks like a place without sweeps
    raise UserError("there is no sweep of that name", f"{name} in {base}", nearest(name, known))


def names(base: Place) -> list[str]:
    """The sweeps below a root, oldest first."""
    with explained(base):
        found = [Sweep(base / name) for name in base.names()]
        began = [(sweep.began(), sweep) for sweep in found]
        known = [(time or 0.0, sweep.name) for time, sweep in began if time is not None or sweep.exists()]
    return [name for _, name in sorted(known)]


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Where no work is under way, a storage that fails is told with what is wrong with it and what to do."""
    try:
        yield
    except StorageError as error:
        if place.local is None:
            place.check()
        raise UserError(error.rule, error.got, error.hint) from None
