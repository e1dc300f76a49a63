"""Domains of single parameters, and the space of a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

Value = bool | int | float | str | None


class _Domain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Range(_Domain):
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"`low < high`, both finite, must hold, but got (low={self.low}, high={self.high})")
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"`high - low` must be finite, but got (low={self.low}, high={self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"a log domain needs `low > 0`, but got low={self.low}")
        return self

    def _to_unit(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def _from_unit(self, unit: float) -> float:
        if self.log:
            return math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        return self.low + unit * (self.high - self.low)


class Float(_Range):
    """Real numbers in [low, high], uniform or log-uniform."""

    type: Literal["float"] = "float"

    def contains(self, value: Value) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def encode(self, value: Value) -> float:
        assert isinstance(value, int | float)
        return self._to_unit(float(value))

    def decode(self, unit: float) -> float:
        return min(max(self._from_unit(unit), self.low), self.high)


class Int(_Range):
    """Integers in [low, high], both ends included."""

    type: Literal["int"] = "int"
    low: int
    high: int

    def contains(self, value: Value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def encode(self, value: Value) -> float:
        assert isinstance(value, int)
        return self._to_unit(float(value))

    def decode(self, unit: float) -> int:
        return min(max(round(self._from_unit(unit)), self.low), self.high)


class Choice(_Domain):
    """One of several unordered options."""

    type: Literal["choice"] = "choice"
    options: tuple[Value, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _equal_to_themselves(self) -> Self:
        if odd := [option for option in self.options if option != option]:
            raise ValueError(f"an option must be equal to itself, but got {odd[0]}")
        return self

    def contains(self, value: Value) -> bool:
        # 1, 1.0 and True are equal in Python but not the same option.
        return any(option == value and type(option) is type(value) for option in self.options)

    def encode(self, value: Value) -> float:
        index = next(i for i, o in enumerate(self.options) if o == value and type(o) is type(value))
        return (index + 0.5) / len(self.options)

    def decode(self, unit: float) -> Value:
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)]


Domain = Annotated[Float | Int | Choice, Field(discriminator="type")]
Point = dict[str, Value]


class Space(RootModel[dict[str, Domain]]):
    """Named domains; a point gives every name a value.

    The unit-cube encoding maps each parameter to [0, 1] (log domains in the logarithm, choices to the
    centre of their cell); `decode(encode(p)) == p` up to floating point.
    """

    model_config = ConfigDict(frozen=True)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.root)

    def contains(self, point: Mapping[str, Value]) -> bool:
        return set(point) == set(self.root) and all(d.contains(point[n]) for n, d in self.root.items())

    def encode(self, point: Mapping[str, Value]) -> list[float]:
        """Point -> [0, 1]^K, in the order of `names`."""
        if not self.contains(point):
            raise ValueError(f"the point must lie in the space, but got {dict(point)} for {self.root}")
        return [domain.encode(point[name]) for name, domain in self.root.items()]

    def decode(self, unit: list[float]) -> Point:
        """[0, 1]^K -> point."""
        if len(unit) != len(self.root) or not all(0.0 <= u <= 1.0 for u in unit):
            raise ValueError(f"need {len(self.root)} numbers in [0, 1], but got {unit}")
        return {name: domain.decode(u) for (name, domain), u in zip(self.root.items(), unit, strict=True)}

    def sample(self, generator: np.random.Generator) -> Point:
        """A point, uniform in the unit cube."""
        return self.decode([float(u) for u in generator.random(len(self.root))])
