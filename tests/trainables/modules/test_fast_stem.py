"""A stem in bfloat16 or compiled does the same, within its precision, and its FLOPs are counted all the same."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor, nn

from tracking.cost import Meter, Phase
from trainables.modules.conditioned import ConditionedExtractor, ExtractorConfig
from trainables.modules.fast_stem import Compiling, FastStem, Precision

CPU = torch.device("cpu")


def stem() -> nn.Module:
    torch.manual_seed(0)
    return ConditionedExtractor(ExtractorConfig(channels=1, factors=2, width=8, features=16)).stem


def images() -> Tensor:
    return torch.rand(6, 1, 12, 12, generator=Generator().manual_seed(0))


def run(precision: Precision, compiling: Compiling) -> tuple[list[Tensor], Tensor, list[int]]:
    """Two responses, the gradient of the second with respect to the first weight, and the FLOPs after each call."""
    network, meter, x = stem(), Meter("cpu"), images()
    fast, responses, flops = FastStem(network, CPU, precision, compiling), [], []
    for _ in range(2):
        with meter.unit("update", x.shape, phase=Phase.PRETRAIN):
            responses.append(fast(x))
        flops.append(meter.ledger().phases[Phase.PRETRAIN].flops)
    (gradient,) = torch.autograd.grad(responses[1].square().mean(), [next(network.parameters())])
    return [response.detach() for response in responses], gradient, flops


def test_a_plain_stem_is_the_network_itself() -> None:
    responses, _, flops = run(Precision.AUTO, Compiling.AUTO)
    assert all(torch.equal(response, stem()(images())) for response in responses)
    assert 0 < flops[0] == flops[1] / 2


def test_mixed_precision_answers_in_float32_and_within_its_precision() -> None:
    (plain, _), slope, flops = run(Precision.FULL, Compiling.OFF)
    (mixed, _), about, again = run(Precision.MIXED, Compiling.OFF)
    assert mixed.dtype is torch.float32 and about.dtype is torch.float32
    error = float((mixed - plain).norm() / plain.norm())
    assert 0 < error < 0.02  # eight bits; above zero, or nothing was mixed
    assert float(torch.cosine_similarity(slope.flatten(), about.flatten(), dim=0)) > 0.99
    assert flops == again


@pytest.mark.slow  # half a minute of the C++ compiler
def test_a_compiled_stem_is_the_network_and_costs_the_same_flops() -> None:
    (first, second), slope, flops = run(Precision.FULL, Compiling.OFF)
    (eager, compiled), about, again = run(Precision.FULL, Compiling.ON)
    assert torch.equal(first, eager)
    assert torch.allclose(second, compiled, atol=1e-5) and torch.allclose(slope, about, atol=1e-6)
    assert flops == again
