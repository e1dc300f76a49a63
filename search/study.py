"""The frozen, validated description of a comparison: problems x methods x seeds x budget."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, model_validator

from search import grid
from search.method_spec import MethodSpec
from search.settings import Asha, Frozen, Limits, Resources, Retries, SamplerName
from tracking.errors import UserError
from trainables import plugins
from trainables.artefact import ArtefactSpec
from trainables.artefact_store import FOLDER
from trainables.assignment import Device, Protocol
from trainables.evolving import EvolvingConfig
from trainables.plugins import PluginFile
from trainables.problems.spec import ProblemSpec

ARTEFACTS = FOLDER  # stands where a problem's label stands, for what studies share
# What the plain training that measures the budget is called, and what is made before it.
RESERVED_LABELS = ("unit", "budget-unit", ARTEFACTS)
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # labels become names of folders and of MLflow runs


class Comparison(Frozen):
    """What a sweep is to find out. One study per (problem, method); all get the same budget.

    Args:
        problems: labels unique; none where the sweep only makes artefacts.
        methods: keys unique; none where the sweep only makes artefacts.
        artefacts: what is made beside what the methods need, used or not.
        network: the network all methods share.
        horizon: updates of one training.
        slices: reports per training.
        budget: tuning budget of each study, in multiples of one plain training of its problem (see `unit`).
        max_trials: no study asks more than this many.
        confirm_seeds: S fresh seeds of the confirm stage.
        replay: whether what a search found is also trained from scratch, frozen.
        replay_trainings: of what each search found, with seeds of their own. From 2 on the report tells how much of the
            spread comes from what searches find, and how much from training.
        sampler: who proposes; the method's defaults are always the first trial. With `nsga_ii`, `motpe` and `mogp`
            there are two objectives, and `asha` is not used: a trial that was stopped has no cost of a whole training.
        startup_trials: ended trials before a sampler that learns begins to.
        sampler_window: trials that a sampler looks at (`gp`, `mogp`: half as many). Once there are so many, the best
            and the latest are kept (`nsga_ii`: the elite), so that a proposal at trial 10,000 takes no longer than at
            250. Of the trials in flight, the samplers with a model look at the latest: a quarter of a window.
        grid_points: of the sampler `grid`, values per numeric parameter, both ends included.
        parallel_trials: trials in flight per study. 1 makes every decision independent of timing. None (the default)
            is 1 as long as there are as many studies as slots, else as many as fill the slots.
        max_failures: a study that loses this many trials ends, with the reason.
        score_examples: size limit of the fixed select examples that every report is scored on.
        invariance_examples: size limit of the inputs that invariance is measured on.
        copies: C of test-time averaging, the same for every row.
        strengths: grid points per action and sign of the measured invariance.
        class_images, class_draws: of the divergence per class: test images of each, and draws of the nuisance for each.
        retries: how often a failed trial is started again, by the cause of the failure.
        hang_seconds: a trial that reports nothing for this long is taken to hang.
        limits: where the whole sweep stops, resumable.
        making_workers: processes of a trial that make an artefact together, on one node: one for each of its GPUs, or a
            share of its CPUs; the makers' groups must divide evenly.
        price_per_device_hour: what an hour of a GPU costs where trials ask for GPUs, else of a CPU; in any currency.
        warm_start: names or folders of earlier sweeps whose observations the samplers begin with.
    """

    problems: tuple[ProblemSpec, ...] = ()
    methods: tuple[MethodSpec, ...] = ()
    artefacts: tuple[ArtefactSpec, ...] = ()
    network: str = "small_cnn"
    horizon: int = Field(default=480, ge=1)
    slices: int = Field(default=12, ge=1)
    budget: float = Field(default=12.0, gt=0)
    max_trials: int = Field(default=100, ge=1)
    confirm_seeds: int = Field(default=3, ge=1)
    replay: bool = True
    replay_trainings: int = Field(default=1, ge=1)
    sampler: SamplerName = SamplerName.TPE
    startup_trials: int = Field(default=4, ge=1)
    sampler_window: int = Field(default=250, ge=50)
    grid_points: int = Field(default=3, ge=1)
    asha: Asha | None = Asha()
    parallel_trials: int | None = Field(default=None, ge=1)
    max_failures: int = Field(default=3, ge=1)
    retries: Retries = Retries()
    hang_seconds: float = Field(default=600.0, gt=0)
    limits: Limits = Limits()
    price_per_device_hour: float = Field(default=0.0, ge=0)
    warm_start: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0)
    device: Device = Device.AUTO
    resources: Resources = Resources()
    score_examples: int = Field(default=1000, ge=1)
    invariance_examples: int = Field(default=200, ge=1)
    copies: int = Field(default=4, ge=1)
    strengths: int = Field(default=3, ge=1)
    class_images: int = Field(default=20, ge=1)
    class_draws: int = Field(default=10, ge=1)
    checkpoint_seconds: float = Field(default=10.0, gt=0)
    making_workers: int = Field(default=1, ge=1)
    plugins: tuple[PluginFile, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _plugins_first(cls, data: Any) -> Any:
        """Names of a user's own methods and problems are known only once his files are loaded."""
        if isinstance(data, dict):
            plugins.load_named(data.get("plugins"))
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        plugins.network_builder(self.network)
        if not (self.problems and self.methods) and (self.problems or self.methods or not self.artefacts):
            raise UserError(
                "a comparison needs at least one problem and one method; one that only makes artefacts has neither",
                f"{len(self.problems)} problems, {len(self.methods)} methods, {len(self.artefacts)} artefacts",
                "fill `problems` and `methods`",
            )
        room = self.resources.gpus or self.resources.cpus
        if self.making_workers > max(1, room):
            raise UserError(
                "every process of a making needs a GPU of the trial's, or a CPU where it has none",
                f"making_workers: {self.making_workers}, {room:g} of them", "raise resources.gpus or resources.cpus",
            )
        if self.slices > self.horizon:
            raise UserError("a report needs at least one update: slices <= horizon",
                            f"slices={self.slices}, horizon={self.horizon}")
        for method in self.methods:
            config = method.config_class().model_validate(method.settings)
            if isinstance(config, EvolvingConfig) and config.generations > self.horizon:
                raise UserError(f"every generation of `{method.key}` needs an update: generations <= horizon",
                                f"generations={config.generations}, horizon={self.horizon}")
        if self.sampler is SamplerName.GRID:
            for method in self.methods:
                if (size := grid.size(method.space(), self.grid_points)) > grid.LARGEST:
                    raise UserError(f"a grid has at most {grid.LARGEST:,} points", f"{size:,} for `{method.key}`",
                                    "lower grid_points, fix fields in `settings`, or take quasi_random")
        for what, names in {"problem labels": [p.label for p in self.problems],
                            "method labels": [m.key for m in self.methods]}.items():
            odd = [name for name in names if not LABEL.fullmatch(name) or name in RESERVED_LABELS]
            if odd:
                rule = f"{what} are made of letters, digits, `.`, `_` and `-`, and not one of {RESERVED_LABELS}"
                raise UserError(rule, ", ".join(odd))
            double = sorted({name for name in names if names.count(name) > 1})
            if double:
                raise UserError(f"{what} must be unique", ", ".join(double), "set `label` on one of them")
        return self

    @property
    def replays(self) -> int:
        """Trainings of what each search found."""
        return self.replay_trainings if self.replay else 0

    def unit(self) -> dict[str, Any]:
        """Settings of the plain training that a budget is counted in: those of the row `plain`, where there is one.

        So a batch size that all rows have counts in the unit too. What makes that row another training than a plain one
        does not: a length, or an extractor that it would start from.
        """
        given = next((row.settings for row in self.methods if row.key == row.name == "plain"), {})
        fields = {name: value for name, value in given.items() if name not in ("pretrained", "length")}
        return plugins.method_config("plain").model_validate(fields).model_dump(mode="json")

    def protocol(self, network: str = "") -> Protocol:
        """What every trial of this comparison shares.

        Args:
            network: a row's own.
        """
        fields = Protocol.model_fields.keys() & type(self).model_fields.keys()
        shared = {name: getattr(self, name) for name in fields}
        return Protocol.model_validate({**shared, "network": network or self.network})


def parallel_for(slots: int, studies: int) -> int:
    """Trials in flight per study where the user left it open: as many as fill the slots.

    Args:
        slots: trials that fit on the machine or cluster at once.
        studies: (problem, method) pairs.

    Returns:
        1 as long as every slot can work on a study of its own, so that no decision depends on timing.
    """
    return 1 if slots <= studies or studies == 0 else -(-slots // studies)
