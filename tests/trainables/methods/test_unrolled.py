"""The bilevel search: what it reads, when it steps, what remains of it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import Operation
from tests.support.toy_problems import signal_toy
from tracking.cost import Phase
from tracking.errors import UserError
from trainables import plugins
from trainables.contract_toy import toy_context
from trainables.contract_trace import run, steps, with_view
from trainables.method import Context, MethodConfig
from trainables.methods import fast_autoaugment, faster_autoaugment
from trainables.methods.unrolled import Config
from trainables.modules.density_recipe import Reference
from trainables.modules.learned_policy import Mixing
from trainables.modules.policy_method import PolicyMethod
from trainables.modules.tolerance_recipe import Judged
from trainables.problems.problem import Batch, Split
from trainables.problems.spec import ProblemSpec


class Recorder:
    """A view that keeps what was drawn."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self.drawn: list[tuple[tuple[Split, ...], Batch]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def draw(self, generator: torch.Generator, size: int, *splits: Split) -> Batch:
        batch: Batch = self._view.draw(generator, size, *splits)
        self.drawn.append((splits, batch))
        return batch


def long(horizon: int = 20) -> Context:
    return replace(toy_context(), horizon=horizon, slice_updates=5)


def test_outer_batches_are_fresh_held_out_and_twice_as_large() -> None:
    """The published faults: the same validation batch at every outer step; too small a one."""
    context = long()
    recorder = Recorder(context.problem)
    run(Config(batch_size=8, outer_warm_up=0.25, outer_interval=3), with_view(context, recorder))
    search = [(splits, batch) for splits, batch in recorder.drawn if len(splits) == 1]
    inner = [batch for splits, batch in search if splits == (Split.TRAIN,)]
    outer = [batch for splits, batch in search if splits == (Split.OUTER,)]
    assert len(inner) == 20
    assert len(outer) == 5, "at updates 5, 8, 11, 14 and 17"
    assert all(len(batch.x) == 16 for batch in outer)
    assert not any(torch.equal(a.x, b.x) for a, b in pairwise(outer))
    trained = [splits for splits, _ in recorder.drawn if len(splits) != 1]
    assert trained == [(Split.TRAIN, Split.OUTER)] * 20, "the training is on train + outer"


def test_phases_follow_each_other_and_only_the_training_is_ready() -> None:
    pieces = list(steps(Config(search_fraction=0.5).build(long())))
    assert [piece.phase for piece in pieces] == [Phase.SEARCH] * 2 + [Phase.TRAIN] * 4
    assert [piece.ready for piece in pieces] == [False] * 2 + [True] * 4


@pytest.mark.parametrize(("mixing", "branches"), [(Mixing.SAMPLED, 1), (Mixing.EXACT, 10)])
def test_gradient_evaluations_of_both_kinds_of_update(mixing: Mixing, branches: int) -> None:
    """An inner step B, one with an outer step 3 B + B_v; times the branches of exact mixing."""
    context = long(10)
    run(Config(batch_size=8, outer_warm_up=0.5, mixing=mixing), context)
    phases = context.meter.ledger().phases
    assert phases[Phase.SEARCH].examples == 5 * 8 * branches + 5 * (3 * 8 * branches + 16)
    assert phases[Phase.TRAIN].examples == 10 * 8


def test_the_searched_network_is_thrown_away() -> None:
    """After the search the weights are those plain training starts from, and the policy stays."""
    context = long(10)
    method = Config().build(context)
    assert isinstance(method, PolicyMethod)
    pieces = steps(method)
    next(pieces)
    next(pieces)
    x = context.problem.unlabelled(torch.Generator().manual_seed(0), 4)
    assert torch.equal(method.predict(x), context.build_network()(x))
    policy = method.found().policy
    for _ in pieces:
        pass
    assert method.found().policy == policy


def test_replay_trains_exactly_like_the_training_after_the_search() -> None:
    context = long(10)
    method = Config().build(context)
    rerun = [piece.metrics for piece in steps(method) if piece.ready]
    assert isinstance(method, PolicyMethod)
    replay = [piece.metrics for piece in steps(method.found().build(long(10)))]
    assert replay == rerun


def test_the_policy_moves_only_after_warm_up() -> None:
    still = Config(outer_warm_up=0.6).build(long(10))
    moved = Config(outer_warm_up=0.0).build(long(10))
    start = still.describe()  # type: ignore[attr-defined]
    still.step()
    moved.step()
    assert still.describe() == start  # type: ignore[attr-defined]
    assert moved.describe() != start  # type: ignore[attr-defined]


def test_a_validation_split_too_small_for_the_outer_loss_is_told_before_any_work(tmp_path: Path) -> None:
    """Digits of thirty a class have 75 in `outer`, of three 8; as many steps of 128 or of 64,000 read them."""
    network = plugins.network_builder("small_cnn")

    def fits(shots: int, **settings: int) -> None:
        wrappers = [{"name": "few_shot", "shots": shots}]
        spec = ProblemSpec.model_validate({"label": "digits", "source": {"name": "digits"}, "wrappers": wrappers})
        Config(**settings).fits(spec.build(0, 0, tmp_path).view(), network)  # type: ignore[arg-type]

    fits(30)
    with pytest.raises(UserError, match="needs 2 validation examples per class"):
        fits(3)
    with pytest.raises(UserError, match="20 times at most"):
        fits(30, outer_batch_ratio=1000)


@pytest.mark.parametrize(("config", "reads"), [
    (faster_autoaugment.Config(reference=Reference.OUTER), True), (faster_autoaugment.Config(), False),
    (fast_autoaugment.Config(judged=Judged.OUTER), True), (fast_autoaugment.Config(), False),
    (Config(), True),
], ids=["critic-outer", "critic-train", "judged-outer", "judged-fold", "unrolled"])
def test_whatever_reads_outer_alone_needs_two_examples_per_class_of_it(config: MethodConfig, reads: bool) -> None:
    """The toy has three classes: five examples are too few, seven are enough; where `train` is read too, or a policy is
    given, one will do."""
    network = plugins.network_builder("small_cnn")

    def fits(config: MethodConfig, size: int) -> None:
        class Small(Recorder):
            def size(self, split: Split) -> int:
                return size if split is Split.OUTER else int(self._view.size(split))

        config.fits(Small(toy_context().problem), network)  # type: ignore[arg-type]

    assert toy_context().problem.outputs == 3
    if not reads:
        fits(config, 1)
        return
    with pytest.raises(UserError, match="needs 2 validation examples per class"):
        fits(config, 5)
    fits(config, 7)
    turn = Policy(entries=(PolicyEntry(operation=Operation.ROTATION, weight=0.5),))
    fits(config.model_copy(update={"policy": turn}), 1)


@pytest.mark.parametrize("field", ["search_fraction", "learning_rate", "outer_learning_rate", "weight_decay"])
def test_no_setting_is_infinite(field: str) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Config.model_validate({field: math.inf})


def test_bad_input_is_told_in_the_users_words() -> None:
    with pytest.raises(UserError, match="unrolled needs images"):
        Config().build(with_view(toy_context(), signal_toy().view()))
    with pytest.raises(UserError, match="must fit the images"):
        Config(operations=(Operation.HUE,)).build(toy_context())
    with pytest.raises(ValidationError):
        Config(outer_batch_ratio=1)
