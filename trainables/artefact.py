"""Things that are trained once and used by many trials: their description, and the thing itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tracking.errors import UserError
from tracking.ledger import Ledger
from trainables import plugins
from trainables.maker import MakerConfig
from trainables.method import State
from trainables.problems.spec import ProblemSpec
from trainables.problems.validation import validated

FORMAT = 1  # of what the key is made from; part of every key
KEY_LENGTH = 32
SHORT = 12  # digits of a key that names and messages show


class ArtefactSpec(BaseModel):
    """What an artefact is made from; equal descriptions make equal artefacts.

    Args:
        maker: who makes it, by name.
        settings: of the maker; completed to its full configuration.
        source: the problem whose unlabelled inputs it learns from.
        data_seed: fixes the source's data: test split, few-shot draw, planted nuisance. Equal to the seed of the
            comparison that uses it, no test image of a task was ever seen.
        seed: of the maker's own random streams.

    Raises:
        UserError: (within pydantic's ValidationError) there is no such maker, or a setting is unknown or out of
            range; names the nearest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maker: str
    settings: dict[str, Any] = {}
    source: ProblemSpec
    data_seed: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Replace what was given by the full, validated settings: the record and the key say all."""
        object.__setattr__(self, "settings", self.config().model_dump(mode="json"))
        return self

    def config(self) -> MakerConfig:
        """The maker's configuration."""
        made = plugins.maker_config(self.maker)
        if not isinstance(getattr(made, "version", None), int):
            raise UserError("a maker must set `version: ClassVar[int]`", self.maker, "begin with 1")
        return validated(made, self.settings, self.maker)

    @property
    def label(self) -> str:
        """"amortised_extractor on digits"."""
        return f"{self.maker} on {self.source.label}"

    def key(self) -> str:
        """A hash over everything that what is made depends on, as 32 hexadecimal digits.

        Beside the fields: the maker's version, what identifies the source's files, and the minor version of torch.
        What the source is called, and where its files lie, do not count.
        """
        parts = [
            FORMAT, self.maker, plugins.maker_config(self.maker).version, self.settings, self.source.identity(),
            self.data_seed, self.seed, torch.__version__.split(".")[:2],
        ]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True)
class Artefact:
    """One thing that was made, and what it has cost.

    Args:
        key: of its description.
        ledger: of the making; a trial that uses the artefact does not carry it.
        read: gives the state; called once, when somebody first asks for it.
    """

    key: str
    spec: ArtefactSpec
    ledger: Ledger
    read: Callable[[], State] = field(repr=False, compare=False)

    @cached_property
    def state(self) -> State:
        """What the maker's `result` gave: tensors and plain values, on the device of the trial. Not to be changed."""
        return self.read()
