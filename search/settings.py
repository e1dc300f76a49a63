"""Parts of a comparison's description: sampling, stopping, limits, resources, retries."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class SamplerName(StrEnum):
    """Who proposes configurations."""

    TPE = "tpe"
    GP = "gp"
    CMA_ES = "cma_es"
    QUASI_RANDOM = "quasi_random"
    RANDOM = "random"
    GRID = "grid"
    NSGA_II = "nsga_ii"
    MOTPE = "motpe"
    MOGP = "mogp"

    @property
    def two_objectives(self) -> bool:
        """Whether it searches score and cost together."""
        return self in (SamplerName.NSGA_II, SamplerName.MOTPE, SamplerName.MOGP)


class Placement(StrEnum):
    """Which node of a cluster the next trial goes to."""

    PACK = "pack"      # the fullest one that has room
    SPREAD = "spread"  # the emptiest one


class Frozen(BaseModel):
    """Never changed once it is there; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Asha(Frozen):
    """Asynchronous successive halving on cost (Li et al. 2020), as `ray.tune.schedulers.ASHAScheduler` does it.

    Args:
        grace: first rung, as a fraction of the method's own full-horizon cost.
        reduction_factor: one in so many trials passes a rung.
    """

    grace: float = Field(default=1 / 9, gt=0, le=1)
    reduction_factor: float = Field(default=3.0, gt=1)


class Limits(Frozen):
    """What may be spent; None is no limit. Waste and evaluation count: they are paid for like anything else.

    Args:
        wall_seconds: of a sweep: time with a driver running; of a method: time that its trials ran, summed.
        flops: counted FLOPs.
        device_seconds: seconds that trials held a device (a GPU where they ask for one, else a CPU), times how many.
        money: device-hours times the comparison's `price_per_device_hour`.
        trials: of any stage.
    """

    wall_seconds: float | None = Field(default=None, gt=0)
    flops: float | None = Field(default=None, gt=0)
    device_seconds: float | None = Field(default=None, gt=0)
    money: float | None = Field(default=None, gt=0)
    trials: int | None = Field(default=None, ge=1)


class Resources(Frozen):
    """What one trial occupies while it runs.

    Args:
        gpus: may be a fraction: so many trials share a GPU.
        custom: other resources that the cluster's nodes declare.
    """

    cpus: float = Field(default=1.0, gt=0)
    gpus: float = Field(default=0.0, ge=0)
    custom: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    placement: Placement = Placement.PACK

    def asked(self) -> dict[str, float]:
        """By the names that Ray knows; what is 0 is not asked for."""
        amounts = {"CPU": self.cpus, "GPU": self.gpus, **self.custom}
        return {name: amount for name, amount in amounts.items() if amount > 0}


class Retries(Frozen):
    """How often a trial is started again, from its last checkpoint, without having come further in between.

    Args:
        raised: the method raised; on the same machine with the same seed it mostly raises again.
        not_finite: a score or a metric was NaN or infinite.
        hung: no report came for `hang_seconds`.
        died: its process or its node went.
        memory: it was killed for the memory it took.
    """

    raised: int = Field(default=0, ge=0)
    not_finite: int = Field(default=0, ge=0)
    hung: int = Field(default=1, ge=0)
    died: int = Field(default=2, ge=0)
    memory: int = Field(default=1, ge=0)
