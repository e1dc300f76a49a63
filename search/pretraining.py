"""`invsearch pretrain`: one artefact, made by a sweep that makes nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search import configuration, pretrain_recipes
from search.settings import Limits, Resources, Retries
from search.study import Comparison
from trainables import plugins
from trainables.artefact import ArtefactSpec
from trainables.assignment import Device
from trainables.plugins import PluginFile
from trainables.problems.spec import ProblemSpec


class Pretraining(BaseModel):
    """What is to be made, and how it is run; the second does not change what is made.

    Args:
        maker: by name.
        settings: of the maker; what is left out has its default.
        source: the problem whose unlabelled inputs it learns from; or its bare source, such as `name: digits`.
        seed: of the maker's own random streams.
        data_seed: fixes the source's data; a comparison with this seed uses what is made here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maker: str
    settings: dict[str, Any] = {}
    source: ProblemSpec
    seed: int = Field(default=0, ge=0)
    data_seed: int = Field(default=0, ge=0)
    device: Device = Device.AUTO
    resources: Resources = Resources()
    retries: Retries = Retries()
    hang_seconds: float = Field(default=600.0, gt=0)
    checkpoint_seconds: float = Field(default=10.0, gt=0)
    making_workers: int = Field(default=1, ge=1)
    limits: Limits = Limits()
    price_per_device_hour: float = Field(default=0.0, ge=0)
    plugins: tuple[PluginFile, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _plugins_first(cls, data: Any) -> Any:
        """As in `Comparison`; and a bare source becomes a problem that is called as it is."""
        if isinstance(data, dict):
            plugins.load_named(data.get("plugins"))
            source = data.get("source")
            if isinstance(source, dict) and "name" in source:
                label = str(source.get("dataset", source["name"]))
                return {**data, "source": {"label": label, "source": source}}
        return data

    def spec(self) -> ArtefactSpec:
        return ArtefactSpec(
            maker=self.maker, settings=self.settings, source=self.source, data_seed=self.data_seed, seed=self.seed
        )

    def comparison(self) -> Comparison:
        """A sweep that makes this artefact only."""
        own = {"maker", "settings", "source", "seed", "data_seed"}
        shared = {name: getattr(self, name) for name in type(self).model_fields if name not in own}
        return Comparison(artefacts=(self.spec(),), seed=self.data_seed, **shared)


def load(source: str, overrides: Sequence[str] = (), modules: Sequence[Path] = ()) -> Comparison:
    """The sweep that the user means.

    Args:
        source: a recipe's name, or the path of a YAML file with the fields of `Pretraining`.
        overrides: "dotted.key=value".
        modules: the user's own plug-in files.

    Raises:
        UserError: as `configuration.load`.
    """
    data = configuration.fields(source, overrides, modules, pretrain_recipes.get)
    return configuration.checked(lambda: Pretraining.model_validate(data).comparison(), Pretraining, data)
