"""Fast AutoAugment's parts: folds, rewards, and arms put together; the whole is under test_planted_rotation.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import Operation
from tests.support.toy_problems import regression_toy
from tracking.cost import Phase
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.method import Context, StateMismatchError, Warns
from trainables.methods import fast_autoaugment
from trainables.modules.folds import shuffled_folds
from trainables.modules.tolerance_recipe import Judged, Reward
from trainables.modules.tolerance_search import ToleranceSearch, together
from trainables.problems.problem import LEARNABLE, Batch, Split

OPERATIONS = (Operation.ROTATION, Operation.FLIP_HORIZONTAL)


def search(context: Context | None = None, **settings: Any) -> ToleranceSearch:
    config = fast_autoaugment.Config(**{"candidates_per_update": 1.5, "kept": 1, **settings})
    return ToleranceSearch(context or replace(toy_context(), horizon=4), config, OPERATIONS, 4)


def numbered(labels: list[int]) -> Batch:
    return Batch(torch.arange(len(labels), dtype=torch.float32)[:, None], torch.tensor(labels))


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_folds_have_no_common_example_lose_none_and_cut_every_class_alike(share: float) -> None:
    examples = numbered([0] * 30 + [1] * 20 + [2] * 10)
    folds = shuffled_folds(toy_context().problem, examples, 3, share, Generator().manual_seed(0))
    for fold in folds:
        both = torch.cat((fold.learned.x, fold.judged.x)).flatten()
        assert sorted(both.tolist()) == list(range(60))
        assert torch.equal(fold.judged.y.bincount(), (torch.tensor([30, 20, 10]) * share).long())
        assert torch.equal(examples.y[fold.judged.x[:, 0].long()], fold.judged.y)
    assert not torch.equal(folds[0].judged.x, folds[1].judged.x), "drawn anew"


def test_a_fold_with_an_empty_part_is_refused() -> None:
    with pytest.raises(UserError, match="2 labelled examples of which 0"):
        shuffled_folds(toy_context().problem, numbered([0, 1]), 1, 0.4, Generator().manual_seed(0))


def sums(batch: Batch) -> list[float]:
    """One number per image, in no order."""
    return sorted(batch.x.double().flatten(1).sum(1).tolist())


def test_what_is_judged_is_a_part_of_both_splits_or_outer() -> None:
    context = toy_context()
    outer = search(context, judged=Judged.OUTER, judged_images=10_000)._folds
    for part, split in ((outer[0].learned, Split.TRAIN), (outer[0].judged, Split.OUTER)):
        assert sums(part) == sums(context.problem.labelled(split))
    fold = search(context, judged_images=10_000)._folds[0]
    total = len(context.problem.labelled(*LEARNABLE).y)
    assert len(fold.judged.y) + len(fold.learned.y) == total
    assert len(search(context, judged_images=7)._folds[0].judged.y) == 7


@pytest.mark.parametrize(("reward", "expected"), [(Reward.MEAN, 0.5), (Reward.ANY, 1.0)])
def test_rewards_against_a_network_that_knows_half_of_the_copies(
    reward: Reward, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 4 copies of every image the second and the fourth are told right: mean .5, any 1."""
    made = search(reward=reward, copies=4, judged_images=6)
    y = made._folds[0].judged.y

    def predict(x: Tensor) -> Tensor:
        right = torch.nn.functional.one_hot(y.repeat_interleave(4), made._context.problem.outputs).float()
        knows = (torch.arange(len(x)) % 2 == 1)[:, None]
        return torch.where(knows, right, right.roll(1, dims=1))

    monkeypatch.setattr(made._trunk, "predict", predict)
    monkeypatch.setattr(made, "_candidate", lambda point: policy(0.5))
    assert made._worth({}) == pytest.approx(expected)


def policy(*magnitudes: float, operation: Operation = Operation.ROTATION) -> Policy:
    share = 0.8 / len(magnitudes)
    return Policy(entries=tuple(PolicyEntry(operation=operation, weight=share, magnitude=m) for m in magnitudes))


def test_policies_put_together_are_a_mixture_of_them() -> None:
    found = together([policy(0.5), policy(0.5, 0.25), policy(1.0, operation=Operation.FLIP_HORIZONTAL)])
    weights = {(entry.operation, entry.magnitude): entry.weight for entry in found}
    assert weights == pytest.approx({
        (Operation.ROTATION, 0.5): 0.4, (Operation.ROTATION, 0.25): 0.4 / 3, (Operation.FLIP_HORIZONTAL, 1.0): 0.8 / 3,
    })


