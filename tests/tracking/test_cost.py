"""The meter: counted once and multiplied equals a full count; a resumed run is charged the same."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from tracking.cost import Ledger, Meter, Phase, PhaseCost
from tracking.flops import FlopCounter

STEPS, BATCH = 6, 8


class Training:
    """A real loop: a small convolutional network, SGD with momentum, two kinds of update, the data of one seed."""

    def __init__(self, extra_work: bool = False) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3)
            )
        # Buffers exist from the start: the first step must do the work of all.
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)
        for parameter in self.network.parameters():
            self.optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        self.generator = Generator().manual_seed(1)
        self.steps, self.extra_work = 0, extra_work

    def update(self) -> None:
        x = torch.randn(BATCH, 1, 8, 8, generator=self.generator)
        loss = self.network(x).square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.steps += 1
        if self.extra_work and self.steps > 1:
            self.network(x)

    def run(self, meter: Meter, steps: int) -> None:
        for _ in range(steps):
            with meter.unit("update", (BATCH, 1, 8, 8), phase=Phase.TRAIN, examples=BATCH):
                self.update()

    def count(self, steps: int) -> int:
        counter = FlopCounter()
        with counter:
            for _ in range(steps):
                self.update()
        return counter.flops


def charged(training: Training) -> int:
    meter = Meter()
    training.run(meter, STEPS)
    return meter.ledger().phases[Phase.TRAIN].flops


def test_counted_once_times_calls_is_the_full_count() -> None:
    assert charged(Training()) == Training().count(STEPS)


def test_the_comparison_sees_a_unit_whose_work_changes() -> None:
    """Negative control: a body that does more from its second call on breaks the promise, and the check sees it."""
    assert charged(Training(extra_work=True)) < Training(extra_work=True).count(STEPS)


def test_counting_changes_no_number() -> None:
    metered, plain = Training(), Training()
    metered.run(Meter(), STEPS)
    for _ in range(STEPS):
        plain.update()
    for a, b in zip(metered.network.state_dict().values(), plain.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_units_are_told_apart_by_phase_name_and_shape() -> None:
    meter = Meter()
    for phase, name, size in [
        (Phase.TRAIN, "a", 3), (Phase.TRAIN, "a", 5), (Phase.TRAIN, "b", 3), (Phase.SEARCH, "a", 3),
        (Phase.TRAIN, "a", 3),
    ]:
        work = {"a": 1, "b": 2}[name] * (10 if phase is Phase.SEARCH else 1)
        with meter.unit(name, (size,), phase=phase, examples=size):
            for _ in range(work):
                torch.ones(size) * 2
    assert meter.ledger().phases[Phase.TRAIN] == PhaseCost(flops=3 + 5 + 2 * 3 + 3, examples=14)
    assert meter.ledger().phases[Phase.SEARCH] == PhaseCost(flops=30, examples=3)


def test_units_do_not_nest() -> None:
    meter = Meter()
    with (
        pytest.raises(RuntimeError, match="do not nest"),
        meter.unit("outer", (), phase=Phase.TRAIN),
        meter.unit("inner", (), phase=Phase.TRAIN),
    ):
        pass
    assert meter.ledger() == Meter().ledger()


def test_an_exception_charges_nothing_and_leaves_the_meter_usable() -> None:
    meter = Meter()

    def fail() -> None:
        with meter.unit("u", (2,), phase=Phase.TRAIN, examples=2):
            torch.ones(2) * 2
            raise KeyError("body")

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    assert meter.ledger() == Meter().ledger()
    with meter.unit("u", (2,), phase=Phase.TRAIN, examples=2):
        torch.ones(2) * 2
    assert meter.ledger().phases[Phase.TRAIN] == PhaseCost(flops=2, examples=2)


def saved(state: Any) -> Any:
    """Through a file, as a checkpoint goes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_a_resumed_run_is_charged_the_same() -> None:
    """The work of the second half differs on purpose: a resume that counted again would show."""
    whole = Meter()
    Training(extra_work=True).run(whole, STEPS)
    first, second, training = Meter(), Meter(), Training(extra_work=True)
    training.run(first, 2)
    second.load_state_dict(saved(first.state_dict()))
    training.run(second, STEPS - 2)
    assert second.ledger() == whole.ledger()
    assert saved(second.state_dict()) == whole.state_dict()


def test_a_resume_that_forgot_its_units_would_show() -> None:
    """Negative control of the test above."""
    whole, training = Meter(), Training(extra_work=True)
    Training(extra_work=True).run(whole, STEPS)
    first, second = Meter(), Meter()
    training.run(first, 2)
    second.load_state_dict({**first.state_dict(), "units": []})
    training.run(second, STEPS - 2)
    assert second.ledger() != whole.ledger()


@pytest.mark.parametrize("state", [{}, {"ledger": 3}, {"ledger": Ledger().to_json(), "units": [[1]],
                                                       "unassigned_labels": 0}])
def test_a_bad_state_changes_nothing(state: Any) -> None:
    meter = Meter()
    meter.read_labels(3, Phase.TRAIN)
    before = meter.state_dict()
    with pytest.raises(ValueError, match="not a meter's"):
        meter.load_state_dict(state)
    assert meter.state_dict() == before


