"""A plug-in for tests: methods that ask for what they must not see, or report what is not theirs to report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Generator, Tensor

from spaces.domain import Space
from tracking.cost import Phase
from trainables.method import Context, Role, Slice
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised
from trainables.problems.problem import Batch, Split


class _Cheat(RecipeConfig):
    """Trains honestly, and does the one thing in `step` or `predict` of `method`."""

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    method: ClassVar[type[Supervised]] = Supervised

    batch_size: int = 8

    def build(self, context: Context) -> Supervised:
        return self.method(context, self)


class _Before(Supervised):
    """Does something with the context, then an honest step."""

    def step(self) -> Slice:
        self.cheat(self._context)
        return super().step()

    def cheat(self, context: Context) -> Any:
        raise NotImplementedError


class DrawsSelect(_Cheat):
    name: ClassVar[str] = "draws_select"

    class method(_Before):
        def cheat(self, context: Context) -> Any:
            return context.problem.draw(context.generator(Role.SEARCH), 4, Split.SELECT)


class DrawsTest(_Cheat):
    name: ClassVar[str] = "draws_test"

    class method(_Before):
        def cheat(self, context: Context) -> Any:
            return context.problem.draw(context.generator(Role.SEARCH), 4, Split.TRAIN, Split.TEST)


class EpisodeOfTest(_Cheat):
    name: ClassVar[str] = "episode_of_test"

    class method(_Before):
        def cheat(self, context: Context) -> Any:
            return context.problem.episode(context.generator(Role.SEARCH), 1, 1, Split.TEST)


class SizeOfSelect(_Cheat):
    name: ClassVar[str] = "size_of_select"

    class method(_Before):
        def cheat(self, context: Context) -> Any:
            return context.problem.size(Split.SELECT)


class AsksTruth(_Cheat):
    name: ClassVar[str] = "asks_truth"

    class method(_Before):
        def cheat(self, context: Context) -> Any:
            return context.problem.truth  # type: ignore[attr-defined]  # the view has none: that is the test


class AsksExamples(_Cheat):
    name: ClassVar[str] = "asks_examples"

    class method(_Before):
        def cheat(self, context: Context) -> Any:
            return context.problem.examples(Split.TEST)  # type: ignore[attr-defined]  # as above


class _Reports(Supervised):
    """An honest step with metrics of its own."""

    metrics: ClassVar[Mapping[str, float]] = {}

    def step(self) -> Slice:
        piece = super().step()
        return Slice(self.metrics, piece.phase, piece.ready, piece.done)


class WritesScore(_Cheat):
    name: ClassVar[str] = "writes_score"

    class method(_Reports):
        metrics: ClassVar[Mapping[str, float]] = {"val/score": 1.0}


class WritesCost(_Cheat):
    name: ClassVar[str] = "writes_cost"

    class method(_Reports):
        metrics: ClassVar[Mapping[str, float]] = {"cost/flops": 0.0}


class WritesNan(_Cheat):
    name: ClassVar[str] = "writes_nan"

    class method(_Reports):
        metrics: ClassVar[Mapping[str, float]] = {"loss": float("nan")}


class WritesInfinity(_Cheat):
    name: ClassVar[str] = "writes_infinity"

    class method(_Reports):
        metrics: ClassVar[Mapping[str, float]] = {"loss": float("inf")}


class PredictsNan(_Cheat):
    """An argmax over NaN is a class like any other, so the accuracy alone would not show it."""

    name: ClassVar[str] = "predicts_nan"

    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x, support) * float("nan")


class LearnsNan(_Cheat):
    name: ClassVar[str] = "learns_nan"

    class method(Supervised):
        def describe(self) -> Mapping[str, float]:
            return {"rotation/width_deg": float("nan")}


class NamesTheWrongPhase(_Cheat):
    name: ClassVar[str] = "names_the_wrong_phase"

    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice(piece.metrics, Phase.SELECT, piece.ready, piece.done)


class HidesWork(_Cheat):
    """Books its updates as the harness's evaluation, which no budget pays for."""

    name: ClassVar[str] = "hides_work"

    class method(_Before):
        def cheat(self, context: Context) -> Any:
            x = context.problem.unlabelled(context.generator(Role.SEARCH), 4)
            with context.meter.unit("hidden", x.shape, phase=Phase.SELECT, examples=len(x)):
                return self.trunk.network(x)


class Replayed(_Cheat):
    """Honest; says what it found, describes itself and augments, so that every column occurs."""

    name: ClassVar[str] = "honest"

    class method(Supervised):
        def describe(self) -> Mapping[str, float]:
            return {"updates": float(self.trunk.cursor)}

        def sample(self, x: Tensor, generator: Generator) -> Tensor:
            return x.flip(-1)

        def found(self) -> RecipeConfig:
            return Replayed(learning_rate=0.05)
