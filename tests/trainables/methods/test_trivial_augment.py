"""TrivialAugment as a method: the table, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from spaces.search_free import TrivialAugmentSpace, trivial_augment, trivial_augment_table
from tests.support.toy_problems import signal_toy
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import with_view
from trainables.methods.trivial_augment import Config


@pytest.mark.parametrize("variant", list(TrivialAugmentSpace))
def test_samples_from_the_table_of_its_variant(variant: TrivialAugmentSpace) -> None:
    method = Config(variant=variant).build(toy_context())
    x = torch.rand(32, 1, 8, 8, generator=Generator().manual_seed(0))
    expected = trivial_augment(x, Generator().manual_seed(1), trivial_augment_table(1, 8, 8, variant))
    assert torch.equal(method.sample(x, Generator().manual_seed(1)), expected)


def test_signals_are_refused_in_the_users_words() -> None:
    with pytest.raises(UserError, match="trivial_augment needs images"):
        Config().build(with_view(toy_context(), signal_toy().view()))