def test_what_has_no_formula_is_listed_in_the_ledger() -> None:
    @torch.library.custom_op("invsearch_cost_tests::odd", mutates_args=())
    def odd(x: Tensor) -> Tensor:
        return x + 1

    meter = Meter()
    for _ in range(3):
        with meter.unit("u", (2,), phase=Phase.TRAIN):
            odd(torch.ones(2))
    assert meter.ledger().uncounted == {"invsearch_cost_tests.odd": 1}  # once: seen while counting


class TestLabels:
    def test_they_go_to_the_open_unit_or_to_the_next(self) -> None:
        meter = Meter()
        meter.read_labels(1)  # drawn for the search unit below
        with meter.unit("s", (), phase=Phase.SEARCH):
            meter.read_labels(10)
        meter.read_labels(100)
        with meter.unit("t", (), phase=Phase.TRAIN):
            pass
        meter.read_labels(1000, Phase.SELECT)
        reads = {phase: cost.label_reads for phase, cost in meter.ledger().phases.items() if cost.label_reads}
        assert reads == {Phase.SEARCH: 11, Phase.TRAIN: 100, Phase.SELECT: 1000}

    def test_the_harness_takes_none_that_a_method_read(self) -> None:
        meter = Meter()
        clock = meter.start()
        meter.read_labels(7)
        with meter.unit("score", (), phase=Phase.SELECT):
            pass
        meter.stop(clock, Phase.SEARCH)
        assert meter.ledger().phases[Phase.SEARCH].label_reads == 7

    def test_none_is_lost_before_it_is_assigned(self) -> None:
        meter, resumed = Meter(), Meter()
        meter.read_labels(7)
        assert meter.ledger().metrics()["cost/label_reads"] == 7
        resumed.load_state_dict(saved(meter.state_dict()))
        resumed.stop(resumed.start(), Phase.SEARCH)
        assert resumed.ledger().phases[Phase.SEARCH].label_reads == 7
        assert resumed.ledger().metrics()["cost/label_reads"] == 7


class TestUnlabelled:
    def test_they_go_where_labels_go(self) -> None:
        meter = Meter()
        meter.read_unlabelled(1)
        with meter.unit("p", (), phase=Phase.PRETRAIN):
            meter.read_unlabelled(10)
        meter.read_unlabelled(100)
        meter.read_labels(5)
        with meter.unit("t", (), phase=Phase.TRAIN):
            pass
        phases = meter.ledger().phases
        assert (phases[Phase.PRETRAIN].unlabelled_reads, phases[Phase.PRETRAIN].label_reads) == (11, 0)
        assert (phases[Phase.TRAIN].unlabelled_reads, phases[Phase.TRAIN].label_reads) == (100, 5)

    def test_none_is_lost_before_it_is_assigned(self) -> None:
        meter, resumed = Meter(), Meter()
        meter.read_unlabelled(7)
        assert meter.ledger().metrics()["cost/unlabelled_reads"] == 7
        resumed.load_state_dict(saved(meter.state_dict()))
        resumed.stop(resumed.start(), Phase.SEARCH)
        assert resumed.ledger().phases[Phase.SEARCH].unlabelled_reads == 7
        assert resumed.ledger().metrics()["cost/unlabelled_reads"] == 7

    def test_ledgers_and_states_from_before_it_was_counted_still_load(self) -> None:
        meter = Meter()
        meter.read_labels(3, Phase.TRAIN)
        state = meter.state_dict()
        for cost in state["ledger"]["phases"].values():
            del cost["unlabelled_reads"]
        del state["unassigned_unlabelled"]
        resumed = Meter()
        resumed.load_state_dict(state)
        assert resumed.ledger() == meter.ledger()
        assert Ledger.from_json(state["ledger"]) == meter.ledger()


def test_time_is_measured_in_slices() -> None:
    meter = Meter()
    clock = meter.start()
    time.sleep(0.05)
    meter.stop(clock, Phase.SEARCH)
    time.sleep(0.2)  # between slices: nobody's
    cost = meter.ledger().phases[Phase.SEARCH]
    assert 0.05 <= cost.wall_seconds < 0.2
    assert 0.0 <= cost.cpu_seconds < 0.05
    assert cost.device_seconds == 0.0


def test_a_busy_slice_uses_the_processor() -> None:
    meter = Meter()
    clock, until = meter.start(), time.process_time() + 0.05
    while time.process_time() < until:
        pass
    meter.stop(clock, Phase.TRAIN)
    assert 0.05 <= meter.ledger().phases[Phase.TRAIN].cpu_seconds < 0.2


def test_the_host_peak_is_the_trials_own() -> None:
    """A reused worker: what an earlier trial allocated is forgotten. 256 MiB stand out of any noise."""
    meter = Meter()
    assert meter.ledger().peak_host_bytes is None
    big = torch.ones(64 * 2**20)
    meter.reset_peaks()
    with_big = meter.ledger().peak_host_bytes
    if with_big is None:
        pytest.skip("this system does not let a process reset its own memory peak")
    del big
    still = meter.ledger().peak_host_bytes
    assert still is not None
    assert still > with_big - 2**24  # the kernel's counters are a few pages behind
    meter.reset_peaks()
    after = meter.ledger().peak_host_bytes
    assert after is not None
    assert after < with_big - 2**27
