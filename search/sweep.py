"""A sweep on disk: one folder with the frozen comparison, the journal, checkpoints and the report."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from pydantic import ValidationError

from search.study import Comparison
from tracking.errors import UserError, nearest
from tracking.journal import Event, Journal, read

ROOT_VARIABLE = "INVSEARCH_ROOT"
CACHE_VARIABLE = "INVSEARCH_CACHE"
CONFIGURATION = Path("~/.config/invsearch/config.yaml")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Observer = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Where one sweep lives."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def journal_path(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def study_path(self) -> Path:
        return self.folder / "comparison.json"

    @property
    def report_folder(self) -> Path:
        return self.folder / "report"

    def comparison(self) -> Comparison:
        """The frozen description, as the sweep began with it.

        Raises:
            UserError: the file is damaged, or made by a version with other fields.
        """
        try:
            return Comparison.model_validate_json(self.study_path.read_text())
        except ValidationError as error:
            inner = error.errors()[0].get("ctx", {}).get("error")
            if isinstance(inner, UserError):
                raise inner from None
            raise UserError(
                "a sweep's comparison.json must be readable by this version", f"{self.study_path}: {error}",
                "use the version of invsearch that made it",
            ) from None
        except OSError as error:
            raise UserError(
                "a sweep's comparison.json must be readable by this version", f"{self.study_path}: {error}",
                "use the version of invsearch that made it",
            ) from None

    def events(self) -> list[Event]:
        return list(read(self.journal_path))


def root(given: Path | None) -> Path:
    """Where sweeps live: `--root`, then INVSEARCH_ROOT, then the user's configuration file, then ./sweeps.

    Raises:
        UserError: the configuration file is damaged.
    """
    if given is not None:
        return given.expanduser().resolve()
    chosen = os.environ.get(ROOT_VARIABLE) or _configured_root() or "sweeps"
    return Path(chosen).expanduser().resolve()


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


def cache_folder() -> Path:
    """Where a node keeps prepared data: INVSEARCH_CACHE, else below the user's own cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/invsearch").expanduser().resolve()


def plain_name(text: str) -> str:
    """The text with everything that a name may not hold replaced."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-") or "sweep"


def fresh_name(prefix: str) -> str:
    """A name that tells when the sweep began."""
    return f"{prefix}-{datetime.now():%Y%m%d-%H%M%S}"


def check_new(folder: Path) -> None:
    """Raises UserError where a sweep of that name exists or its parent cannot be written."""
    if folder.exists():
        raise UserError(
            "a new sweep needs a name of its own", folder,
            f"go on with it by `invsearch resume {folder.name}`, or choose another --name",
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.parent):
            pass
    except OSError as error:
        raise UserError(
            "the storage must be writable", f"{folder.parent}: {error.strerror}", "give another --root"
        ) from None


def create(folder: Path, comparison: Comparison) -> Sweep:
    """Make the folder and freeze the description in it.

    Raises:
        UserError: the name is taken, or the storage cannot be written.
    """
    check_new(folder)
    try:
        folder.mkdir()
        sweep = Sweep(folder)
        sweep.study_path.write_text(comparison.model_dump_json(indent=2))
        sweep.journal_path.touch()
    except OSError as error:
        raise UserError(
            "the sweep's folder must be writable", f"{folder}: {error.strerror}", "give another --root"
        ) from None
    return sweep


def find(name: str, base: Path) -> Sweep:
    """The sweep of that name, or in that folder.

    Raises:
        UserError: there is none; the nearest names are told.
    """
    for folder in (Path(name).expanduser().resolve(), base / name):
        if (folder / "journal.jsonl").is_file():
            return Sweep(folder)
    raise UserError("there is no sweep of that name", f"{name} in {base}", nearest(name, names(base)))


def names(base: Path) -> list[str]:
    """The sweeps below a root, oldest first."""
    found = [Sweep(path.parent) for path in base.glob("*/journal.jsonl")]
    return [sweep.name for sweep in sorted(found, key=lambda s: (_began(s), s.name))]


def _began(sweep: Sweep) -> float:
    """The frozen description is written once; everything else in the folder changes later."""
    path = sweep.study_path if sweep.study_path.exists() else sweep.journal_path
    return path.stat().st_mtime


class Recorder:
    """Writes every event to the journal, then shows it to the observers; forgets checkpoints of ended trials."""

    def __init__(self, sweep: Sweep, journal: Journal) -> None:
        self._sweep, self._journal = sweep, journal
        self._observers: list[Observer] = []

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    def __call__(self, kind: str, **fields: object) -> Event:
        event = self._journal.append(kind, **fields)
        for observer in self._observers:
            observer(event)
        if kind == "ended":  # the journal has the outcome on disk: nothing will continue from the checkpoint
            shutil.rmtree(self._sweep.folder / "checkpoints" / str(fields["uid"]), ignore_errors=True)
        return event
