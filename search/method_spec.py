"""One row of a comparison: a method, what of it is fixed, and what is tried first."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from search.settings import Frozen, Limits
from spaces.domain import Point, Space
from tracking.errors import UserError, nearest
from trainables import plugins
from trainables.method import MethodConfig
from trainables.problems.problem import View


class MethodSpec(Frozen):
    """One row of the table.

    Args:
        settings: fields that are fixed rather than tuned.
        network: what this row trains, where it is not the comparison's: for questions about networks. The budget's unit
            stays a plain training of the comparison's.
        points: configurations to try after the defaults and before what the sampler proposes.
        limits: where the tuning of this row ends, beside the budget that all rows share.
    """

    name: str
    label: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    network: str = ""
    points: tuple[dict[str, Any], ...] = ()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _known(self) -> Self:
        config = plugins.method_config(self.name)
        for field in self.settings:
            if field not in config.model_fields:
                raise UserError(f"`{self.name}` has no such field", field, nearest(field, config.model_fields))
        config.model_validate(self.settings)
        if self.network:
            plugins.network_builder(self.network)
        space = self.space()
        for field, value in ((field, value) for point in self.points for field, value in point.items()):
            if field not in space.names:
                raise UserError(f"a point of `{self.name}` names tunable fields", field,
                                nearest(field, space.names) + self._why_not(field))
            if not space.root[field].contains(value):
                raise UserError(f"a point of `{self.name}` lies in the method's space", f"{field}={value!r}",
                                f"{field}: {space.root[field].model_dump(exclude={'type'})}")
        return self

    @property
    def key(self) -> str:
        """What the row is called."""
        return self.label or self.name

    def config_class(self) -> type[MethodConfig]:
        return plugins.method_config(self.name)

    def fits(self, problem: View, network: str) -> None:
        """Raises UserError where this row cannot run on the problem with its network, or the comparison's `network`."""
        try:
            config = self.config_class().model_validate(self.settings)
            config.fits(problem, plugins.network_builder(self.network or network))
        except UserError as error:
            raise UserError(f"row `{self.key}`: {error.rule}", error.got, error.hint) from None

    def space(self) -> Space:
        """The tunable fields that `settings` leaves free, and that something reads under them."""
        config = self.config_class()
        closed = self.settings.keys() | config.model_validate(self.settings).idle()
        return Space({name: domain for name, domain in config.space.root.items() if name not in closed})

    def _why_not(self, field: str) -> str:
        """Why a field of the method's space is not tuned here."""
        if field in self.settings:
            return "; `settings` fixes it"
        return "; nothing reads it under `settings`" if field in self.config_class().space.names else ""

    def defaults(self) -> Point:
        """The method's own values of the free fields."""
        config = self.config_class().model_validate(self.settings)
        return {name: getattr(config, name) for name in self.space().names}

    def first_points(self) -> list[Point]:
        """What is tried before the sampler is asked: the defaults, then the given points; gaps are defaults."""
        return [self.defaults(), *({**self.defaults(), **point} for point in self.points)]
