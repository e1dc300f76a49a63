"""The device that stands in for a GPU: what a GPU refuses it refuses, what a GPU allows it allows."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, nn

from tests.support.elsewhere import Elsewhere, ElsewhereError, here, machine


def test_what_a_gpu_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    a, generator = torch.arange(6.0).view(2, 3), Generator().manual_seed(0)
    with machine(monkeypatch) as device:
        b, one = a.to(device), torch.tensor(1.0)
        assert b.device == device and all(isinstance(t, Elsewhere) for t in (b[0], torch.zeros(2, device=device)))
        for refused in (
            lambda: a + b, lambda: torch.cat([a, b]), lambda: b @ a.mT, lambda: a[b[0].long()],
            lambda: torch.rand(2, generator=generator, device=device), lambda: torch.stack([b[0, 0], one]),
            lambda: nn.Linear(3, 1)(b),
        ):
            with pytest.raises(ElsewhereError):
                refused()
        with pytest.raises((RuntimeError, TypeError)):
            b.numpy()
        for allowed in (b + one, 3 * b, b[torch.tensor([1, 0])], b[[1, 0]], torch.tensor(1, device=device)):
            assert isinstance(allowed, Elsewhere)
        assert torch.equal(b.cpu(), a) and not isinstance(b.cpu(), Elsewhere) and b.tolist() == a.tolist()
        b[0] = a[0] + 1
        b += 1
        w = b.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((w ** 3).sum(), w, create_graph=True)
        (second,) = torch.autograd.grad(gradient.sum(), w)
    assert torch.equal(here(second), 6 * here(b)) and torch.equal(here(b), torch.tensor([[2.0, 3, 4], [4, 5, 6]]))
