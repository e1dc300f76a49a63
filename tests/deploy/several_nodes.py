"""What happens on a cluster of several raylets of this machine; run by `test_several_nodes.py` in a process of its own.

Prints one JSON object of facts: a session of Ray's cannot be opened beside the one that other tests share.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.cluster_utils import Cluster

from search import cluster, doctor, doctor_cluster, nodes, runner
from search.cluster import Connection
from search.settings import Placement, Resources
from search.shared_storage import check_storage
from search.study import Comparison
from search.sweep import Sweep
from tracking.errors import StartError, UserError
from tracking.journal import of_kind
from tracking.storage import Place
from trainables.plugins import PluginFile
from trainables.problems.store import cache_folder, cached

ROOT = Path(__file__).resolve().parents[2]
NODES, CPUS = 3, 2


class Where(tune.Trainable):  # type: ignore[misc]
    """Ends after one step, and says where that was."""

    def step(self) -> dict[str, Any]:
        time.sleep(0.5)  # so that all are there at once
        return {"node": ray.get_runtime_context().get_node_id(), "done": True}


def placements(placement: Placement, trials: int, scratch: Path) -> list[int]:
    """How many trials went to each node that got some."""
    grid = tune.Tuner(
        tune.with_resources(Where, cluster.placement(Resources(placement=placement))),
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(
            verbose=0, storage_path=str(scratch),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    ).fit()
    settle()
    return sorted(Counter(result.metrics["node"] for result in grid).values())


def settle() -> None:
    """Until Ray has taken all workers and groups of the last experiment away."""
    whole = ray.cluster_resources()["CPU"]
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") != whole and time.monotonic() < deadline:
        time.sleep(0.2)


def built(key: str) -> int:
    """Prepare data as two trials on this node do at once; how often it was made is a file per time."""
    folder = cache_folder()

    def make() -> dict[str, Any]:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f"made-{key}-", delete=False):
            time.sleep(0.5)
        return {"x": np.ones(3)}

    workers = [ray.remote(num_cpus=0)(lambda: len(cached(folder, key, make))) for _ in range(1)]
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    ray.get([worker.options(scheduling_strategy=here).remote() for worker in workers * 2])
    return len(list(folder.glob(f"made-{key}-*")))


@contextmanager
def session(connection: Connection) -> Iterator[None]:
    cluster.start(connection)
    try:
        yield
    finally:
        ray.shutdown()


def refused(body: Any) -> str | None:
    try:
        body()
    except (StartError, UserError) as error:
        return str(error)
    return None


def fast(trials: int, seconds: float) -> Comparison:
    """Trials that ask for what one node has."""
    plugin = PluginFile.of(ROOT / "benchmarks" / "trivial.py")
    return Comparison.model_validate({
        "plugins": [plugin.model_dump(mode="json")],
        "problems": [{"label": "noise", "source": {"name": "noise"}}],
        "methods": [{"name": "trivial", "settings": {"seconds": seconds}}],
        "network": "mlp", "horizon": 1, "slices": 1, "budget": 1e9, "max_trials": trials, "confirm_seeds": 1,
        "sampler": "random", "asha": None, "copies": 1, "strengths": 1, "resources": {"custom": {"fast": 1}},
    })


def leaving(made: Cluster, node: Any, folder: Path, address: str) -> dict[str, Any]:
    """A sweep whose only node goes; then it comes back, and the sweep is resumed."""
    comparison, place, gone = fast(6, 3.0), Place.of(folder / "leaving"), [0.0]

    def watch(event: Any) -> None:
        if event["kind"] == "ended" and "/tune-" in event["uid"] and not gone[0]:
            gone[0] = time.monotonic()
            threading.Thread(target=made.remove_node, args=(node,), kwargs={"allow_graceful": False}).start()

    said = refused(lambda: runner.compare(comparison, place, (watch,), Connection(address=address)))
    told = time.monotonic() - gone[0]
    made.add_node(num_cpus=CPUS, resources={"fast": 1})
    resumed = runner.resume(Sweep(place), (), Connection(address=address))
    return {"said": said, "told_seconds": told, "code": int(resumed.code)}


def joined(folder: Path, address: str) -> dict[str, Any]:
    """A sweep in mid-run when a node joins that has an empty folder where the sweep's storage should be."""
    hidden = folder / "hidden-later"
    hidden.mkdir()
    place, over, apart = Place.of(hidden / "joined"), threading.Event(), [False]

    def join() -> None:
        with separate(address, hidden) as apart[0]:
            over.wait(120)

    thread = threading.Thread(target=join)

    def watch(event: Any) -> None:
        if event["kind"] == "ended" and "/tune-" in event["uid"] and thread.ident is None:
            thread.start()

    code = runner.compare(fast(8, 3.0), place, (watch,), Connection(address=address)).code
    over.set()
    thread.join()
    told = [event["text"] for event in of_kind(Sweep(place).events(), "warning") if "has joined" in event["text"]]
    return {"apart": apart[0], "told": told, "code": int(code)}


