"""What every data set must be before anything is divided or trained: a user's own source may have made it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracking.errors import UserError
from trainables.problems.dataset import POOL, Array, Dataset
from trainables.problems.problem import Kind

DTYPES = (np.dtype(np.uint8), np.dtype(np.float32))


def made(make: Callable[[], object], what: str) -> Dataset:
    """What `load` or `wrap` gives, where it is a data set.

    Args:
        what: "source `mine`", for messages.

    Raises:
        UserError: it raised anything at all, or gave something else or inputs and targets that do not belong together.
    """
    try:
        found = make()
    except UserError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise UserError(f"{what} must give its data", said, "mend the code that makes them") from error
    if not isinstance(found, Dataset):
        raise UserError(f"{what} must return a Dataset", type(found).__name__)
    faults = [fault for fault in _faults(found) if fault]
    if faults:
        raise UserError(f"{what} must give inputs and targets that belong together", "; ".join(faults))
    return found


def _faults(found: Dataset) -> list[str]:
    inputs = {split.value: found.pool[split] for split in POOL if split in found.pool}
    if len(inputs) < len(POOL):
        return [f"the pool lacks {', '.join(sorted({s.value for s in POOL} - set(inputs)))}"]
    pairs = {**{f"pool.{name}": (x, found.pool_y) for name, x in inputs.items()}, "test": (found.test_x, found.test_y)}
    for name, (x, y) in pairs.items():
        if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):
            return [f"{name} holds no NumPy arrays"]
    said = []
    for name, (x, y) in pairs.items():
        if len(x) != len(y):
            said.append(f"{name} has {len(x)} inputs and {len(y)} targets")
        if x.shape[1:] != found.test_x.shape[1:]:
            said.append(f"inputs of {name} are {x.shape[1:]}, those of test {found.test_x.shape[1:]}")
        if x.dtype not in DTYPES:
            said.append(f"inputs of {name} are {x.dtype}, not uint8 or float32")
        elif x.dtype != np.uint8 and not np.isfinite(x).all():
            said.append(f"inputs of {name} are not all finite")
    return [*said, *(_target_fault(found, name, y) for name, y in (("pool", found.pool_y), ("test", found.test_y)))]


def _target_fault(found: Dataset, name: str, y: Array) -> str:
    if found.kind is Kind.REGRESSION:
        return "" if np.isfinite(y).all() else f"targets of {name} are not all finite"
    if found.kind is not Kind.CLASSIFICATION or not len(y):
        return ""
    if not np.issubdtype(y.dtype, np.integer):
        return f"targets of {name} are {y.dtype}, not integers"
    low, high = int(y.min()), int(y.max())
    inside = low >= 0 and high < found.outputs
    return "" if inside else f"targets of {name} go from {low} to {high}, and there are {found.outputs} outputs"
