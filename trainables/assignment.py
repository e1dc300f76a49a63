"""What one trial has to do, as data that travels to a worker; and what it reports back."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tracking.record import Cause, Stage, Status
from trainables import plugins
from trainables.artefact import ArtefactSpec
from trainables.plugins import PluginFile
from trainables.problems.spec import ProblemSpec

PROBE_FRACTION = 0.1  # of the horizon: long enough for every kind of update to occur
FIRST_SEED = 1  # of a confirm stage; partition 0 is the tuning's


class Device(StrEnum):
    """Where tensors live; `auto` takes a GPU if the trial was given one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Protocol(BaseModel):
    """What is the same for all trials of a sweep: how to train, measure and keep state.

    Args:
        network: name of the network that all methods share.
        horizon: updates of one training.
        slices: reports per training, at most; one report is horizon / slices updates, rounded up.
        seed: fixes the data: test split, few-shot draw, planted nuisance.
        score_examples: size limit of the fixed select examples that a report is scored on.
        invariance_examples: size limit of the inputs that invariance is measured on.
        copies: C of test-time averaging.
        strengths: grid points per action and sign of the measured invariance.
        class_images, class_draws: of the divergence per class: test images of each, and draws of the nuisance for each.
        checkpoint_seconds: state is saved when this long has passed since the last time.
        hang_seconds: a slice that takes longer hangs, and ends its process.
        making_workers: processes that make an artefact together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    horizon: int
    slices: int
    seed: int
    device: Device = Device.AUTO
    score_examples: int = 1000
    invariance_examples: int = 200
    copies: int = 4
    strengths: int = 3
    class_images: int = 20
    class_draws: int = 10
    checkpoint_seconds: float = 10.0
    hang_seconds: float = 600.0
    making_workers: int = Field(default=1, ge=1)
    plugins: tuple[PluginFile, ...] = ()


class Job(BaseModel):
    """What everything that a worker does has in common.

    Args:
        place: checkpoints of this trial; a path or a URI.
        cache: data, once per node; None is the node's own place for it, see `cache_folder`.
        known: reports of this trial that the journal holds already; above 0 for a trial that is started again.
        store: of the artefacts; a path or a URI.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str
    stage: Stage
    protocol: Protocol
    place: str
    cache: Path | None = None
    known: int = 0
    store: str = ""

    @model_validator(mode="before")
    @classmethod
    def _plugins_first(cls, data: Any) -> Any:
        """A worker knows a user's problems only once his files are loaded."""
        if isinstance(data, dict) and isinstance(data.get("protocol"), dict):
            plugins.load_named(data["protocol"].get("plugins"))
        return data


class Assignment(Job):
    """One trial: which method with which settings, on which problem, from which seed.

    Args:
        row: the method's label in this comparison.
        settings: the method's full configuration, as JSON.
        index: number of the trial within its stage.
        fraction: of the horizon; below 1 for a probe.
        artefacts: what the method needs: name -> key in the store.
        exports: where files for people go, a path or a URI; empty for all trials but the first confirm one.
        generation, parent: of a trial that is bred; uid of the trial that it goes on from.
        inherited, bequest: where it finds that one's state, and where it leaves its own for others; or empty.
        data: the fingerprint of the problem's data as the sweep began; None where its journal does not tell.
    """

    problem: ProblemSpec
    row: str
    method: str
    settings: dict[str, Any]
    index: int
    seed: int
    partition: int
    fraction: float = 1.0
    artefacts: dict[str, str] = {}
    exports: str = ""
    generation: int | None = None
    parent: str | None = None
    inherited: str = ""
    bequest: str = ""
    data: str | None = None

    @property
    def horizon(self) -> int:
        """Updates of one training in this trial."""
        return max(1, round(self.protocol.horizon * self.fraction))

    @property
    def slice_updates(self) -> int:
        """Updates per report."""
        return min(self.horizon, -(-self.protocol.horizon // self.protocol.slices))


class Making(Job):
    """One artefact that is to be made and put into the store; of the protocol only what keeps it safe counts.

    Args:
        key: of the description, as the driver worked it out: files may have other times on other nodes.
    """

    stage: Stage = Stage.ARTEFACT
    spec: ArtefactSpec
    key: str


Assigned = Assignment | Making


def read_job(text: str) -> Assigned:
    """What a worker is sent, from its JSON."""
    making = json.loads(text)["stage"] == Stage.ARTEFACT
    return Making.model_validate_json(text) if making else Assignment.model_validate_json(text)


class Report(BaseModel):
    """One row of a trial.

    Args:
        index: 0-based number of the report within the trial.
        status: RUNNING, COMPLETE or FAILED.
        ready: whether the score may be judged.
        score: `val/score`, higher is better; None where there is none: a failed trial, the making of an artefact.
        flops: `cost/flops`, the logical cost so far.
        metrics: flat name -> number, ledger and curves included.
        found: the search-free configuration, in the last report of a method that has one.
        ledger: the full ledger, in the last report.
        reason: why it failed, with the end of the traceback.
        cause: what kind of failure it was.
        note: what a person should know although the trial went on, such as a damaged checkpoint.
        artefact: `key`, `sha256`, `size` in bytes and `ledger` of what is in the store, in the last report of a making.
        hardware: what it ran on, in the last report: seconds of unlike machines do not compare.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str
    index: int
    status: Status
    ready: bool
    score: float | None
    flops: int
    metrics: dict[str, float] = {}
    found: dict[str, Any] | None = None
    ledger: dict[str, Any] | None = None
    reason: str | None = None
    cause: Cause | None = None
    note: str | None = None
    artefact: dict[str, Any] | None = None
    hardware: str | None = None
