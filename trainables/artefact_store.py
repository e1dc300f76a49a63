"""Where artefacts are kept: one folder per key, on a local path or in an object store.

    ROOT/artefacts/KEY/artefact-DIGEST.pt   the state; its name is its content's, so it is never changed
    ROOT/artefacts/KEY/manifest.json        which file counts, written last and in one piece

So a reader sees a whole artefact or none, also while two sweeps make the same one.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from tracking.errors import UserError
from tracking.ledger import Ledger
from tracking.storage import Place
from trainables.artefact import Artefact, ArtefactSpec
from trainables.method import State

FOLDER = "artefacts"  # beside the sweeps; no sweep may have this name
MANIFEST = "manifest.json"
SCHEMA = 1


class ArtefactError(UserError):
    """An artefact is missing, partial or damaged; making it again replaces it."""


class DamagedError(ArtefactError):
    """There is one, but it is not what was written, or not all of it."""


class Manifest(BaseModel):
    """What is known of a stored artefact without reading it.

    Args:
        form: schema of the manifest.
        file: the state's name beside the manifest.
        sha256: of the file, in full; `size` in bytes.
        ledger: what the making has cost, as JSON.
        created_ms: since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    form: int = SCHEMA
    key: str
    spec: ArtefactSpec
    file: str
    sha256: str
    size: int
    ledger: dict[str, Any]
    provenance: dict[str, Any]
    created_ms: int

    def to_json(self) -> dict[str, Any]:
        fields = self.model_dump(mode="json")
        return {"schema": fields.pop("form"), **fields}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Raises ValueError, KeyError or TypeError where the data are not a manifest that this version reads."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"its form is {data['schema']}, this version reads {SCHEMA}")
        made = cls.model_validate({**data, "form": data["schema"]})
        Ledger.from_json(made.ledger)
        return made


@dataclass(frozen=True, slots=True)
class ArtefactStore:
    """Artefacts by key.

    Args:
        place: of the store; made with the first artefact.
    """

    place: Place

    @classmethod
    def beside(cls, sweep: Place) -> ArtefactStore:
        """The store that all sweeps of a root share."""
        return cls(sweep.parent / FOLDER)

    def of(self, key: str) -> Place:
        """Where one artefact is."""
        return self.place / key

    def check(self) -> None:
        """Raises UserError where nothing can be written here."""
        try:
            if self.place.local is not None:
                self.place.local.mkdir(parents=True, exist_ok=True)
            self.place.check()
        except UserError as error:
            raise UserError("the store of artefacts must be writable", error.got, error.hint) from None
        except OSError as error:
            raise UserError(
                "the store of artefacts must be writable", f"{self.place}: {error.strerror or error}",
                "give another --root",
            ) from None

    def manifest(self, key: str) -> Manifest:
        """What the store says about an artefact; its file is checked.

        Raises:
            ArtefactError: it is missing, partial or damaged.
            StorageError: the storage failed.
        """
        return self._read(key)[0]

    def load(self, key: str, device: torch.device | str = "cpu") -> Artefact:
        """The artefact; its bytes are checked now, its state is unpacked when somebody first asks for it.

        Args:
            device: where its tensors go.

        Raises:
            ArtefactError, StorageError: as `manifest`.
        """
        manifest, data = self._read(key)
        return Artefact(key, manifest.spec, Ledger.from_json(manifest.ledger), lambda: unpacked(data, device))

    def write(
        self, key: str, spec: ArtefactSpec, state: State, ledger: Ledger,
        provenance: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Keep an artefact, and say what is kept: a good one that is there already stays.

        Args:
            key: of the description, as whoever wants it worked it out.
            ledger: of the making.

        Raises:
            ValueError: the state is not made of tensors and plain values.
            StorageError: it could not be written; what was there stays as it was.
        """
        try:
            return self.manifest(key)
        except ArtefactError:
            pass
        data = packed(state)
        digest = sha256(data).hexdigest()
        manifest = Manifest(
            key=key, spec=spec, file=f"artefact-{digest[:16]}.pt", sha256=digest, size=len(data),
            ledger=ledger.to_json(), provenance=dict(provenance or {}), created_ms=time.time_ns() // 1_000_000,
        )
        place = self.of(key)
        place.write(manifest.file, data)
        place.write(MANIFEST, json.dumps(manifest.to_json(), indent=1).encode())
        return manifest

    def _read(self, key: str) -> tuple[Manifest, bytes]:
        place = self.of(key)
        try:
            manifest = Manifest.from_json(json.loads(place.read(MANIFEST)))
            if manifest.key != key:
                raise ValueError(f"it is that of {manifest.key}")
        except FileNotFoundError:
            raise ArtefactError(*_bad("complete", place, "there is no manifest, so it was never finished")) from None
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DamagedError(*_bad("undamaged", place, f"its manifest cannot be read: {said}")) from None
        try:
            data = place.read(manifest.file)
        except FileNotFoundError:
            raise DamagedError(*_bad("complete", place, f"{manifest.file} is missing")) from None
        if len(data) != manifest.size or sha256(data).hexdigest() != manifest.sha256:
            said = f"{manifest.file} is not what was written ({len(data)} bytes)"
            raise DamagedError(*_bad("undamaged", place, said))
        return manifest, data


def packed(state: State) -> bytes:
    """A state as bytes.

    Raises:
        ValueError: it does not load with `weights_only=True`.
    """
    buffer = BytesIO()
    torch.save(state, buffer)
    try:
        unpacked(buffer.getvalue(), "cpu")
    except (pickle.UnpicklingError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"an artefact is made of tensors and plain values, but got: {said}") from None
    return buffer.getvalue()


def unpacked(data: bytes, device: torch.device | str) -> State:
    """The inverse, with tensors on the device; nothing but tensors and plain values is unpickled."""
    state: State = torch.load(BytesIO(data), weights_only=True, map_location=device)
    return state


def _bad(what: str, place: Place, got: str) -> tuple[str, str, str]:
    """Rule, what was found and hint."""
    return f"an artefact must be {what}", f"{place}: {got}", "the next sweep that needs it makes it again"
