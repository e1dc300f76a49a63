"""Several processes that make one extractor: they make what one makes, resume exactly, and end together."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from search.pretraining import Pretraining
from tests.support.artefacts import making, spec
from tests.support.trials import finish
from tracking.cost import Meter, Phase
from tracking.errors import UserError
from tracking.record import Cause, NotFiniteError
from tracking.storage import Place
from trainables import plugins
from trainables.artefact import ArtefactSpec
from trainables.artefact_store import ArtefactStore
from trainables.maker import Maker, MakerContext, pool_of
from trainables.making import MakerHarness
from trainables.problems.store import cache_folder
from trainables.team import ALONE, LostRankError, Team
from trainables.trial import _cause

SMALL: dict[str, Any] = {
    "horizon": 6, "groups": 4, "images": 8, "width": 8, "features": 16, "looks": 2, "erasure": 0.5, "leakage": 5.0,
}
PAPERS: dict[str, Any] = {
    "horizon": 6, "groups": 4, "images": 8, "width": 8, "features": 16, "views": "omit", "conditioning": "kernels",
    "heads": "per_corner", "descriptors": "corners", "sensitivity": 0.0, "calibration": 0.0,
}


def extractor(settings: dict[str, Any] = SMALL, seed: int = 0) -> ArtefactSpec:
    source = {"label": "digits", "source": {"name": "digits"}}
    return ArtefactSpec.model_validate(
        {"maker": "amortised_extractor", "settings": settings, "source": source, "seed": seed}
    )


class Threads:
    """One rank of several in this process: tensors are averaged where all have come."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, shared: list[Sequence[Tensor]]) -> None:
        self.rank, self.size, self._barrier, self._shared = rank, size, barrier, shared

    def average(self, tensors: Sequence[Tensor]) -> None:
        self._shared[self.rank] = [tensor.clone() for tensor in tensors]
        self._barrier.wait(60)
        for place, tensor in enumerate(tensors):
            tensor.copy_(torch.stack([others[place] for others in self._shared]).mean(0))
        self._barrier.wait(60)


def maker_of(team: Team, settings: dict[str, Any]) -> Maker:
    """One process's; to be built one after the other, since constructors draw from torch's global generator."""
    described = extractor(settings)
    meter = Meter("cpu")
    return described.config().build(MakerContext(
        problem=pool_of(described.source.build(0, 0, cache_folder()), meter, "digits"), horizon=6, slice_updates=6,
        seed=0, device=torch.device("cpu"), meter=meter, team=team,
    ))