@contextmanager
def separate(address: str, hidden: Path) -> Iterator[bool]:
    """One more node that has an empty folder of its own where the others have `hidden`; False where that cannot be."""
    script = f"mount -t tmpfs none {hidden} && exec {sys.executable.replace('python', 'ray')} start --block " \
             f"--address={address} --num-cpus=1"
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        yield False
        return
    before = len(nodes.alive())
    process = subprocess.Popen(["unshare", "-m", "bash", "-c", script], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while len(nodes.alive()) == before and time.monotonic() < deadline:
            time.sleep(0.5)
        yield len(nodes.alive()) > before
    finally:
        process.terminate()
        process.wait(60)


def main(folder: Path, wheel: Path | None) -> dict[str, Any]:
    made = Cluster(initialize_head=True, head_node_args={
        "num_cpus": CPUS, "include_dashboard": False, "env_vars": {"INVSEARCH_CACHE": str(folder / "cache-0")},
    })
    caches = [{"INVSEARCH_CACHE": str(folder / f"cache-{number}")} for number in range(1, NODES)]
    others = [made.add_node(num_cpus=CPUS, resources={"fast": 1} if number == 1 else {}, env_vars=env)
              for number, env in enumerate(caches)]
    facts: dict[str, Any] = {}
    try:
        with session(Connection(address=made.address)):
            facts["slots"] = [cluster.slots(Resources()), cluster.slots(Resources(cpus=2)),
                              cluster.slots(Resources(custom={"fast": 1}))]
            facts["infeasible"] = refused(lambda: cluster.slots(Resources(cpus=3)))
            facts["pack"] = placements(Placement.PACK, 4, folder / "tune")
            facts["spread"] = placements(Placement.SPREAD, 3, folder / "tune")
            facts["caches"] = sorted(str(answer) for answer in nodes.ask(cache_folder).values())
            facts["built"] = [str(answer) for answer in nodes.ask(built, "key").values()]
            facts["shared"] = refused(lambda: check_storage(Place.of(folder / "shared")))
            (folder / "hidden").mkdir()
            with separate(made.address, folder / "hidden") as apart:
                facts["hidden"] = refused(lambda: check_storage(Place.of(folder / "hidden"))) if apart else "skip"
            facts["doctor"] = {finding.what: finding.good for finding in doctor_cluster.examine(
                Place.of(folder / "shared"), doctor.names_resolve_here)}
        with session(Connection(address=made.address, working_dir=ROOT)):
            facts["shipped"] = sorted({str(answer) for answer in nodes.ask(doctor.names_resolve_here).values()})
        if wheel is not None:
            with session(Connection(address=made.address, wheel=wheel)):
                facts["wheel"] = sorted({str(answer) for answer in nodes.ask(doctor.names_resolve_here).values()})
        facts["joined"] = joined(folder, made.address)
        facts["leaving"] = leaving(made, others[1], folder, made.address)
    finally:
        ray.shutdown()
        made.shutdown()
    return facts


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="nodes-", ignore_cleanup_errors=True) as temporary:
        os.environ["RAY_TMPDIR"] = temporary  # short: a socket's path has at most 107 characters
        found = main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    print(json.dumps(found))
