"""Energy: by made-up counters with known answers; a process takes its share of CPU-seconds, a shared GPU nothing."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tracking.cost import Meter, Phase
from tracking.energy import Energy
from tracking.ledger import Ledger, PhaseCost

TICKS = os.sysconf("SC_CLK_TCK")


class Machine:
    """A folder that looks like the kernel's: two packages, each with a part that must not be counted again."""

    def __init__(self, folder: Path) -> None:
        self.powercap, self.stat = folder / "powercap", folder / "stat"
        for zone, name in [
            ("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "core"),
            ("intel-rapl-mmio:0", "package-0"), ("intel-rapl:2", "psys"),
        ]:
            place = self.powercap / zone
            place.mkdir(parents=True)
            (place / "name").write_text(f"{name}\n")
            (place / "max_energy_range_uj").write_text("1000000000\n")
            self.set(zone, 7.0)
        self.busy(100.0)

    def set(self, zone: str, joules: float) -> None:
        (self.powercap / zone / "energy_uj").write_text(f"{round(joules * 1e6)}\n")

    def busy(self, seconds: float) -> None:
        """A fifth each of user, nice, system, irq and softirq; idle, waiting, stolen and guests are not busy."""
        n = round(seconds * TICKS / 5)
        self.stat.write_text(f"cpu {n} {n} {n} 99999 888 {n} {n} 7 55 3\ncpu0 1 1 1 1 1 1 1 0 0 0\n")

    def energy(self, **further: Any) -> Energy:
        return Energy(powercap=self.powercap, proc_stat=self.stat, **further)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_process_takes_its_share_of_whole_packages(machine: Machine) -> None:
    energy = machine.energy()
    start = energy.read()
    machine.set("intel-rapl:0", 47.0)
    machine.set("intel-rapl:1", 27.0)
    for part in ("intel-rapl:0:0", "intel-rapl-mmio:0", "intel-rapl:2"):
        machine.set(part, 500.0)
    machine.busy(120.0)
    assert energy.used(start, energy.read(), 5.0).host_estimate == pytest.approx((40 + 20) * 5 / 20)


def test_no_process_takes_more_than_there_was(machine: Machine) -> None:
    energy = machine.energy()
    start = energy.read()
    machine.set("intel-rapl:0", 17.0)
    machine.busy(110.0)
    assert energy.used(start, energy.read(), 10.3).host_estimate == pytest.approx(10.0)


def test_a_counter_that_turned_over_is_read_on(machine: Machine) -> None:
    energy = machine.energy()
    machine.set("intel-rapl:0", 990.0)
    start = energy.read()
    machine.set("intel-rapl:0", 4.0)
    machine.busy(101.0)
    assert energy.used(start, energy.read(), 1.0).host_estimate == pytest.approx(14.0)
    (machine.powercap / "intel-rapl:0" / "max_energy_range_uj").unlink()
    assert energy.used(start, energy.read(), 1.0).host_estimate is None


@pytest.mark.parametrize("missing", ["energy_uj", "stat", "all"])
def test_half_of_the_counters_is_no_figure(machine: Machine, missing: str) -> None:
    if missing == "energy_uj":
        (machine.powercap / "intel-rapl:1" / "energy_uj").unlink()
    elif missing == "stat":
        machine.stat.unlink()
    else:
        machine.powercap = machine.powercap / "nowhere"
    energy = machine.energy()
    used = energy.used(energy.read(), energy.read(), 1.0)
    assert (used.host_estimate, used.device) == (None, None)


class Nvml:
    """As much of pynvml as is used; the processes of `pids` compute on the GPU."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.millijoules, self.pids, self.asked = 5_000, [os.getpid()], b""

    def nvmlInit(self) -> None:
        return None

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> str:
        self.asked = uuid
        return "handle"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.millijoules < 0:
            raise self.NVMLError
        return self.millijoules


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    properties = SimpleNamespace(uuid="1234-abcd")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return Nvml()


def test_a_gpu_of_its_own_is_counted_by_uuid(machine: Machine, nvml: Nvml) -> None:
    energy = machine.energy(device="cuda:0", nvml=nvml)
    start = energy.read()
    nvml.millijoules = 12_500
    assert nvml.asked == b"GPU-1234-abcd"
    assert energy.used(start, energy.read(), 1.0).device == pytest.approx(7.5)


@pytest.mark.parametrize("pids", [[os.getpid(), 1], [1], []], ids=["shared", "another's", "hidden"])
def test_a_gpu_that_is_not_known_to_be_ours_is_no_ones(machine: Machine, nvml: Nvml, pids: list[int]) -> None:
    energy = machine.energy(device="cuda:0", nvml=nvml)
    start = energy.read()
    nvml.pids = pids
    assert energy.used(start, energy.read(), 1.0).device is None


def test_a_gpu_without_the_counter(machine: Machine, nvml: Nvml) -> None:
    nvml.millijoules = -1
    energy = machine.energy(device="cuda:0", nvml=nvml)
    assert energy.used(energy.read(), energy.read(), 1.0).device is None


class TestMeter:
    def slice(self, meter: Meter, machine: Machine, joules: float, phase: Phase) -> None:
        clock = meter.start()
        machine.set("intel-rapl:0", joules)
        sum(i * i for i in range(200_000))  # some CPU time, so that its share is not zero
        meter.stop(clock, phase)

    def test_slices_add_up_and_the_harness_scoring_is_left_out(self, machine: Machine) -> None:
        energy = machine.energy()
        meter = Meter(energy=energy)
        machine.busy(0.0)
        energy._busy_seconds = iter([0.0, 1e-9] * 9).__next__  # type: ignore[method-assign]  # alone on the machine
        self.slice(meter, machine, 17.0, Phase.TRAIN)
        self.slice(meter, machine, 30.0, Phase.SEARCH)
        assert meter.ledger().host_energy_estimate_joules == pytest.approx(23.0)
        clock = meter.start()
        machine.set("intel-rapl:0", 99.0)
        meter.stop(clock, Phase.SELECT)
        assert meter.ledger().host_energy_estimate_joules == pytest.approx(23.0)
        assert meter.ledger().device_energy_joules is None
        again = Meter(energy=energy)
        again.load_state_dict(meter.state_dict())
        assert again.ledger().host_energy_estimate_joules == pytest.approx(23.0)

    def test_one_unread_slice_makes_the_whole_unknown_also_after_a_resume(self, machine: Machine) -> None:
        meter = Meter(energy=machine.energy())
        assert meter.ledger().host_energy_estimate_joules is None
        self.slice(meter, machine, 8.0, Phase.TRAIN)
        assert meter.ledger().host_energy_estimate_joules is not None
        machine.stat.unlink()
        self.slice(meter, machine, 9.0, Phase.TRAIN)
        assert meter.ledger().host_energy_estimate_joules is None
        machine.busy(100.0)
        again = Meter(energy=machine.energy())
        again.load_state_dict(meter.state_dict())
        self.slice(again, machine, 10.0, Phase.TRAIN)
        assert again.ledger().host_energy_estimate_joules is None


def test_slices_shorter_than_a_tick_of_the_machine_average_out(machine: Machine) -> None:
    """Ten slices in each of which the process spends half of the machine's time, of which every second shows a tick."""
    energy, total = machine.energy(), None
    for k in range(10):
        start = energy.read()
        machine.set("intel-rapl:0", 8.0 + k)
        machine.busy(100.0 + 0.1 * ((k + 1) // 2))
        used = energy.used(start, energy.read(), 0.025)
        total = used if total is None else total + used
    assert total is not None and total.host_estimate == pytest.approx(10 * 0.25 / 0.5)


def test_a_ledger_of_an_earlier_version_is_read() -> None:
    old = Ledger({Phase.TRAIN: PhaseCost(flops=3)}).to_json()
    for name in ("device_energy_joules", "host_energy_estimate_joules"):
        del old[name]
    assert Ledger.from_json({**old, "energy_joules": None}).phases[Phase.TRAIN].flops == 3
