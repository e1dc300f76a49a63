"""Which kind of tuning a method gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.evolved import Evolved
from search.method_spec import MethodSpec
from search.sampled import Sampled
from search.study import Comparison
from search.tuning import Tuning
from trainables.evolving import EvolvingConfig


def tuning_of(
    comparison: Comparison, problem: str, method: MethodSpec, unit_flops: int, full_flops: int,
    warm: Sequence[Mapping[str, Any]] = (),
) -> Tuning:
    """See `Sampled` for the arguments."""
    config = method.config_class().model_validate(method.settings)
    if isinstance(config, EvolvingConfig) and not config.given:
        return Evolved(comparison, problem, method, unit_flops, full_flops)
    return Sampled(comparison, problem, method, unit_flops, full_flops, warm)
