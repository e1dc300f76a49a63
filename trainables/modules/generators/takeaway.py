"""What a learned generator leaves behind for people.

    generator.pt      the artefact's state; `load_transfer` makes the generator of it
    generator.json    what was measured of it, and name and size of each shown class
    transfer.png      images of the largest and the smallest classes, beside what the generator makes of them; the names
                      of the classes at the right
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torchvision.utils import make_grid

from trainables.method import Context, Role, State
from trainables.modules.generators.transfer import Transfer
from trainables.problems.problem import LEARNABLE, ByClass

SHOWN = 3    # classes of either end
SAMPLES = 7  # of each image
BETWEEN = 2  # pixels, of images
LETTERS = 24  # of a name


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
        known = dict(enumerate(getattr(context.problem, "classes", ())))  # a plug-in's problem may name none
        names = [known.get(label, str(label)) for label in shown]
        facts["shown_classes"] = [
            {"class": label, "name": name, "size": int(sizes[label])} for label, name in zip(shown, names, strict=True)
        ]
        images = context.problem.draw_classes(context.generator(Role.ORDER, 1), torch.tensor(shown), *LEARNABLE).x
        sheet = contact_sheet(transfer, images.to(context.device))
        picture(sheet, names).save(folder / "transfer.png")
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


def picture(sheet: Tensor, names: Sequence[str]) -> Image.Image:
    """The contact sheet as an image, with a name at the right of each of its rows."""
    grid = make_grid(sheet.cpu(), nrow=SAMPLES + 1, padding=BETWEEN, pad_value=0.5)
    images = Image.fromarray((255 * grid + 0.5).clamp(0, 255).byte().permute(1, 2, 0).numpy())
    row = sheet.shape[-2] + BETWEEN
    font = ImageFont.load_default(size=min(max(row - 2 * BETWEEN, 8), 16))
    short = [_short(name) for name in names]
    margin = BETWEEN + max(int(font.getlength(name)) for name in short) + 2 * BETWEEN
    made = Image.new("RGB", (images.width + margin, images.height), (128, 128, 128))
    made.paste(images)
    pen = ImageDraw.Draw(made)
    for number, name in enumerate(short):
        pen.text((images.width + BETWEEN, BETWEEN + (number + 0.5) * row), name, fill="white", font=font, anchor="lm")
    return made


def _short(name: str) -> str:
    """On one line, and of characters that can be written: classes are named by folders."""
    text = " ".join(name.encode("utf-8", "replace").decode().split())
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
