"""What labelled examples count for who fits them all at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.modules.imbalance import ImbalanceConfig, example_weights

COUNTED: list[tuple[dict[str, Any], float, float]] = [
    # Of 4 examples and of 1, up to a factor; effective at beta = 1/2: (1/2) / (15/16) and 1.
    ({"sampling": "balanced"}, 1 / 4, 1.0),
    ({"sampling": "effective", "beta": 0.5}, 8 / 15, 1.0),
    ({"weighting": "effective", "beta": 0.5}, 8 / 15, 1.0),
    ({"sampling": "balanced", "weighting": "effective", "beta": 0.5}, 2 / 15, 1.0),
    ({"sampling": "balanced", "delay": 0.8}, 1 / 4, 1.0),
    ({"weighting": "effective", "beta": 0.0}, 1.0, 1.0),
]


@pytest.mark.parametrize(("settings", "many", "few"), COUNTED)
def test_an_example_counts_as_often_as_it_is_drawn_times_what_it_weighs(
    settings: dict[str, Any], many: float, few: float
) -> None:
    found = example_weights(torch.tensor([0, 0, 1, 0, 0]), 3, ImbalanceConfig.model_validate(settings))
    mean = (4 * many + few) / 5
    wanted = [few / mean if k == 2 else many / mean for k in range(5)]
    assert found is not None and found.tolist() == pytest.approx(wanted)


def test_without_a_rule_there_are_no_weights() -> None:
    assert example_weights(torch.tensor([0, 1]), 2, ImbalanceConfig()) is None
    assert example_weights(torch.tensor([0, -1]), 2, ImbalanceConfig()) is None, "bad labels are the targets' to refuse"
