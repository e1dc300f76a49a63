"""What every operation does to examples, strength by strength."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Generator, Tensor

from trainables.modules.augmentation.compose import Compose
from trainables.modules.augmentation.flip import LearnedFlip
from trainables.modules.augmentation.instance import InstanceRanges
from trainables.modules.augmentation.layer import AugmentationLayer, evaluating
from trainables.modules.augmentation.select import SelectLayer
from trainables.modules.augmentation.signals import LearnedSignal, SignalOperation

SHOWN = (0.0, 0.25, 0.5, 0.75, 1.0)  # noise: from -r to r; of signals shares of the strength: from 0 to r


def contact_sheet(layer: AugmentationLayer, x: Tensor) -> Tensor:
    """(Q N (len(SHOWN) + 1), C, H, W): a row for each operation and image, the last column all operations at random.

    Of a flip, which has no strength, the first three columns are off and the others on.
    """
    count, operations = len(x), len(layer.shares)
    with torch.no_grad(), evaluating(layer):
        random = layer.sample(count * operations, Generator().manual_seed(0))
        drawn = layer.augment(x.repeat(operations, 1, 1, 1), random).view(operations, count, 1, *x.shape[1:])
        levels = torch.tensor(SHOWN)
        alone = torch.eye(operations, device=x.device).repeat_interleave(count * len(SHOWN), 0)
        noise = levels[:, None].repeat(1, layer.noise_size())
        noise[:, flips(layer)] = (levels <= 0.5).to(noise)[:, None]  # one is off at whatever probability, zero is on
        noise = noise.repeat(operations * count, 1).to(x.device)
        copies = x.repeat_interleave(len(SHOWN), 0).repeat(operations, 1, 1, 1)
        moved = layer.augment(copies, noise, alone).view(operations, count, len(SHOWN), *x.shape[1:])
    return torch.cat((moved, drawn), 2).flatten(0, 2).clamp(0, 1)


def signal_sheet(layer: AugmentationLayer, x: Tensor) -> Tensor:
    """(Q, len(SHOWN), C, L) from one signal (1, C, L): each operation alone, one draw of it from none to the whole."""
    operations, levels = len(layer.shares), torch.tensor(SHOWN, device=x.device)
    with torch.no_grad(), evaluating(layer):
        noise = layer.sample(1, Generator().manual_seed(0))
        noise[:, shifts(layer)] = 1.0  # by all of their ranges
        alone = torch.eye(operations, device=x.device)[:, None] * levels[:, None]
        copies, count = x.expand(operations * len(levels), -1, -1), operations * len(levels)
        moved = layer.augment(copies, noise.expand(count, -1), alone.flatten(0, 1))
    return moved.view(operations, len(levels), *x.shape[1:])


def shifts(layer: AugmentationLayer) -> list[int]:
    """Which of the noise numbers say how far a frequency shift goes, in a layer of layers too."""
    return _places(layer, lambda one: (
        one.noise_of(SignalOperation.FREQUENCY_SHIFT)[:1] if isinstance(one, LearnedSignal) else []
    ))


def flips(layer: AugmentationLayer) -> list[int]:
    """Which of the noise numbers decide about a flip, in a layer of layers too."""
    return _places(layer, lambda one: list(range(one.noise_size())) if isinstance(one, LearnedFlip) else [])


def _places(layer: AugmentationLayer, own: Callable[[AugmentationLayer], list[int]]) -> list[int]:
    """Noise numbers of a layer, by those of a layer that has no layers in it."""
    if isinstance(layer, InstanceRanges | SelectLayer):
        return _places(layer.layer, own)  # its noise comes first
    if not isinstance(layer, Compose):
        return own(layer)
    found, before = [], 0
    for part in layer.parts():
        found += [before + place for place in _places(part, own)]
        before += part.noise_size()
    return found


def reaches(layer: AugmentationLayer, x: Tensor) -> list[float]:
    """(Q,) the upper bounds for one input (1, *shape), in the operations' units."""
    if not isinstance(layer, InstanceRanges):
        return [one.high for one in layer.learned()]
    with torch.no_grad():
        own = layer.of(x)[0].tolist()
    return [one.high * share for one, share in zip(layer.layer.learned(), own, strict=True)]


def draw_signals(layer: AugmentationLayer, x: Tensor, path: Path) -> None:
    """`signal_sheet` as lines, channels over each other, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet, learned = signal_sheet(layer, x).cpu(), layer.learned()
    figure = Figure(figsize=(2.2 * len(SHOWN), 1.4 * len(learned)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(learned), len(SHOWN), squeeze=False, sharex=True, sharey=True)
    for row, one, high, moved in zip(panels, learned, reaches(layer, x), sheet, strict=True):
        for panel, share, signal in zip(row, SHOWN, moved, strict=True):
            panel.plot(signal.T.numpy(), linewidth=0.6)
            panel.set_title(f"{share * high:.3g} {one.unit}".strip(), fontsize=8)
        row[0].set_ylabel(str(one.name), fontsize=8)
    figure.supxlabel("samples", fontsize=9)
    figure.savefig(path)
