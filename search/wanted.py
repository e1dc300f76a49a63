"""Which artefacts a sweep makes, and which of its studies use which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from search.method_spec import MethodSpec
from search.study import Comparison
from tracking.errors import UserError
from tracking.journal import Event
from tracking.storage import Place
from trainables.artefact import ArtefactSpec
from trainables.artefact_store import ArtefactStore
from trainables.maker import pool_of
from trainables.problems.spec import ProblemSpec
from trainables.problems.store import cache_folder
from trainables.problems.validation import friendly

Study = tuple[str, str]  # label of the problem, key of the method


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that is to be made before something else; one artefact per key, however many studies use it.

    Args:
        specs: key -> description, in the order of the making.
        needs: study -> the name that the method gave -> key; studies that need nothing are left out.
    """

    specs: Mapping[str, ArtefactSpec] = field(default_factory=dict)
    needs: Mapping[Study, Mapping[str, str]] = field(default_factory=dict)

    def users(self, key: str) -> list[Study]:
        """The studies that cannot begin without it."""
        return [study for study, names in self.needs.items() if key in names.values()]

    def to_json(self) -> dict[str, Any]:
        """For the journal's first event; empty where nothing is wanted."""
        if not self.specs:
            return {}
        return {"artefacts": {
            "specs": {key: spec.model_dump(mode="json") for key, spec in self.specs.items()},
            "needs": {f"{problem}/{method}": dict(names) for (problem, method), names in self.needs.items()},
        }}


def wanted_of(comparison: Comparison) -> Wanted:
    """What the comparison itself lists, then what its methods need on its problems with their fixed settings.

    Raises:
        UserError: a method's `needs` fails, or describes what cannot be made.
    """
    specs = {spec.key(): spec for spec in comparison.artefacts}
    needs: dict[Study, dict[str, str]] = {}
    for problem in comparison.problems:
        for method in comparison.methods:
            for name, spec in _needs(method, problem, comparison.seed).items():
                key = spec.key()
                specs.setdefault(key, spec)
                needs.setdefault((problem.label, method.key), {})[name] = key
    return Wanted(specs, needs)


def recorded(events: Sequence[Event]) -> Wanted:
    """As the journal's first event tells; keys are not worked out again, so a sweep goes on with what it began with."""
    told: Mapping[str, Any] = (events[0].get("artefacts") or {}) if events else {}
    if not told:
        return Wanted()
    needs = {}
    for study, names in told["needs"].items():
        problem, _, method = study.partition("/")
        needs[problem, method] = dict(names)
    return Wanted({key: ArtefactSpec.model_validate(spec) for key, spec in told["specs"].items()}, needs)


def check_sources(wanted: Wanted, workers: int) -> None:
    """Build every source on this node, and ask its maker whether it can learn from it.

    Args:
        workers: processes that make an artefact together.

    Raises:
        UserError: its data are bad, it has no unlabelled inputs, or they are none for this maker; its work cannot be
            shared among so many.
    """
    for spec in wanted.specs.values():
        try:
            spec.config().share(workers)
        except UserError as error:
            raise UserError(error.rule, f"{error.got}; {spec.label}", error.hint) from None
        problem = spec.source.build(spec.data_seed, 0, cache_folder())
        spec.config().check(pool_of(problem, None, spec.source.label))


def check(wanted: Wanted, sweep: Place, workers: int) -> None:
    """Find what is wrong before anything starts: build every source, write to the store.

    Args:
        sweep: its place; the store lies beside it.
        workers: see `check_sources`.

    Raises:
        UserError: as `check_sources`, or the store cannot be written.
    """
    check_sources(wanted, workers)
    if wanted.specs:
        ArtefactStore.beside(sweep).check()


def _needs(method: MethodSpec, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
    config = method.config_class().model_validate(method.settings)
    try:
        return config.needs(problem, data_seed)
    except (UserError, ValidationError) as error:
        told = error if isinstance(error, UserError) else friendly(error, ArtefactSpec, method.key)
        raise UserError(told.rule, f"`{method.key}` on `{problem.label}`: {told.got}", told.hint) from error
    except Exception as error:
        said = str(error).strip() or "no message"
        raise UserError(
            "what a method needs must be known before a sweep begins",
            f"`{method.key}` on `{problem.label}`: {type(error).__name__}: {said}", "its `needs` decides that",
        ) from error
