"""What a step of a policy search costs over plain training with the same augmentation: `python benchmarks/bilevel.py`.

Ratios of seconds per update on digits at 28 x 28 (batch 64), for each of two networks of the house (`mlp`, in which
matrix products are most of a step, and `small_cnn`, in which pooling and normalisation are): one-step unrolling at
outer intervals of 1 and 10, its central difference, implicit gradients with several numbers of Neumann products and by
conjugate gradient. The outer batch is as large as the inner one (`equal`) and twice as large (`house`, what methods
use). The plain side trains through the same policy, with its gradients cut. Sides take turns; ratios are taken within a
turn, figures are medians over turns. A line through the Neumann ratios gives what one product costs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tracking.cost import Meter
from tracking.provenance import collect
from trainables.method import Context
from trainables.methods import implicit, unrolled
from trainables.modules.frozen import ThroughPolicy
from trainables.modules.hypergradient import Derivative, Estimator, OneStep
from trainables.modules.implicit_gradient import Implicit, Solver
from trainables.modules.learned_policy import LearnedPolicy, fixed_policy
from trainables.modules.networks import Network, builder
from trainables.modules.policy_search import PolicySearch
from trainables.modules.policy_space import OPERATIONS
from trainables.problems.digits import Config as Digits
from trainables.problems.spec import in_memory

HERE = Path(__file__).resolve().parent
SIDE, LONG, INTERVAL = 28, 10**6, 10
PRODUCTS = (1, 3, 5, 10)
Work = Callable[[], object]


def context(network: Network) -> Context:
    """A fresh one, of a length that no benchmark reaches."""
    meter = Meter("cpu")
    return Context(
        problem=in_memory(Digits(size=SIDE).load(0), 0, 0).view(meter), horizon=LONG, slice_updates=1, seed=0,
        device=torch.device("cpu"), meter=meter, network=builder(network),
    )


def plain(network: Network) -> Work:
    """Training through the policy that searches begin with."""
    start = LearnedPolicy(OPERATIONS)
    policy = fixed_policy(start.operations, start.choice_logits, start.range_logits)
    method = ThroughPolicy(context(network), unrolled.Config(), policy)
    return method._update  # without the means that a slice reports, as on the other side


def search(network: Network, estimator: Estimator, interval: int = 1, ratio: int = 1) -> Work:
    """`interval` updates of a search, one of them with an outer step.

    Args:
        ratio: outer examples over inner ones.
    """
    # Configurations refuse outer batches of the inner size, which are asked for here.
    config = unrolled.Config(outer_interval=interval, outer_warm_up=0.0)
    config = config.model_copy(update={"outer_batch_ratio": ratio})
    made = PolicySearch(context(network), config, OPERATIONS, LONG, estimator)
    return lambda: [made.update() for _ in range(interval)]


def sides(network: Network) -> dict[str, tuple[Work, int]]:
    """Work and its updates, by name."""
    defaults = implicit.Config()
    found = {"plain": (plain(network), 1)}
    for name, ratio in (("equal", 1), ("house", unrolled.Config().outer_batch_ratio)):
        found[f"unrolled_{name}"] = (search(network, OneStep(), 1, ratio), 1)
        found[f"unrolled_interval{INTERVAL}_{name}"] = (search(network, OneStep(), INTERVAL, ratio), INTERVAL)
        found[f"difference_{name}"] = (search(network, OneStep(Derivative.DIFFERENCE), 1, ratio), 1)
    for products in PRODUCTS:
        found[f"neumann{products}_equal"] = (search(network, Implicit(products=products)), 1)
    found[f"conjugate_gradient{defaults.products}_equal"] = (
        search(network, Implicit(Solver.CONJUGATE_GRADIENT, products=defaults.products)), 1,
    )
    found[f"implicit_interval{defaults.outer_interval}_house"] = (
        search(network, Implicit(products=defaults.products), defaults.outer_interval, defaults.outer_batch_ratio),
        defaults.outer_interval,
    )
    return found


def ratios(network: Network, turns: int, warm: int = 3) -> dict[str, float]:
    """Seconds per update over those of the plain side; `plain_ms` in milliseconds."""
    works = sides(network)
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warm + turns):
        for name, (work, updates) in works.items():
            began = time.perf_counter()
            work()
            seconds = (time.perf_counter() - began) / updates
            if turn >= warm:
                taken[name].append(seconds)
    base = taken.pop("plain")
    found = {name: statistics.median(np.divide(values, base).tolist()) for name, values in taken.items()}
    slope, start = np.polyfit(PRODUCTS, [found[f"neumann{k}_equal"] for k in PRODUCTS], 1)
    return {**found, "neumann_per_product": float(slope), "neumann_without": float(start),
            "plain_ms": 1000 * statistics.median(base)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="under 50 seconds on two cores")
    which.add_argument("--full", action="store_true", help="more turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--networks", nargs="+", type=Network, choices=tuple(Network), default=[Network.MLP, Network.SMALL_CNN]
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for network in options.networks:
        began = time.monotonic()
        figures = ratios(network, 5 if options.quick else 60 if options.full else 20)
        for name, value in figures.items():
            print(f"{network:12s} {name:32s} {value:.4g}")
        print(json.dumps({
            **figures, "network": network, "side": SIDE, "threads": options.threads,
            "seconds": time.monotonic() - began, "command": shlex.join(sys.argv), "provenance": collect(HERE),
        }))


if __name__ == "__main__":
    main()