def weights(maker: Maker) -> dict[str, Tensor]:
    return maker.state_dict()["model"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("settings", [SMALL, PAPERS], ids=["ours", "papers"])
@pytest.mark.parametrize("size", [2, 4])
def test_shared_groups_give_the_weights_of_one_process(settings: dict[str, Any], size: int) -> None:
    alone, other = maker_of(ALONE, settings), maker_of(ALONE, {**settings, "temperature": 0.3})
    losses, expected = alone.step().metrics, weights(alone)
    barrier, shared = threading.Barrier(size), [list[Tensor]() for _ in range(size)]
    makers = [maker_of(Threads(rank, size, barrier, shared), settings) for rank in range(size)]  # type: ignore[arg-type]
    with ThreadPoolExecutor(size) as pool:
        pieces = list(pool.map(lambda maker: maker.step(), makers))
    other.step()
    assert all(piece.metrics == pieces[0].metrics for piece in pieces)
    assert pieces[0].metrics == pytest.approx(dict(losses), rel=1e-3, abs=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(weights(makers[0])[name], value, rtol=1e-3, atol=1e-4)
        assert all(torch.equal(weights(maker)[name], weights(makers[0])[name]) for maker in makers), "the same bits"
    assert any(not torch.allclose(weights(other)[name], expected[name], rtol=1e-3, atol=1e-4) for name in expected)


def state(tmp_path: Path) -> dict[str, Any]:
    return ArtefactStore(Place.of(tmp_path / "artefacts")).load(extractor().key()).state


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for inner in value.values() for tensor in tensors(inner)] if isinstance(value, dict) else []


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processes meet."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def nothing_is_left(harness: MakerHarness, folders: Path) -> bool:
    assert harness._ranks is not None
    gone = all(other.process.poll() is not None for other in harness._ranks.others)
    return gone and not dist.is_initialized() and not list(folders.glob("invsearch-ranks-*"))


def test_two_processes_make_what_one_makes_and_are_charged_for_both(tmp_path: Path, folders: Path) -> None:
    both, alone = MakerHarness(making(tmp_path / "two", extractor(), making_workers=2)), MakerHarness(
        making(tmp_path / "one", extractor()))
    two_reports, one_reports = finish(both), finish(alone)
    assert both._ranks is not None and [other.process.poll() for other in both._ranks.others] == [0]
    assert nothing_is_left(both, folders)
    for found, expected in zip(tensors(state(tmp_path / "two")), tensors(state(tmp_path / "one")), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    for two, one in zip(two_reports, one_reports, strict=True):
        for name, value in one.metrics.items():
            if name.startswith("pretrain/"):
                assert two.metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-5)
    (two, one), ledger = (h.meter.ledger().phases[Phase.PRETRAIN] for h in (both, alone)), both.meter.ledger()
    assert (two.examples, two.unlabelled_reads) == (one.examples, one.unlabelled_reads)
    assert one.flops <= two.flops < 1.05 * one.flops  # both draw the views of all groups
    assert ledger.host_energy_estimate_joules is None and not any("c10d" in name for name in ledger.uncounted)


def test_others_are_charged_what_they_spent_in_each_step(tmp_path: Path, folders: Path) -> None:
    harness = MakerHarness(making(tmp_path, extractor(), making_workers=2))
    assert harness._ranks is not None
    (other,) = harness._ranks.others
    told: list[float] = []
    answer = other.answer

    def noted(wanted: str, seconds: float) -> Any:
        found = answer(wanted, seconds)
        told.append(found["cpu_seconds"])
        return {"cpu_seconds": 1000.0, "device_seconds": 10.0}

    other.answer = noted  # type: ignore[method-assign]
    harness.advance()
    harness.advance()
    cost = harness.meter.ledger().phases[Phase.PRETRAIN]
    harness.close()
    assert 2000 < cost.cpu_seconds < 2600 and cost.device_seconds == pytest.approx(20.0)
    assert all(0 < seconds < 300 for seconds in told) and told[1] < sum(told), "of each step alone"


@pytest.mark.slow
def test_stopped_and_resumed_by_two_it_ends_with_the_same_bits(tmp_path: Path, folders: Path) -> None:
    finish(MakerHarness(making(tmp_path / "whole", extractor(), making_workers=2)))
    cut = making(tmp_path / "cut", extractor(), making_workers=2)
    first = MakerHarness(cut)
    for _ in range(3):
        first.advance()
    first.save()
    del first  # dropped, as a worker does that begins with another trial
    assert not dist.is_initialized() and not list(folders.glob("invsearch-ranks-*"))
    again = MakerHarness(cut.model_copy(update={"known": 3}))
    assert again._keeper.index == 3
    reports = finish(again)
    again.save()
    unheard = MakerHarness(cut.model_copy(update={"known": again._keeper.index - 1}))
    assert unheard.advance() == reports[-1] and nothing_is_left(unheard, folders)
    for found, expected in zip(tensors(state(tmp_path / "cut")), tensors(state(tmp_path / "whole")), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.slow
def test_a_process_that_dies_fails_the_making_and_leaves_none_behind(tmp_path: Path, folders: Path) -> None:
    harness = MakerHarness(making(tmp_path, extractor(), making_workers=2))
    harness.advance()
    assert harness._ranks is not None
    harness._ranks.others[0].process.kill()
    with pytest.raises(LostRankError, match="rank 1 ended with -9"):
        harness.advance()
    assert nothing_is_left(harness, folders)
    finish(MakerHarness(making(tmp_path / "again", extractor(), making_workers=2)))


def test_what_one_of_them_raises_is_told_at_once(tmp_path: Path, folders: Path) -> None:
    """The first alone; the worker can make something else afterwards."""
    harness = MakerHarness(making(tmp_path, extractor(), making_workers=2))
    began = time.monotonic()
    harness.maker._losses = _planted  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError, match="planted"):
        harness.advance()
    assert time.monotonic() - began < 30 and nothing_is_left(harness, folders)


def _planted(*_: Any) -> Tensor:
    raise ZeroDivisionError("planted")


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["noise", "order"])
def test_what_another_raises_is_told_too(broken: str, tmp_path: Path, folders: Path) -> None:
    """A state that the other cannot load: it says so, and the first stops waiting."""
    harness = MakerHarness(making(tmp_path, extractor(), making_workers=2))
    assert harness._ranks is not None
    kept = harness.maker.state_dict()
    harness._ranks.load({**kept, "cursor": broken}, harness.meter.state_dict())
    with pytest.raises(RuntimeError, match="rank 1 failed"):
        harness.advance()
    assert nothing_is_left(harness, folders)


@pytest.mark.slow
def test_an_orphan_ends(tmp_path: Path, folders: Path) -> None:
    harness = MakerHarness(making(tmp_path, extractor(), making_workers=2))
    assert harness._ranks is not None
    (other,) = harness._ranks.others
    other.pipe.close()  # as where the first process was killed
    assert other.process.wait(60) == 0
    harness.close(failed=True)


def test_a_process_that_cannot_begin_is_told(tmp_path: Path, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.ranks.sys.executable", "/bin/false")
    threads = torch.get_num_threads()
    with pytest.raises(LostRankError, match="rank 1 ended with 1"):
        MakerHarness(making(tmp_path, extractor(), making_workers=2))
    assert not list(folders.glob("invsearch-ranks-*")) and torch.get_num_threads() == threads


def test_a_process_that_died_is_a_reason_to_try_again() -> None:
    causes = [_cause(error) for error in (LostRankError(), ValueError(), NotFiniteError(), None)]
    assert causes == [Cause.DIED, Cause.RAISED, Cause.NOT_FINITE, Cause.RAISED]


@pytest.mark.parametrize(("resources", "fits"), [({"cpus": 4}, True), ({"cpus": 2}, False), ({"gpus": 2}, False)])
def test_more_processes_than_the_trial_has_room_for_are_refused(resources: dict[str, float], fits: bool) -> None:
    fields = {"maker": "amortised_extractor", "source": {"name": "digits"}, "making_workers": 4}
    described = Pretraining.model_validate({**fields, "resources": resources})
    if fits:
        assert described.comparison().making_workers == 4
        return
    with pytest.raises(ValueError, match="every process of a making needs"):
        described.comparison()


def test_groups_that_cannot_be_shared_out_are_refused() -> None:
    extractor().config().share(4)
    for workers in (3, 0, -1):
        with pytest.raises(UserError, match="must divide `groups`"):
            extractor().config().share(workers)
    spec().config().share(1)
    with pytest.raises(UserError, match="works in one process"):
        spec().config().share(2)


@pytest.mark.parametrize("name", ["style_generator", "spatial_generator"])
def test_makers_that_work_alone_say_so(name: str) -> None:
    with pytest.raises(UserError, match="works in one process"):
        plugins.maker_config(name)().share(2)
