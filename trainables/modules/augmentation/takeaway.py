"""What a learned augmentation leaves behind for people.

    ranges.json         every operation with bounds, unit, cap and weight, and whether the cap was reached
    augmentation.pt     state_dict of the layer; `restored` makes the layer from it
    augmentation.py     the same as a fixed torchvision pipeline, where torchvision has a counterpart
    curves.png          ranges over updates
    contact_sheet.png   inputs at -r, -r/2, 0, r/2 and r of every operation, and drawn at random; flips off and on;
                        signals from 0 to r
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image

from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer
from trainables.modules.augmentation.pipeline import source
from trainables.modules.augmentation.sheet import SHOWN, contact_sheet, draw_signals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRINTABLE = (1, 3)  # channels of images that can be shown
ROWS = 2            # inputs per operation on a sheet


def export(
    layer: AugmentationLayer, history: Tensor, steps: Tensor, examples: Tensor, folder: Path
) -> dict[str, str]:
    """Write the files; returns name -> file.

    Args:
        history: (T, Q) shares of the caps over updates.
        steps: (T,) the updates.
        examples: (N, *shape) to show; of images only grey and RGB ones are.
    """
    learned = [{**asdict(one), "name": str(one.name), "at_cap": one.at_cap} for one in layer.learned()]
    (folder / "ranges.json").write_text(json.dumps(learned, indent=2) + "\n")
    torch.save(layer.state_dict(), folder / "augmentation.pt")
    files = {"ranges": "ranges.json", "layer": "augmentation.pt"}
    shown = examples.dim() == 4 and examples.shape[1] in PRINTABLE
    try:
        if shown:  # torchvision's colours take no other number of channels
            (folder / "augmentation.py").write_text(source(layer))
            files["pipeline"] = "augmentation.py"
    except UserError:  # the module itself is there
        pass
    if len(steps):
        curves(layer, history, steps).savefig(folder / "curves.png")
        files["curves"] = "curves.png"
    if shown:
        save_image(make_grid(contact_sheet(layer, examples[:ROWS]), nrow=len(SHOWN) + 1, pad_value=0.5),
                   folder / "contact_sheet.png")
    elif examples.dim() == 3:
        draw_signals(layer, examples[:1], folder / "contact_sheet.png")
    if shown or examples.dim() == 3:
        files["contact_sheet"] = "contact_sheet.png"
    return files


def curves(layer: AugmentationLayer, history: Tensor, steps: Tensor) -> Figure:
    """A panel for each operation: its range in its unit over updates, below its cap; arguments as of `export`."""
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
    return figure
