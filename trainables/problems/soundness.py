"""What every data set must be before anything is divided or trained: a user's own source may have made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tracking.errors import UserError
from trainables.problems.array_view import Rows
from trainables.problems.dataset import POOL, Array, Dataset
from trainables.problems.problem import LEARNABLE, Kind, Split
from trainables.problems.target_units import varies

DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.int64))  # the last: tokens, for an embedding
BLOCK = 4096  # inputs
NAMED = 10  # classes or outputs in a message
FEW = 64  # inputs: almost always the first two differ already


def made(make: Callable[[], object], what: str) -> Dataset:
    """What `load` or `wrap` gives, where it is a data set.

    Args:
        what: "source `mine`", for messages.

    Raises:
        UserError: it raised anything at all, or gave something else or inputs and targets that do not belong together.
    """
    try:
        found = make()
        if not isinstance(found, Dataset):
            raise UserError(f"{what} must return a Dataset", type(found).__name__)
        faults = [*_input_faults(found), *_target_faults(found)]
    except UserError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise UserError(f"{what} must give its data", said, "mend the code that makes them") from error
    if faults:
        raise UserError(f"{what} must give inputs and targets that belong together", "; ".join(faults))
    return found


def _input_faults(found: Dataset) -> list[str]:
    if lacking := sorted(set(POOL) - set(found.pool)):
        return [f"the pool lacks {', '.join(lacking)}"]
    arrays = {id(x): (split.value, x, found.pool_y) for split, x in found.pool.items()}  # splits may share one
    said = []
    for name, x, y in [*arrays.values(), ("test", found.test_x, found.test_y)]:
        if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.ndim and y.ndim):
            said.append(f"{name} holds no NumPy arrays with a row per example")
            continue
        if len(x) != len(y):
            said.append(f"{name} has {len(x)} inputs and {len(y)} targets")
        if x.shape[1:] != found.test_x.shape[1:]:
            said.append(f"inputs of {name} are {x.shape[1:]}, those of test {found.test_x.shape[1:]}")
        if x.dtype not in DTYPES:
            said.append(f"inputs of {name} are {x.dtype}, not uint8, float32 or int64")
        elif x.dtype == np.float32 and not _finite(x):
            said.append(f"inputs of {name} are not all finite")
    return said


def _finite(x: Array) -> bool:
    """Block by block: a set that is mapped from a file shall not come into memory as a whole."""
    return all(bool(np.isfinite(x[start : start + BLOCK]).all()) for start in range(0, len(x), BLOCK))


def require_difference(rows: Mapping[Split, Rows], kind: Kind) -> None:
    """Raises UserError where nothing can be learned: in train and outer all inputs are equal, or one output's targets.

    Of one output among several too: without a spread it has no units to measure errors in, and it would lift the score
    of whatever predicts means.
    """
    learnable = [rows[split] for split in LEARNABLE]
    if _alike([part.x for part in learnable]):
        raise UserError("the inputs of a problem must differ", "train and outer hold one input again and again",
                        "look at what the source reads: blank images, or one that is read for all")
    if kind is Kind.REGRESSION and not (varying := varies(np.concatenate([part.y for part in learnable]))).all():
        lacking, first = np.flatnonzero(~varying), next(part.y[0] for part in learnable if len(part.y))
        alike = ", ".join(f"output {k} is {first[k]:g}" for k in lacking[:NAMED])
        more = f" and {len(lacking) - NAMED} more do not vary" if len(lacking) > NAMED else ""
        raise UserError("every target of a regression must vary", f"in all of train and outer {alike}{more}",
                        "errors are measured against the spread of the targets: leave out those that do not vary")


def require_classes(dataset: Dataset) -> None:
    """Raises UserError where a classification has nothing to tell apart: whatever is predicted would be right."""
    if dataset.kind is Kind.CLASSIFICATION and dataset.outputs < 2:
        raise UserError("a classification needs two classes or more", ", ".join(dataset.classes) or dataset.outputs,
                        "add examples of another class; in folders each class has one of its own")


def untested(dataset: Dataset) -> tuple[str, ...]:
    """A note where classes have no test example: what is said of classes is said of the others alone."""
    if dataset.kind is not Kind.CLASSIFICATION:
        return ()
    lacking = np.flatnonzero(np.bincount(dataset.test_y, minlength=dataset.outputs) == 0)
    names = [dataset.classes[k] if k < len(dataset.classes) else str(k) for k in lacking[:NAMED]]
    more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
    return () if not names else (
        f"no test example of the class{'es' * (len(lacking) > 1)} {', '.join(names)}{more}: "
        "test scores, head and tail, and means over classes are of the others alone",
    )


def _alike(parts: Sequence[Array]) -> bool:
    """Whether all rows are equal, of two or more; the first block that differs ends the comparison."""
    first = next((part[0] for part in parts if len(part)), None)
    return first is not None and sum(map(len, parts)) > 1 and all(
        bool((part[start : start + FEW] == first).all()) for part in parts for start in range(0, len(part), FEW)
    )


def _target_faults(found: Dataset) -> list[str]:
    said = []
    for name, y in (("pool", found.pool_y), ("test", found.test_y)):
        if not np.issubdtype(y.dtype, np.number):
            said.append(f"targets of {name} are {y.dtype}, and no numbers")
        elif found.kind == Kind.REGRESSION and not np.isfinite(y).all():
            said.append(f"targets of {name} are not all finite")
        elif found.kind == Kind.REGRESSION and y.shape[1:] != (found.outputs,):
            said.append(f"targets of {name} are {y.shape}, must be (N, {found.outputs}), a column for each output")
        elif found.kind == Kind.CLASSIFICATION and len(y):
            said += _class_faults(y, name, found.outputs)
    return said


def _class_faults(y: Array, name: str, outputs: int) -> list[str]:
    if not np.issubdtype(y.dtype, np.integer) or y.ndim != 1:
        return [f"targets of {name} are {y.dtype} {y.shape}, and no integer for each input"]
    low, high = int(y.min()), int(y.max())
    inside = low >= 0 and high < outputs
    return [] if inside else [f"targets of {name} go from {low} to {high}, and there are {outputs} outputs"]