def test_every_network_and_every_candidate_has_its_turn() -> None:
    made, kinds = search(folds=2), []
    while made.left:
        before = made._trunk.cursor, made._fold
        made.update()
        kinds.append((made._fold, "learn" if (made._trunk.cursor, made._fold) != before else "judge"))
    assert kinds == [(fold, kind) for fold in (0, 1) for kind in ["learn"] * 2 + ["judge"] * 3]
    assert sum(entry.weight for entry in made.policy().entries) <= 1 + 1e-6


def test_the_policy_is_made_of_the_best_of_every_fold_which_propose_apart() -> None:
    made = search(folds=2)
    while made.left:
        made.update()
    first, second = (parzen.best(3) for parzen in made._parzen)
    assert first != second, "each fold has proposals of its own"
    found = {(e.operation, e.magnitude) for e in made.policy().entries}
    for best in (first[0], second[0]):
        assert {(e.operation, e.magnitude) for e in made._candidate(best).entries} <= found


def test_a_candidate_is_charged_as_forward_passes() -> None:
    """Three of them are one gradient evaluation."""
    made = search(copies=4, judged_images=6)
    for _ in range(4):
        made.update()
    before = made._context.meter.ledger().phases[Phase.SEARCH].examples
    made.update()
    assert made._context.meter.ledger().phases[Phase.SEARCH].examples - before == 8


@pytest.mark.parametrize(("horizon", "settings", "said"), [
    (24, {}, ["all 10 candidates of a fold are kept (kept = 10)"]),
    (40, {"kept": 16}, ["all 16 candidates"]),
    (40, {"search_fraction": 0.5}, ["all 8 candidates of a fold are kept"]),
    (24, {"kept": 2}, ["the 10 candidates of a fold are all of TPE's random start"]),
    (40, {}, []),
    (28, {"kept": 2}, []),
], ids=lambda value: str(value))
def test_a_search_whose_reward_chooses_nothing_says_so(
    horizon: int, settings: dict[str, Any], said: list[str]
) -> None:
    """Two folds of horizon / 2 updates each, .8 candidates an update; TPE draws ten at random before it proposes."""
    method = fast_autoaugment.Config(**settings).build(replace(toy_context(), horizon=horizon))
    assert isinstance(method, Warns)
    told = method.warnings()
    assert len(told) == len(said)
    assert all(one.startswith(start) for one, start in zip(told, said, strict=True))


def test_what_is_said_of_a_short_search_is_true_of_it() -> None:
    """Where all candidates are kept the policy is the same whatever they are worth; where one is, it is not."""
    found = {}
    for kept in (10, 1):
        policies = []
        for worth in (1.0, -1.0):
            made = search(replace(toy_context(), horizon=4), kept=kept, folds=1, candidates_per_update=1.0)
            made._worth = lambda point, worth=worth: worth * float(point["0/range"])  # type: ignore[assignment, misc]
            while made.left:
                made.update()
            entries = made.policy().entries
            policies.append({(e.operation, e.magnitude): pytest.approx(e.weight) for e in entries})
        found[kept] = policies[0] == policies[1]
    assert found == {10: True, 1: False}


def test_regression_is_rewarded_by_its_loss() -> None:
    made = search()
    made._context = replace(made._context, problem=regression_toy().view())
    y = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    near, far = made._right(torch.tensor([[0.1, 0.0], [2.0, 0.0]]), y)
    assert near > far and float(far) == pytest.approx(-0.25)  # an eighth of (2^2 + 0) / 2


@pytest.mark.parametrize("damage", ["fold", "told", "point"])
def test_a_state_that_contradicts_itself_is_refused(damage: str) -> None:
    made = search(folds=2)
    for _ in range(6):  # one update into the second fold, whose network is not trained yet
        made.update()
    state = made.state_dict()
    if damage == "fold":
        state["fold"] = 0
    elif damage == "told":
        state["parzen"][1]["told"] = 2
    else:
        state["parzen"][0]["points"][0, 0] = 99.0
    other = search(folds=2)
    with pytest.raises(StateMismatchError):
        other.load_state_dict(state)
    assert (other._fold, other.left) == (0, search(folds=2).left), "nothing was changed"


def test_folds_begin_with_networks_of_their_own() -> None:
    made = search(folds=2)
    first = [p.detach().clone() for p in made._new_trunk().network.parameters()]
    made._fold = 1
    assert any(not torch.equal(a, b) for a, b in zip(first, made._new_trunk().network.parameters(), strict=True))
