"""What a learned augmentation leaves behind for people.

    ranges.json         every operation with bounds, unit, cap and weight, and whether the cap was reached
    augmentation.pt     state_dict of the layer
    augmentation.py     the same as a fixed torchvision pipeline, where torchvision has a counterpart
    curves.png          ranges over updates
    contact_sheet.png   inputs at -r, -r/2, 0, r/2 and r of every operation, and drawn at random (images only)
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Generator, Tensor
from torchvision.utils import make_grid, save_image

from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer
from trainables.modules.augmentation.pipeline import source

SHOWN = (0.0, 0.25, 0.5, 0.75, 1.0)  # noise: from -r to r
PRINTABLE = (1, 3)                   # channels of what can be shown
ROWS = 2                             # inputs per operation on a sheet


def export(
    layer: AugmentationLayer, history: Tensor, steps: Tensor, images: Tensor | None, folder: Path
) -> dict[str, str]:
    """Write the files; returns name -> file.

    Args:
        history: (T, Q) shares of the caps over updates.
        steps: (T,) the updates.
        images: (N, C, H, W) to show; None for other inputs. Only grey and RGB ones are shown.
    """
    learned = [{**asdict(one), "name": str(one.name), "at_cap": one.at_cap} for one in layer.learned()]
    (folder / "ranges.json").write_text(json.dumps(learned, indent=2) + "\n")
    torch.save(layer.state_dict(), folder / "augmentation.pt")
    files = {"ranges": "ranges.json", "layer": "augmentation.pt"}
    shown = images is not None and images.shape[1] in PRINTABLE
    try:
        if shown:  # torchvision's colours take no other number of channels
            (folder / "augmentation.py").write_text(source(layer))
            files["pipeline"] = "augmentation.py"
    except UserError:  # the module itself is there
        pass
    if len(steps):
        _draw_curves(layer, history, steps, folder / "curves.png")
        files["curves"] = "curves.png"
    if images is not None and shown:
        save_image(make_grid(contact_sheet(layer, images[:ROWS]), nrow=len(SHOWN) + 1, pad_value=0.5),
                   folder / "contact_sheet.png")
        files["contact_sheet"] = "contact_sheet.png"
    return files


def contact_sheet(layer: AugmentationLayer, x: Tensor) -> Tensor:
    """(Q N (len(SHOWN) + 1), C, H, W): a row for each operation and image, the last column all operations at random."""
    count, operations = len(x), len(layer.shares)
    training = layer.training
    layer.eval()
    with torch.no_grad():
        random = layer.sample(count * operations, Generator().manual_seed(0))
        drawn = layer.augment(x.repeat(operations, 1, 1, 1), random).view(operations, count, 1, *x.shape[1:])
        levels = torch.tensor(SHOWN, device=x.device)
        alone = torch.eye(operations, device=x.device).repeat_interleave(count * len(SHOWN), 0)
        noise = levels.repeat(operations * count)[:, None].expand(-1, layer.noise_size())
        copies = x.repeat_interleave(len(SHOWN), 0).repeat(operations, 1, 1, 1)
        moved = layer.augment(copies, noise, alone).view(operations, count, len(SHOWN), *x.shape[1:])
    layer.train(training)
    return torch.cat((moved, drawn), 2).flatten(0, 2).clamp(0, 1)


def _draw_curves(layer: AugmentationLayer, history: Tensor, steps: Tensor, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    learned = layer.learned()
    figure = Figure(figsize=(8, 2.2 * -(-len(learned) // 3)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(learned) // 3), min(3, len(learned)), squeeze=False).ravel()
    for panel, one, shares in zip(panels, learned, history.T, strict=False):
        panel.plot(steps.tolist(), (shares * one.cap).tolist())
        panel.axhline(one.cap, linewidth=0.8, linestyle=":", color="grey")
        panel.set_title(str(one.name), fontsize=9)
        panel.set_ylabel(one.unit or "probability", fontsize=8)
        panel.set_ylim(bottom=0)
    for panel in panels[len(learned) :]:
        panel.set_axis_off()
    figure.supxlabel("updates", fontsize=9)
    figure.savefig(path)
