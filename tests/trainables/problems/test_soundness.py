"""What a user's own source may get wrong is one message before any work: against a sound one, fault by fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tracking.errors import UserError
from trainables.problems.dataset import POOL, Dataset, labelled
from trainables.problems.problem import Kind, Split
from trainables.problems.soundness import made


def sound() -> Dataset:
    x, y = np.zeros((20, 1, 4, 4), np.uint8), np.arange(20) % 2
    return labelled(x, y, x[:6], y[:6], ("a", "b"))


def real(d: Dataset, outputs: int = 1) -> Dataset:
    """The same with the label as a number."""
    pool_y, test_y = (y[:, None].astype(np.float32) for y in (d.pool_y, d.test_y))
    return replace(d, kind=Kind.REGRESSION, pool_y=pool_y, test_y=test_y, outputs=outputs, classes=())


def pool(x: np.ndarray) -> dict[Split, np.ndarray]:  # type: ignore[type-arg]
    return dict.fromkeys(POOL, x)


FAULTS: list[tuple[Callable[[Dataset], object], str]] = [
    (lambda d: None, "must return a Dataset"),
    (lambda d: 1 / 0, "ZeroDivisionError"),
    (lambda d: replace(d, pool_y=d.pool_y[:-1]), "20 inputs and 19 targets"),
    (lambda d: replace(d, test_y=d.test_y[:-1]), "test has 6 inputs and 5"),
    (lambda d: replace(d, pool=pool(np.zeros((20, 3, 4, 4), np.uint8))), r"\(3, 4, 4\), those of test \(1, 4, 4\)"),
    (lambda d: replace(d, pool=pool(np.zeros((20, 1, 4, 4)))), "float64, not uint8, float32 or int64"),
    (lambda d: replace(d, pool=pool(np.full((20, 1, 4, 4), np.nan, np.float32))), "not all finite"),
    (lambda d: replace(d, pool=[1]), "pool lacks"),
    (lambda d: replace(d, pool=pool([[1]])), "no NumPy arrays"),  # type: ignore[arg-type]
    (lambda d: replace(d, pool_y=d.pool_y - 1), "go from -1 to 0, and there are 2"),
    (lambda d: replace(d, test_y=d.test_y + 1), "go from 1 to 2, and there are 2"),
    (lambda d: replace(d, pool_y=d.pool_y.astype(np.float32)), "float32 .* no integer for each input"),
    (lambda d: replace(d, pool_y=d.pool_y[:, None]), r"\(20, 1\), and no integer"),
    (lambda d: replace(d, pool_y=np.array(["a"] * 20)), "no numbers"),
    (lambda d: replace(d, kind=Kind.REGRESSION, test_y=np.array([None] * 6)), "no numbers"),
    (lambda d: replace(d, pool_y=np.int64(3)), "a row per example|has no attribute|TypeError"),
    (lambda d: replace(d, outputs="2"), "TypeError"),  # type: ignore[arg-type]
    (lambda d: replace(d, pool=None), "NoneType"),  # type: ignore[arg-type]
    (lambda d: replace(real(d), pool_y=np.full((20, 1), np.inf, np.float32)), "not all finite"),
    (lambda d: replace(real(d), pool_y=real(d).pool_y[:, 0]), r"pool are \(20,\), must be \(N, 1\)"),
    (lambda d: real(d, outputs=3), r"pool are \(20, 1\), must be \(N, 3\).*; targets of test are \(6, 1\), must"),
    (lambda d: replace(real(d), test_y=real(d).test_y[..., None]), r"test are \(6, 1, 1\), must be \(N, 1\)"),
]


@pytest.mark.parametrize(("breaks", "words"), FAULTS)
def test_each_fault_is_told(breaks: Callable[[Dataset], object], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        made(lambda: breaks(sound()), "source `mine`")
    assert "source `mine`" in caught.value.rule


def test_a_sound_one_and_a_users_own_error_come_out_as_they_are() -> None:
    one = sound()
    assert made(lambda: one, "source `mine`") is one
    regression = real(one)
    assert made(lambda: regression, "source `mine`") is regression
    with pytest.raises(UserError, match=r"^their own rule"):
        made(lambda: (_ for _ in ()).throw(UserError("their own rule", "x")), "source `mine`")
