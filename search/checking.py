"""`invsearch check my_lab.py`: a user's methods and problems under the contract suites of the house."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from tracking.errors import UserError
from trainables import contract as method_contract
from trainables import plugins
from trainables.method import MethodConfig
from trainables.problems import contract as problem_contract
from trainables.problems.dataset import SourceConfig
from trainables.problems.spec import ProblemSpec


def check_file(path: Path) -> int:
    """Run every check on everything the file offers; 0 where all hold, else 1.

    Raises:
        UserError: the file offers nothing that can be checked.
    """
    (module,) = plugins.load([plugins.PluginFile.of(path)])
    console, broken, count = Console(), 0, 0
    with tempfile.TemporaryDirectory(prefix="invsearch-check-") as scratch:
        for name, check, body in _checks(module_offers=plugins.offered(module), scratch=Path(scratch)):
            count += 1
            fault = _fault(body)
            broken += fault is not None
            console.print(f"{'ok    ' if fault is None else 'BROKEN'} {name}: {check}", highlight=False, markup=False)
            if fault is not None:
                console.print(f"       {fault}", highlight=False, markup=False)
    if count == 0:
        raise UserError(
            "a plug-in must define a MethodConfig, SourceConfig or WrapperConfig with a `name`", path,
            "see docs/plugins.md",
        )
    console.print(f"{count - broken} of {count} checks hold", highlight=False)
    return 1 if broken else 0


def _checks(
    module_offers: dict[str, plugins.Offered], scratch: Path
) -> Iterator[tuple[str, str, Callable[[], None]]]:
    for name, offered in module_offers.items():
        if issubclass(offered, MethodConfig):
            for method_check in method_contract.ALL_CHECKS:
                yield name, _title(method_check), lambda c=method_check, o=offered: c(o)  # type: ignore[misc]
        elif issubclass(offered, SourceConfig):
            spec = ProblemSpec(label=name, source={"name": name})
            for problem_check in problem_contract.ALL_CHECKS:
                yield name, _title(problem_check), lambda c=problem_check, s=spec: c(s, scratch)  # type: ignore[misc]


def _title(check: Callable[..., None]) -> str:
    return check.__name__.removeprefix("check_").replace("_", " ")


def _fault(body: Callable[[], None]) -> str | None:
    try:
        body()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
