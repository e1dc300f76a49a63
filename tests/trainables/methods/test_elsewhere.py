"""Every method and maker on a device that is not the CPU: nothing is left behind, and the numbers are the CPU's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from tests.support.alternatives import alternatives
from tests.support.elsewhere import DEVICE, Elsewhere, ElsewhereError, here, machine, there
from tests.support.trials import assignment, finish
from tests.trainables.makers.test_maker_contract import small
from tracking.errors import UserError
from tracking.record import Stage
from trainables import harness, makers, methods
from trainables.artefact import Artefact
from trainables.assignment import FIRST_SEED, Assignment, Report
from trainables.contract_toy import TOY_ARTEFACTS, toy_context, toy_maker_context, toy_of
from trainables.contract_trace import Trace, run
from trainables.harness import Harness
from trainables.method import Context, MethodConfig
from trainables.modules.fast_stem import Compiling, Precision

DIGITS = {
    "label": "toy", "source": {"name": "digits", "size": 8},
    "wrappers": [{"name": "nuisance", "ranges": {"rotation": 30.0}}],
}
TASKS = {"label": "toy", "source": {"name": "layers", "layer": "cyclic16", "tasks": 60, "shots": 2, "queries": 4}}


class Moved(Mapping[str, Artefact]):
    """Artefacts whose tensors are on the other device."""

    def __init__(self, artefacts: Mapping[str, Artefact]) -> None:
        self._artefacts = artefacts

    def __getitem__(self, name: str) -> Artefact:
        one = self._artefacts[name]
        return replace(one, read=lambda: tree_map(there, one.state))

    def __iter__(self) -> Iterator[str]:
        return iter(self._artefacts)

    def __len__(self) -> int:
        return len(self._artefacts)


def moved(context: Context) -> Context:
    """The same context on the other device."""
    return replace(context, device=DEVICE, artefacts=Moved(context.artefacts))


def close(a: Any, b: Any) -> None:
    """Up to rounding: operations that PyTorch puts together of others are put together differently for some tensors."""
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


class Forgetful(nn.Module):
    """Keeps a constant that is no buffer, so it does not move."""

    def __init__(self, network: nn.Module, outputs: int) -> None:
        super().__init__()
        self.network, self.scale = network, torch.ones(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * self.scale  # type: ignore[no-any-return]


def test_what_is_left_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    config = methods.config_class("plain").quick()
    context = toy_of(type(config))()
    build = context.network
    forgetful = replace(context, network=lambda shape, outputs: Forgetful(build(shape, outputs), outputs))
    assert run(config, forgetful).outputs  # on the CPU nobody can tell
    with machine(monkeypatch), pytest.raises(ElsewhereError, match="aten::mul"):
        run(config, moved(forgetful))


@pytest.mark.parametrize("name", methods.names())
def test_the_same_numbers_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agrees(methods.config_class(name).quick(), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
def test_every_choice_elsewhere(name: str) -> None:
    """Every member of every enumeration and every truth value, one at a time; some are not of this problem."""
    tried = 0
    for said, config in alternatives(methods.config_class(name).quick()):
        if getattr(config, "compiling", None) is Compiling.ON:
            continue  # compilers write for devices that there are
        with pytest.MonkeyPatch.context() as patch:
            try:
                agrees(config, patch)
            except UserError:
                continue
            except Exception as error:
                raise AssertionError(f"{name}, {said}: {error}") from error
        tried += 1
    assert tried >= 2


def agrees(config: MethodConfig, patch: pytest.MonkeyPatch) -> None:
    """With the run on the CPU: metrics, outputs, costs. What is of mixed precision has to run, no more."""
    make = toy_of(type(config))
    expected = run(config, make())
    with machine(patch):
        trace = run(config, moved(make()))
    assert trace.outputs and all(isinstance(one, Elsewhere) for one in trace.outputs)
    for one, other in zip(trace.costs, expected.costs, strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    if getattr(config, "precision", None) is not Precision.MIXED:  # the other device knows no autocast
        close([here(one) for one in trace.outputs], expected.outputs)
        assert _plain(trace) == pytest.approx(_plain(expected), rel=1e-4, abs=1e-4)


def _plain(trace: Trace) -> dict[str, float]:
    return {f"{k} {name}": value for k, one in enumerate(trace.slices) for name, value in one["metrics"].items()}


@pytest.mark.parametrize("name", makers.names())
def test_makers_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(context: Any) -> Any:
        maker = small(name)().build(context)
        while not maker.step().done:
            maker.load_state_dict(maker.state_dict())
        return maker.result()

    expected = made(toy_maker_context())
    with machine(monkeypatch):
        result = made(replace(toy_maker_context(), device=DEVICE))
    close(_tensors(tree_map(here, result)), _tensors(expected))


def _tensors(state: Any) -> list[Tensor]:
    return [one for one in tree_leaves(state) if isinstance(one, Tensor)]


@pytest.mark.parametrize("name", methods.names())
def test_whole_trials_elsewhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything that is measured at the end, exported, and a state that is stored and loaded in the middle."""
    expected = finish(Harness(trial(name, tmp_path / "here", monkeypatch)))
    with machine(monkeypatch):
        job = trial(name, tmp_path / "there", monkeypatch)
        monkeypatch.setattr(harness, "resolve_device", lambda _: DEVICE)
        first = Harness(job)
        reports = [first.advance()]
        first.save()
        reports += finish(Harness(job))
    assert {report.index: report.note for report in reports} == {report.index: report.note for report in expected}
    assert numbers(reports) == pytest.approx(numbers(expected), rel=1e-3, abs=1e-3)
    left = {folder: sorted(p.name for p in (tmp_path / folder / "exports").glob("*")) for folder in ("here", "there")}
    assert left["here"] == left["there"]


def trial(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    config = methods.config_class(name)
    toys = toy_context().artefacts

    def load(store: Any, key: str, device: Any) -> Artefact:
        return Moved(toys)[key] if device == DEVICE else toys[key]

    monkeypatch.setattr(harness.ArtefactStore, "load", load)
    return assignment(
        folder, name, Stage.RERUN, settings=config.quick().model_dump(mode="json"), index=FIRST_SEED,
        problem=TASKS if config.adapts else DIGITS, exports=str(folder / "exports"),
        artefacts={one: one for one in TOY_ARTEFACTS}, store=str(folder),
    )


def numbers(reports: list[Report]) -> dict[str, float]:
    """What two trials share."""
    return {
        f"{report.index} {name}": value for report in reports for name, value in report.metrics.items()
        if "seconds" not in name and "bytes" not in name
    }
