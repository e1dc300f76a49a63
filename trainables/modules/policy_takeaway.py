"""What a policy leaves behind for people.

    policy.json         as it is; `spaces.policies.Policy` reads it
    policy.md           a table: operation, probability, range as one would pass it on
    augmentation.py     the same for torchvision, as text that needs none of our code; of grey and RGB images alone,
                        since torchvision's colour operations take no others
    samples.png         images beside draws of the policy
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Generator, Tensor
from torchvision.utils import make_grid, save_image

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import TRANSFORMS, Operation, Strength
from trainables.modules.augmentation.takeaway import PRINTABLE
from trainables.modules.policy_pipeline import source

DRAWS = 9   # of every image, beside itself
IMAGES = 4  # that are shown


def _around_one(reach: float) -> str:
    return f"factor {max(0.0, 1 - reach):.3g} to {1 + reach:.3g}"


# Where the physical value v, between -reach or 0 and reach, is not what libraries take: that.
_PASSED_ON: dict[Operation, Callable[[float], str]] = {
    Operation.SCALE: lambda reach: f"factor {math.exp(-reach):.3g} to {math.exp(reach):.3g}",
    **dict.fromkeys(
        (Operation.BRIGHTNESS, Operation.CONTRAST, Operation.SATURATION, Operation.SHARPNESS), _around_one
    ),
    Operation.SOLARISE: lambda reach: f"threshold 1 to {max(0.0, 1 - reach):.3g} of white",
    Operation.POSTERISE: lambda reach: f"8 to {round(8 - reach)} bits kept",
}


def export(policy: Policy, images: Tensor, folder: Path) -> dict[str, str]:
    """Write the files; returns name -> file.

    Args:
        images: (N, C, H, W); only grey and RGB ones are shown, and have a pipeline.
    """
    (folder / "policy.json").write_text(policy.model_dump_json(indent=2) + "\n")
    (folder / "policy.md").write_text(table(policy))
    files = {"policy": "policy.json", "table": "policy.md"}
    if images.shape[1] in PRINTABLE:
        (folder / "augmentation.py").write_text(source(policy))
        files["pipeline"] = "augmentation.py"
        save_image(make_grid(sheet(policy, images[:IMAGES]), nrow=DRAWS + 1, pad_value=0.5), folder / "samples.png")
        files["samples"] = "samples.png"
    return files


def table(policy: Policy) -> str:
    """Markdown, the most probable first; the rest is the identity's."""
    entries = sorted(policy.entries, key=lambda entry: -entry.weight)
    identity = max(0.0, 1 - sum(entry.weight for entry in entries))
    lines = ["| operation | probability | strength |", "|---|---|---|"]
    lines += [f"| {entry.operation} | {entry.weight:.3f} | {_strength(entry)} |" for entry in entries]
    return "\n".join([*lines, f"| none | {identity:.3f} | |"]) + "\n"


def sheet(policy: Policy, x: Tensor) -> Tensor:
    """(N (DRAWS + 1), C, H, W): every image, then draws of it."""
    drawn = policy.draw(x.repeat_interleave(DRAWS, 0), Generator().manual_seed(0))
    return torch.cat((x[:, None], drawn.view(len(x), DRAWS, *x.shape[1:])), 1).flatten(0, 1).clamp(0, 1)


def _strength(entry: PolicyEntry) -> str:
    transform = TRANSFORMS[entry.operation]
    if transform.strength is Strength.BLEND:
        return "in full"
    reach = entry.magnitude * (transform.limit if entry.limit is None else entry.limit)
    if entry.operation in _PASSED_ON:
        return _PASSED_ON[entry.operation](reach)
    return f"{-reach if transform.signed else 0.0:.3g} to {reach:.3g} {transform.unit}"
