"""A policy as Python text of torchvision.transforms.v2: to be pasted into anyone's own loader, without our code."""

from __future__ import annotations

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import TRANSFORMS, Operation, Strength

_HEAD = '''\
"""One transformation per image, drawn by weight; for PIL images and tensors (C, H, W). Gives floats in [0, 1]."""

import math
from functools import partial

import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as f


def drawn(low, high, transform, x):
    """With a strength that is uniform between the two."""
    return transform(x, torch.empty(()).uniform_(low, high).item())


def affine(x, angle=0.0, shift=(0.0, 0.0), scale=1.0, shear=(0.0, 0.0)):
    return f.affine(x, angle, list(shift), scale, list(shear), InterpolationMode.BILINEAR)
'''
# Where torchvision has conventions of its own: what its operation does that ours does not.
_OTHERWISE: dict[Operation, str] = {
    Operation.GAUSSIAN_BLUR: "a sampled kernel", Operation.CUTOUT: "whole pixels", Operation.HUE: "turned in HSV",
    Operation.POSTERISE: "levels of floats instead of bytes", Operation.EQUALISE: "a coarser table on small images",
}
# Function bodies of (x, v), v the physical strength.
_BODIES: dict[Operation, str] = {
    Operation.ROTATION: "affine(x, angle=v)",
    Operation.TRANSLATE_X: "affine(x, shift=(v * x.shape[-1], 0.0))",
    Operation.TRANSLATE_Y: "affine(x, shift=(0.0, v * x.shape[-2]))",
    Operation.SCALE: "affine(x, scale=math.exp(v))",
    Operation.SHEAR_X: "affine(x, shear=(math.degrees(math.atan(v)), 0.0))",
    Operation.SHEAR_Y: "affine(x, shear=(0.0, math.degrees(math.atan(v))))",
    Operation.FLIP_HORIZONTAL: "f.horizontal_flip(x)",
    Operation.FLIP_VERTICAL: "f.vertical_flip(x)",
    Operation.BRIGHTNESS: "f.adjust_brightness(x, max(0.0, 1 + v))",
    Operation.CONTRAST: "f.adjust_contrast(x, max(0.0, 1 + v))",
    Operation.SATURATION: "f.adjust_saturation(x, max(0.0, 1 + v))",
    Operation.HUE: "f.adjust_hue(x, v)",
    Operation.SHARPNESS: "f.adjust_sharpness(x, max(0.0, 1 + v))",
    Operation.GAUSSIAN_BLUR: "blurred(x, max(1e-3, v * min(x.shape[-2:])))",
    Operation.SOLARISE: "f.solarize(x, 1 - v)",
    Operation.POSTERISE: "f.posterize(x, round(8 - v))",
    Operation.AUTOCONTRAST: "f.autocontrast(x)",
    Operation.EQUALISE: "f.equalize(x)",
    Operation.INVERT: "f.invert(x)",
    Operation.CUTOUT: "cut(x, round(v * min(x.shape[-2:])))",
}
# Strengths are shares of white: on bytes the same number would be another strength.
_TAIL = "augmentation = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), CHOICE])\n"
_HELPERS: dict[Operation, str] = {
    Operation.GAUSSIAN_BLUR: '''\
def blurred(x, sigma):
    reach = min(math.ceil(3 * sigma), min(x.shape[-2:]) - 1)
    return f.gaussian_blur(x, [2 * reach + 1] * 2, [sigma] * 2)
''',
    Operation.CUTOUT: '''\
def cut(x, side):
    top, left = (int(torch.randint(size, ())) - side // 2 for size in x.shape[-2:])
    height, width = (max(0, min(start, 0) + side) for start in (top, left))
    return f.erase(x, max(top, 0), max(left, 0), height, width, torch.zeros((), dtype=x.dtype))
''',
}


def source(policy: Policy) -> str:
    """A module whose `augmentation` draws as the policy does, up to torchvision's own conventions."""
    operations = list(dict.fromkeys(entry.operation for entry in policy.entries))
    otherwise = "".join(f"# {one} is not quite what was trained with: {_OTHERWISE[one]}.\n"
                        for one in operations if one in _OTHERWISE)
    parts = [_HEAD, *([otherwise] if otherwise else [])]
    parts += [_HELPERS[operation] for operation in operations if operation in _HELPERS]
    parts += [f"def {operation}(x, v):\n    return {_BODIES[operation]}\n" for operation in operations]
    weights = [entry.weight for entry in policy.entries]
    lines = ["v2.Identity()", *map(_line, policy.entries)]
    shares = [max(0.0, 1 - sum(weights)), *weights]
    options = "".join(f"    {line},\n" for line in lines)
    chosen = f"CHOICE = v2.RandomChoice([\n{options}], p={[round(share, 6) for share in shares]})\n"
    return "\n\n".join([*parts, chosen + _TAIL])


def _line(entry: PolicyEntry) -> str:
    transform = TRANSFORMS[entry.operation]
    limit = transform.limit if entry.limit is None else entry.limit
    reach = 1.0 if transform.strength is Strength.BLEND else round(entry.magnitude * limit, 6)
    return f"v2.Lambda(partial(drawn, {-reach if transform.signed else 0.0}, {reach}, {entry.operation}))"
