"""The ledger: what decisions see of it, sums, and its form on disk."""

from __future__ import annotations

import json

from tracking.cost import Ledger, Phase, PhaseCost


class TestLedger:
    FULL = Ledger(
        {
            Phase.PRETRAIN: PhaseCost(flops=2**70 + 1, wall_seconds=1.5, label_reads=1),
            Phase.TRAIN: PhaseCost(flops=10, examples=4, cpu_seconds=0.1, label_reads=2),
            Phase.SELECT: PhaseCost(flops=1000, label_reads=50),
        },
        peak_host_bytes=100,
        uncounted={"aten.odd": 2},
    )

    def test_decisions_see_the_methods_own_work_only(self) -> None:
        metrics = self.FULL.metrics()
        assert metrics["cost/flops"] == float(2**70 + 11)
        assert metrics["cost/label_reads"] == 53
        assert metrics["evaluation/flops"] == 1000
        assert metrics["cost/train/examples"] == 4
        assert metrics["cost/peak_host_bytes"] == 100
        assert not [name for name in metrics if name.startswith(("cost/search", "cost/select"))]
        assert not [name for name in metrics if "energy" in name]

    def test_json_is_exact(self) -> None:
        again = Ledger.from_json(json.loads(json.dumps(self.FULL.to_json())))
        assert again.phases[Phase.PRETRAIN].flops == 2**70 + 1
        assert again.phases[Phase.TRAIN] == self.FULL.phases[Phase.TRAIN]
        assert again.metrics() == self.FULL.metrics()
        assert again + Ledger() == again

    def test_sums(self) -> None:
        other = Ledger({Phase.TRAIN: PhaseCost(flops=5)}, peak_host_bytes=70, uncounted={"aten.odd": 1, "aten.b": 1})
        total = self.FULL + other
        assert total.phases[Phase.TRAIN] == PhaseCost(flops=15, examples=4, cpu_seconds=0.1, label_reads=2)
        assert total.peak_host_bytes == 100
        assert total.uncounted == {"aten.odd": 3, "aten.b": 1}
        assert total.device_energy_joules is None

    def test_unknown_energy_stays_unknown(self) -> None:
        known = Ledger(device_energy_joules=2.0, host_energy_estimate_joules=3.0)
        for name, value in {"device_energy_joules": 2.0, "host_energy_estimate_joules": 3.0}.items():
            assert getattr(known + known, name) == 2 * value
            assert getattr(known + self.FULL, name) is None
            assert getattr(sum([known, known], Ledger()), name) == 2 * value
            assert known.metrics()[f"cost/{name}"] == value
