"""What a learned generator leaves behind for people.

    generator.pt      the artefact's state; `load_transfer` makes the generator of it
    generator.json    what was measured of it, and the size of each shown class
    transfer.png      images of the largest and the smallest classes, beside what the generator makes of them
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Generator, Tensor
from torchvision.utils import make_grid, save_image

from trainables.method import Context, Role, State
from trainables.modules.generators.transfer import Transfer
from trainables.problems.problem import LEARNABLE, ByClass

SHOWN = 3    # classes of either end
SAMPLES = 7  # of each image


def export(context: Context, transfer: Transfer, state: State, folder: Path) -> dict[str, str]:
    """Write the files; returns name -> file.

    Args:
        state: of the artefact.
    """
    torch.save(state, folder / "generator.pt")
    facts: dict[str, object] = {**transfer.describe(), "collapsed": transfer.collapsed()}
    files = {"generator": "generator.pt", "facts": "generator.json"}
    if isinstance(context.problem, ByClass):
        sizes = context.problem.class_sizes(*LEARNABLE)
        shown = ends(sizes)
        facts["shown_classes"] = [{"class": label, "size": int(sizes[label])} for label in shown]
        images = context.problem.draw_classes(context.generator(Role.ORDER, 1), torch.tensor(shown), *LEARNABLE).x
        sheet = contact_sheet(transfer, images.to(context.device))
        save_image(make_grid(sheet.cpu(), nrow=SAMPLES + 1, pad_value=0.5), folder / "transfer.png")
        files["picture"] = "transfer.png"
    (folder / "generator.json").write_text(json.dumps(facts, indent=2) + "\n")
    return files


def ends(sizes: Tensor) -> list[int]:
    """Labels of the largest classes, then those of the smallest; each once."""
    falling = [label for label in sizes.argsort(descending=True, stable=True).tolist() if sizes[label] > 0]
    return list(dict.fromkeys([*falling[:SHOWN], *falling[-SHOWN:]]))


def contact_sheet(transfer: Transfer, x: Tensor) -> Tensor:
    """(N (1 + SAMPLES), C, H, W): a row for each image, the first column the image itself."""
    made = transfer.sample(x.repeat_interleave(SAMPLES, 0), Generator().manual_seed(0))
    return torch.cat((x[:, None], made.view(len(x), SAMPLES, *x.shape[1:])), 1).flatten(0, 1)
