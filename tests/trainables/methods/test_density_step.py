"""Density matching: which images its two sides get, and the sign of each term of what the policy descends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from spaces.transforms import Operation
from tests.trainables.methods.recorded import recorded, softmax_regression, upside_down
from tracking.cost import Phase
from trainables.contract_trace import difference, run
from trainables.methods import uniform_policy
from trainables.methods.faster_autoaugment import Config
from trainables.modules.critic import FEATURES
from trainables.modules.density_matching import DensityMatching
from trainables.modules.density_recipe import Reference
from trainables.modules.networks import Network, builder
from trainables.problems.problem import Batch, Split

OPERATIONS = (Operation.FLIP_VERTICAL,)
UPDATES, RATE = 10, 0.1
STILL = 1e-12  # a learning rate that leaves the critic as it is, in float32


@pytest.mark.parametrize(("reference", "splits"), [
    (Reference.OUTER, [(Split.TRAIN,), (Split.OUTER,)]),
    (Reference.TRAIN, [(Split.TRAIN, Split.OUTER), (Split.TRAIN, Split.OUTER)]),
])
def test_what_an_update_draws(reference: Reference, splits: list[tuple[Split, ...]]) -> None:
    """A batch to be augmented, then a batch of the reference, drawn apart from it."""
    context, view = recorded(UPDATES)
    search = DensityMatching(context, Config(batch_size=8, reference=reference), OPERATIONS, UPDATES)
    for _ in range(3):
        search.update()
    assert [asked for asked, _ in view.drawn] == splits * 3
    assert len({batch.x.sum().item() for _, batch in view.drawn}) == 6, "all of them fresh"


def test_a_gradient_evaluation_costs_what_it_costs_in_plain_training() -> None:
    """5 B of them an update, by what is counted in operations: with 4 B each would cost a fifth more than plain's."""
    context, _ = recorded(UPDATES, network=builder(Network.SMALL_CNN))
    search = DensityMatching(context, Config(batch_size=8), OPERATIONS, UPDATES)
    search.update()
    ours = context.meter.ledger().phases[Phase.SEARCH]
    assert ours.examples == 5 * 8
    context, _ = recorded(UPDATES, network=builder(Network.SMALL_CNN))
    run(uniform_policy.Config(batch_size=8), context)
    plain = context.meter.ledger().phases[Phase.TRAIN]
    assert ours.flops / ours.examples == pytest.approx(plain.flops / plain.examples, rel=0.1)


def test_held_out_images_enter_the_critic_and_training_images_the_policy() -> None:
    """Blackening one split changes the side that reads it, in the first update."""

    def after(*black: Split) -> tuple[object, object]:
        context, _ = recorded(UPDATES, dict.fromkeys(black, torch.zeros_like))
        config = Config(batch_size=8, reference=Reference.OUTER)
        search = DensityMatching(context, config, OPERATIONS, UPDATES)
        search.update()
        state = search.state_dict()
        return state["critic"], state["policy_adam"]

    critic, policy = after()
    assert difference(after()[0], critic) is None, "the comparison says something"
    assert difference(after(Split.OUTER)[0], critic) is not None
    assert difference(after(Split.TRAIN)[0], critic) is not None
    assert difference(after(Split.TRAIN)[1], policy) is not None


def templates() -> Tensor:
    """(3, 64): a linear classifier of the toy's three bars, which a vertical flip moves."""
    made = torch.zeros(3, 8, 8)
    for label in range(3):
        made[label, 1 + 2 * label : 3 + 2 * label, 1:6] = 1.0
    return made


def critic_search(classifier: Tensor, classification: float = 0.1, value: float = 0.0) -> DensityMatching:
    """With a classifier (3, 8, 8) that stays, and a critic that values every image alike."""
    context, _ = recorded(UPDATES, network=softmax_regression)
    config = Config(
        batch_size=64, reference=Reference.OUTER, classification=classification, critic_learning_rate=STILL,
        policy_learning_rate=RATE,
    )
    search = DensityMatching(context, config, OPERATIONS, UPDATES)
    state = search.state_dict()
    critic = {name: torch.zeros_like(weight) for name, weight in state["critic"].items()}
    critic["network.1.weight"] = torch.cat((classifier.flatten(1), torch.zeros(FEATURES, 64)))
    critic["head.2.bias"] = torch.full((1,), value)
    search.load_state_dict({**state, "critic": critic})
    return search


def flips(search: DensityMatching) -> float:
    """The policy's probability of the flip."""
    return float(search.state_dict()["policy"]["choice_logits"].softmax(0)[1])


def expected_loss(search: DensityMatching, batch: Batch) -> float:
    """E CE over the choice, enumerated."""
    plain, flipped = (
        float(cross_entropy(search.predict(x), batch.y)) for x in (batch.x, upside_down(batch.x))
    )
    return (1 - flips(search)) * plain + flips(search) * flipped


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("harmful", [True, False])
def test_the_policy_lowers_the_cross_entropy_where_the_critic_has_no_opinion(harmful: bool, value: float) -> None:
    """A flip that the classifier does not know is drawn less, one that it was made for more.

    Adam's first step is the learning rate, against the sign.
    """
    search = critic_search(templates() if harmful else upside_down(templates()), value=value)
    batch = recorded(UPDATES)[1].labelled(Split.TRAIN)
    before, at_first = expected_loss(search, batch), flips(search)
    assert at_first == pytest.approx(0.5)
    search.update()
    moved = search.state_dict()["policy"]["choice_logits"]
    torch.testing.assert_close(moved, RATE * torch.tensor([1.0, -1.0] if harmful else [-1.0, 1.0]), rtol=1e-3, atol=0.0)
    while search.left:
        search.update()
    assert expected_loss(search, batch) < before - 0.5, "in nats"


def test_without_its_weight_the_cross_entropy_moves_nothing() -> None:
    """Negative control: the critic is constant, and nothing else is descended."""
    search = critic_search(templates(), classification=0.0)
    search.update()
    assert flips(search) == pytest.approx(0.5, abs=1e-3 * RATE)


def test_the_classifier_learns_the_labels_of_the_reference() -> None:
    """Held-out bars are upside down here, so that those of `train` would teach it other labels."""
    context, view = recorded(40, {Split.OUTER: upside_down}, softmax_regression)
    config = Config(
        batch_size=32, reference=Reference.OUTER, classification=1.0, penalty=0.0, critic_learning_rate=0.02,
    )
    search, (x, y) = DensityMatching(context, config, OPERATIONS, 40), view.labelled(Split.OUTER)
    before = float(cross_entropy(search.predict(upside_down(x)), y))
    while search.left:
        search.update()
    assert float(cross_entropy(search.predict(upside_down(x)), y)) < before - 0.5, "in nats"
    assert float(cross_entropy(search.predict(x), y)) > before, "and those of `train` it gets wrong"
