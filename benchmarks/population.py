"""Our synchronous generations against Ray's own PBT: `python benchmarks/population.py [--quick | --full]`.

The quadratic toy of the paper on population based training: Q = 1.2 at the top, 0.39 without selection and mutation.
Ray's `PopulationBasedTraining(synch=True)` is the reference, with the same population, generations, updates and
mutations; what it lacks is a journal (a killed driver goes on and repeats nothing), and equal decisions at any timing.
Both run through real Ray on two slots; seconds are those between the first report and the last, for ours with journal.

    --quick  one seed of each and no control, under 50 seconds on two idle cores
    (none)   five
    --full   twenty
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
MEMBERS, GENERATIONS, UPDATES = 8, 8, 160  # updates of a whole training
CONTROL = "ours, nothing mutates"


def described(seed: int, mutates: bool) -> Any:
    """One study of the toy."""
    from search.study import Comparison
    from trainables.plugins import PluginFile

    return Comparison.model_validate({
        "plugins": [PluginFile.of(HERE / name).model_dump(mode="json") for name in ("quadratic.py", "trivial.py")],
        "problems": [{"label": "toy", "source": {"name": "opposites"}}],
        "methods": [{"name": "quadratic", "settings": {
            "population": MEMBERS, "generations": GENERATIONS, "mutates": mutates,
        }}],
        "network": "small_cnn", "horizon": UPDATES, "slices": GENERATIONS, "budget": 1e9, "confirm_seeds": 1,
        "seed": seed, "copies": 1, "strengths": 1, "parallel_trials": 2,
    })


def ours(seed: int, mutates: bool = True) -> tuple[float, float]:
    """Q of the confirmed schedule, and seconds of the tune stage per member and generation."""
    from search import runner
    from search.cluster import Connection

    with tempfile.TemporaryDirectory() as folder:
        outcome = runner.compare(described(seed, mutates), Path(folder) / "toy", (), Connection(cpus=2))
        events = outcome.sweep.events()
    confirmed = next(e for e in events if e["kind"] == "ended" and e["uid"] == "toy/quadratic/rerun-1")
    times = [e["time_ms"] for e in events if e["kind"] == "ended" and "/tune-" in e["uid"]]
    return confirmed["metrics"]["learned/q"], (times[-1] - times[0]) / 1000 / (len(times) - 1)


def rays(seed: int) -> tuple[float, float]:
    """The same through Ray's scheduler: Q of the best member at the end, and seconds per member and generation."""
    import ray
    from quadratic import Settings, descended, first, mutated, score
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    generator = np.random.default_rng(seed)

    class Member(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.theta: Settings = (0.9, 0.9)

        def step(self) -> dict[str, Any]:
            for _ in range(UPDATES // GENERATIONS):
                self.theta = descended(self.theta, tuple(self.config["h"]))
            return {"q": score(self.theta)}

        def save_checkpoint(self, folder: str) -> None:
            (Path(folder) / "theta.json").write_text(json.dumps(self.theta))

        def load_checkpoint(self, folder: str) -> None:
            self.theta = tuple(json.loads((Path(folder) / "theta.json").read_text()))

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config, self.theta = new_config, (0.9, 0.9)
            return True

    def explored(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "h": list(mutated(tuple(config["h"]), generator))}

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    times: list[float] = []

    class Watch(tune.Callback):  # type: ignore[misc]
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        found = tune.Tuner(
            tune.with_resources(Member, {"cpu": 1}),
            param_space={"h": tune.grid_search([list(first(member)) for member in range(MEMBERS)])},
            tune_config=tune.TuneConfig(
                metric="q", mode="max", reuse_actors=True,
                scheduler=PopulationBasedTraining(
                    time_attr="training_iteration", perturbation_interval=1, synch=True, custom_explore_fn=explored,
                ),
            ),
            run_config=tune.RunConfig(
                stop={"training_iteration": GENERATIONS}, storage_path=folder, verbose=0, callbacks=[Watch()],
            ),
        ).fit()
        best = max(result.metrics["q"] for result in found if result.metrics)
    return float(best), (times[-1] - times[0]) / (len(times) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true")
    which.add_argument("--full", action="store_true")
    options = parser.parse_args()
    seeds = 1 if options.quick else 20 if options.full else 5
    began, rows = time.monotonic(), {"ours": [ours(seed) for seed in range(seeds)]}
    rows["ray"] = [rays(seed) for seed in range(seeds)]
    if not options.quick:
        rows[CONTROL] = [ours(0, mutates=False)]
    print(f"{'':24s} Q (top 1.2)          s per member and generation")
    for name, found in rows.items():
        q, seconds = zip(*found, strict=True)
        spread = f"+- {statistics.stdev(q):.3f}" if len(q) > 1 else ""
        print(f"{name:24s} {statistics.fmean(q):.3f} {spread:12s} {statistics.median(seconds):.3f}")
    from tracking.provenance import collect

    means = {name: statistics.fmean(q for q, _ in found) for name, found in rows.items()}
    pace = {name: statistics.median(seconds for _, seconds in found) for name, found in rows.items()}
    print(json.dumps({
        "q_ours": means["ours"], "q_ray": means["ray"], "q_without_mutation": means.get(CONTROL),
        "q_ours_minus_ray": means["ours"] - means["ray"],
        "seconds_per_member_generation_ours": pace["ours"], "seconds_per_member_generation_ray": pace["ray"],
        "reasons": {"q_without_mutation": "--quick leaves the control out"} if options.quick else {},
        "seeds": seeds, "seconds": time.monotonic() - began, "provenance": collect(HERE),
    }))


if __name__ == "__main__":
    main()
