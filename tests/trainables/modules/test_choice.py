"""The rule towards the default on losses written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from trainables.modules.choice import Choice, choose, distinct, paired, rounded
from trainables.modules.evaluated import Evaluated

Rule = Callable[[Evaluated, Tensor], Choice]
N = 100
ZIGZAG = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(N // 2)  # mean 0, standard error about 0.1


def evaluated(descriptors: list[list[float]], behind: list[float], common: Tensor | None = None) -> Evaluated:
    """Losses whose paired differences to the first have the given means, in standard errors of 0.1005 each."""
    error = float(ZIGZAG.std() / N**0.5)
    base = torch.zeros(N, dtype=torch.float64) if common is None else common
    losses = [base if b == 0 else base + ZIGZAG + b * error for b in behind]
    m = len(descriptors)
    return Evaluated(torch.tensor(descriptors), 5 + torch.stack(losses), torch.arange(m).double(), None)


OFF, HALF, ON = [0.0, 0.0], [0.5, 0.0], [1.0, 1.0]


def check_rule(rule: Rule) -> None:
    at = [OFF, HALF, ON]
    default = torch.tensor(ON)
    assert rule(evaluated(at, [0, 0.9, 3]), default).index == 1, "the closest of those within one standard error"
    assert rule(evaluated(at, [0, 1.1, 3]), default).index == 0, "none else is within one standard error"
    shared = 50 * torch.randn(N, generator=Generator().manual_seed(0), dtype=torch.float64)
    assert rule(evaluated(at, [0, 1.1, 3], shared), default).index == 0, "what all losses share is no error"


def best_only(given: Evaluated, default: Tensor) -> Choice:
    return choose(given, default, errors=0)


def unpaired(given: Evaluated, default: Tensor) -> Choice:
    """Breiman's form: the error of the best risk itself."""
    noise = given.losses[0] - given.losses[0].mean()
    mixed = noise.roll(1) + given.losses.mean(-1, keepdim=True)
    return choose(Evaluated(given.descriptors, mixed, given.log_penalty, None), default)


def test_one_standard_error_towards_the_default() -> None:
    check_rule(choose)


@pytest.mark.parametrize("broken", [best_only, unpaired])
def test_the_check_rejects_other_rules(broken: Rule) -> None:
    with pytest.raises(AssertionError):
        check_rule(broken)


def test_without_evidence_the_default_stays() -> None:
    given, default = evaluated([OFF, HALF, ON], [0, 0.9, 30]), torch.tensor(ON)
    assert choose(given, default, leave=False).index == 2
    assert choose(given, default, leave=True).index == 1
    assert choose(evaluated([OFF, ON], [0, 0.9]), default, leave=True).index == 1, "evidence is no obligation to leave"


def test_what_a_choice_says() -> None:
    given = evaluated([OFF, HALF, [0.5, 1.0], ON], [0, 0.9, 0.5, 3])
    choice = choose(given, torch.tensor(ON))
    assert choice.index == 2 and choice.descriptor.tolist() == [0.5, 1.0]
    assert choice.best.tolist() == OFF and choice.best_risk == pytest.approx(5.0)
    assert choice.candidates == 3
    assert choice.low.tolist() == [0.0, 0.0] and choice.high.tolist() == [0.5, 1.0]
    assert choice.behind == pytest.approx(0.5 * choice.behind_error) == pytest.approx(choice.risk - 5.0)
    assert choice.standard_error == pytest.approx(float(given.losses[2].std()) / N**0.5)
    assert choice.log_penalty == 2.0


def test_ties_of_the_distance_go_to_the_lower_risk() -> None:
    at = [OFF, [1.0, 0.0], [0.0, 1.0]]
    assert choose(evaluated(at, [0, 0.9, 0.4]), torch.tensor(ON)).index == 2
    assert choose(evaluated(at, [0, 0.4, 0.9]), torch.tensor(ON)).index == 1


def test_a_single_descriptor_and_repeated_ones() -> None:
    assert choose(evaluated([OFF], [0]), torch.tensor(ON)).index == 0
    assert choose(evaluated([OFF, OFF], [0, 0]), torch.tensor(ON)).candidates == 2


def test_paired_error_is_that_of_the_difference() -> None:
    losses = torch.randn(3, 40, generator=Generator().manual_seed(0), dtype=torch.float64)
    mean, error = paired(losses, losses[0])
    assert mean[0] == error[0] == 0
    difference = losses[1] - losses[0]
    assert float(error[1]) == pytest.approx(float(difference.var() / 40) ** 0.5)
    assert float(mean[1]) == pytest.approx(float(difference.mean()))


def test_distinct_and_rounded() -> None:
    assert distinct(torch.tensor([ON, OFF, ON, HALF, OFF])).tolist() == [ON, OFF, HALF]
    assert rounded(torch.tensor([0.26, 0.99, 0.0]), 4).tolist() == [0.25, 1.0, 0.0]
