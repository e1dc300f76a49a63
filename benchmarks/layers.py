"""What learned augmentation layers cost: `python benchmarks/layers.py [--quick | --full] [--device cuda]`.

Ratios of a training step (batch 128, 3 x 32 x 32) with a learned layer in front over the same step without, on a
ResNet-18 for small images and on a tiny network: the fused warp of six operations (`fused`), the warp and a colour map
of four (`warp_and_colour`), AugNet's mixture of the six (`mixture`); and, as what no learned layer can do without, the
gradient with respect to the input alone (`input_gradient`). And images per second of warp and colour against
kornia.augmentation, which draws the same operations per sample (`pip install kornia`; without it the figure is null).
Sides take turns; ratios are taken within a turn, figures are medians over turns.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss
from torchvision.models import resnet18

from spaces.transforms import Operation
from tracking.provenance import collect
from trainables.modules.augmentation import (
    AugmentationLayer,
    Compose,
    InvariantModel,
    LearnedAffine,
    LearnedColor,
    SelectLayer,
    range_reward,
)

HERE = Path(__file__).resolve().parent
BATCH, SIDE, CLASSES = 128, 32, 10
AFFINE = (Operation.ROTATION, Operation.TRANSLATE_X, Operation.TRANSLATE_Y, Operation.SCALE, Operation.SHEAR_X,
          Operation.SHEAR_Y)
NO_KORNIA = "kornia is not installed; `pip install kornia`"


def small_resnet() -> nn.Module:
    """ResNet-18 as used on CIFAR: a 3 x 3 stem, no pooling after it."""
    network = resnet18(num_classes=CLASSES)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def tiny() -> nn.Module:
    """Four blocks of 8 to 64 channels."""
    blocks: list[nn.Module] = []
    for before, after in ((3, 8), (8, 16), (16, 32), (32, 64)):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 4, CLASSES))


def layer() -> Compose:
    return Compose(LearnedAffine(AFFINE), LearnedColor())


def step_ratios(make: Callable[[], nn.Module], turns: int, device: torch.device, warm: int = 1) -> dict[str, float]:
    """Steps with a layer over the plain step of the same turn, medians over turns; every turn begins elsewhere."""
    fronts: dict[str, AugmentationLayer] = {
        "fused": LearnedAffine(AFFINE), "warp_and_colour": layer(), "mixture": SelectLayer(LearnedAffine(AFFINE)),
    }
    sides = {
        "plain": _plain_step(make, device), "input_gradient": _plain_step(make, device, to_input=True),
        **{name: _step(make, front, device) for name, front in fronts.items()},
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm + turns):
        names = list(sides)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken = seconds(sides[name], device)
            if turn >= warm:
                times[name].append(taken)
    plain = times.pop("plain")
    ratios = {name: [one / base for one, base in zip(taken, plain, strict=True)] for name, taken in times.items()}
    return {"plain": statistics.median(plain), **{name: statistics.median(some) for name, some in ratios.items()}}


def _batch(device: torch.device) -> tuple[Tensor, Tensor]:
    x = torch.rand(BATCH, 3, SIDE, SIDE, generator=Generator().manual_seed(0))
    return x.to(device), torch.arange(BATCH, device=device) % CLASSES


def _plain_step(make: Callable[[], nn.Module], device: torch.device, to_input: bool = False) -> Callable[[], None]:
    torch.manual_seed(0)
    x, y = _batch(device)
    trunk, x = make().to(device), x.requires_grad_(to_input)
    optimiser = torch.optim.SGD(trunk.parameters(), lr=0.01, momentum=0.9, foreach=True)
    return lambda: _descend(optimiser, lambda: cross_entropy(trunk(x), y))


def _step(make: Callable[[], nn.Module], front: AugmentationLayer, device: torch.device) -> Callable[[], None]:
    torch.manual_seed(0)
    g = Generator().manual_seed(0)
    x, y = _batch(device)
    model = InvariantModel(make(), front).to(device)
    groups = model.parameter_groups(learning_rate=0.01)
    optimiser = torch.optim.SGD(groups, lr=0.01, momentum=0.9, foreach=True)
    paid = lambda: 0.05 * range_reward(model.augmentation)  # noqa: E731
    return lambda: _descend(optimiser, lambda: nll_loss(model(x, model.sample(BATCH, g)), y) - paid())


def _descend(optimiser: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss().backward()
    optimiser.step()


def throughput(turns: int, device: torch.device) -> dict[str, float | None]:
    """Images per second of warp and colour, forward without gradients, ours and kornia's."""
    g = Generator().manual_seed(0)
    x = torch.rand(BATCH, 3, SIDE, SIDE, generator=g).to(device)
    ours = layer().to(device).eval()
    sides: dict[str, Callable[[], Any]] = {"ours": lambda: ours.draw(x, g)}
    theirs = kornia_pipeline()
    if theirs is not None:
        sides["kornia"] = partial(theirs, x)
    times: dict[str, list[float]] = {name: [] for name in sides}
    with torch.no_grad():
        for turn in range(3 + turns):
            for name, work in sides.items():
                taken = seconds(work, device)
                if turn >= 3:
                    times[name].append(taken)
    rates = {name: BATCH / statistics.median(values) for name, values in times.items()}
    return {"ours": rates["ours"], "kornia": rates.get("kornia")}


