"""`invsearch check my_lab.py`: a user's methods, problems and networks under the contract suites of the house."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from tracking.errors import UserError
from trainables import contract as method_contract
from trainables import maker_contract, plugins
from trainables.artefact import Artefact
from trainables.contract_state import check_resume_is_exact
from trainables.contract_toy import toy_context
from trainables.maker import MakerConfig
from trainables.making import made
from trainables.method import Context, MethodConfig, NetworkBuilder
from trainables.methods.plain import Config as Plain
from trainables.problems import contract as problem_contract
from trainables.problems.dataset import SourceConfig, WrapperConfig
from trainables.problems.problem import Problem
from trainables.problems.spec import ProblemSpec

Checked = tuple[str, str, Callable[[], None]]  # whose, which check, its body
STAND_IN_UPDATES = 2  # of an artefact that a method needs
DIGITS = {"name": "digits", "size": 8, "test": 300}  # what a wrapper is tried on where the file has no source
NETWORK_CHECKS = (
    method_contract.check_same_seed_same_run,
    method_contract.check_leaves_global_generators,
    check_resume_is_exact,
    method_contract.check_predict_has_no_side_effects,
    method_contract.check_predict_is_per_example,
    method_contract.check_every_step_is_charged,
)


def check_file(path: Path) -> int:
    """Run every check on everything the file offers; 0 where all hold, else 1.

    Raises:
        UserError: the file offers nothing that can be checked, or cannot be a plug-in.
    """
    (module,) = plugins.load([plugins.PluginFile.of(path)])
    console, broken, count = Console(), 0, 0
    with tempfile.TemporaryDirectory(prefix="invsearch-check-") as scratch:
        for name, check, body in _checks(module, Path(scratch)):
            count += 1
            fault = _fault(body)
            broken += fault is not None
            _tell(console, f"{'ok    ' if fault is None else 'BROKEN'} {name}: {check}")
            if fault is not None:
                _tell(console, f"       {fault}")
    if count == 0:
        raise UserError(
            "a plug-in must define a method, a maker, a source or a wrapper with a `name`, or NETWORKS", path,
            "see docs/plugins.md",
        )
    _tell(console, f"{count - broken} of {count} checks hold")
    return 1 if broken else 0


def _checks(module: ModuleType, scratch: Path) -> Iterator[Checked]:
    offered = plugins.offered(module)
    sources = [name for name, part in offered.items() if issubclass(part, SourceConfig)]
    around: dict[str, Any] = {"name": sources[0]} if sources else DIGITS
    for name, part in offered.items():
        if issubclass(part, MethodConfig):
            toy = _toy_of(part, scratch)
            for method_check in method_contract.ALL_CHECKS:
                yield name, _title(method_check), partial(method_check, part, toy)
            continue
        if issubclass(part, MakerConfig):
            for maker_check in maker_contract.ALL_CHECKS:
                yield name, _title(maker_check), partial(maker_check, part)
            continue
        wraps = issubclass(part, WrapperConfig)
        fields = {"source": around, "wrappers": [{"name": name}]} if wraps else {"source": {"name": name}}
        for problem_check in problem_contract.ALL_CHECKS:
            yield name, _title(problem_check), partial(problem_check, partial(_build, name, fields, scratch))
    for name, network in plugins.own_networks(module).items():
        for network_check in NETWORK_CHECKS:
            yield name, _title(network_check), partial(network_check, Plain, partial(_toy_with, network))


def _build(name: str, fields: dict[str, Any], scratch: Path, seed: int, partition: int) -> Problem:
    """Each time in a cache of its own: a shared one would hide that two builds differ."""
    return ProblemSpec(label=name, **fields).build(seed, partition, Path(tempfile.mkdtemp(dir=scratch)))


def _toy_of(part: type[MethodConfig], scratch: Path) -> Callable[[], Context]:
    """Makes toy contexts with what the method needs, hardly trained on images of the toy's size, and made once."""
    artefacts: dict[str, Artefact] = {}

    def toy() -> Context:
        problem = ProblemSpec(label="toy", source={"name": "digits", "size": 8})
        for name, spec in part().needs(problem, 0).items():
            if name not in artefacts:
                artefacts[name] = made(spec, scratch, updates=STAND_IN_UPDATES)
        context = toy_context()
        return replace(context, artefacts=artefacts) if artefacts else context

    return toy


def _toy_with(network: NetworkBuilder) -> Context:
    return replace(toy_context(), network=network)


def _title(check: Callable[..., None]) -> str:
    return check.__name__.removeprefix("check_").replace("_", " ")


def _tell(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _fault(body: Callable[[], None]) -> str | None:
    """What is wrong, on one line."""
    try:
        body()
    except (Exception, SystemExit) as error:  # a method that exits is broken, and the check goes on
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None