def kornia_pipeline() -> Callable[[Tensor], Tensor] | None:
    """The same operations in the same ranges; zooms uniform in the factor, colours in HSV, clamped in between."""
    try:
        from kornia.augmentation import AugmentationSequential, ColorJiggle, RandomAffine
    except ImportError:
        return None
    width = {Operation(one.name): one.high for one in layer().learned()}
    zoom = width[Operation.SCALE]
    return AugmentationSequential(  # type: ignore[no-any-return]
        RandomAffine(
            degrees=width[Operation.ROTATION], translate=(width[Operation.TRANSLATE_X], width[Operation.TRANSLATE_Y]),
            scale=(1 - zoom, 1 + zoom), shear=(-4.3, 4.3, -4.3, 4.3), p=1.0,
        ),
        ColorJiggle(
            width[Operation.BRIGHTNESS], width[Operation.CONTRAST], width[Operation.SATURATION], width[Operation.HUE],
            p=1.0,
        ),
    )


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Wall time; a GPU is waited for."""
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(turns: int, device: torch.device) -> dict[str, float | None]:
    """All figures; steps of the large network are the dear ones, so the others get ten times as many turns."""
    large = step_ratios(small_resnet, turns, device)
    small = step_ratios(tiny, 10 * turns, device, warm=3)
    rates = throughput(10 * turns, device)
    ratio = None if rates["kornia"] is None or rates["ours"] is None else rates["ours"] / rates["kornia"]
    return {
        "step_ratio_fused_resnet18": large["fused"], "step_ratio_fused_tiny": small["fused"],
        "throughput_ratio_vs_kornia": ratio,
        **{f"step_ratio_{side}_{name}": ratios[side] for side in ("input_gradient", "warp_and_colour", "mixture")
           for name, ratios in (("resnet18", large), ("tiny", small))},
        "plain_step_seconds_resnet18": large["plain"], "plain_step_seconds_tiny": small["plain"],
        "images_per_second_ours": rates["ours"], "images_per_second_kornia": rates["kornia"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="under 50 seconds on two cores")
    which.add_argument("--full", action="store_true", help="more turns")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.monotonic()
    figures = measured(1 if options.quick else 15 if options.full else 5, torch.device(options.device))
    for name, value in figures.items():
        print(f"{name:36s} {'not measured' if value is None else f'{value:.4g}'}")
    print(json.dumps({
        **figures, "reasons": {name: NO_KORNIA for name, value in figures.items() if value is None},
        "batch": BATCH, "side": SIDE, "threads": options.threads, "device": _device(options.device),
        "seconds": time.monotonic() - began, "command": shlex.join(sys.argv), "provenance": collect(HERE),
    }))


def _device(name: str) -> str:
    return torch.cuda.get_device_name() if name.startswith("cuda") else name


if __name__ == "__main__":
    main()
