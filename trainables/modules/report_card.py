"""What a descriptor method leaves behind: the descriptor with units, what it does, and the specialised network.

    descriptor.json   entries, ranges in units, measured invariance, how far it reaches, scores of others, the bound
    model.pt          state_dict of `SpecialisedNetwork`
    model.pt2         the same as a program of `torch.export`, batch size free; needs none of our code
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spaces.descriptors import OPERATIONS, Family
from spaces.transforms import TRANSFORMS
from trainables.modules.amortised import AmortisedTask, Head
from trainables.modules.control import invariance
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.descriptor_search import SearchConfig
from trainables.modules.drift import INERT, probed
from trainables.modules.evaluated import Evaluated, Judge
from trainables.modules.extractor import Extractor
from trainables.modules.factor_tests import factor_tests, split
from trainables.modules.reach import reaches
from trainables.modules.risk_bound import RiskBound, risk_bound
from trainables.problems.target_units import TargetUnits, units_of
from trainables.program import NAME
from trainables.program import program as made_program

SIMILAR_ENOUGH = 1e-5  # of the largest output, between the baked network and the conditioned one; or see `rounding`


class SpecialisedNetwork(nn.Module):
    """The extractor with its descriptor baked in, and the head: (B, C, H, W) -> (B, c) logits, or values in `units`.

    Plain layers and weights; nothing of the descriptor is left.
    """

    def __init__(
        self, extractor: Extractor, descriptor: Tensor, head: Head, units: TargetUnits | None = None
    ) -> None:
        super().__init__()
        self.extractor = extractor.bake(descriptor)
        self.head = nn.Linear(extractor.features, len(head.bias))
        weight, bias = head.sharpness * head.weight, head.sharpness * head.bias
        if units is not None:
            scale, mean = (torch.tensor(values, device=bias.device) for values in (units.scale, units.mean))
            weight, bias = scale[:, None] * weight, scale * bias + mean
        self.head.load_state_dict({"weight": weight, "bias": bias})
        self.to(descriptor.device).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.extractor(x))  # type: ignore[no-any-return]


def describe_descriptor(family: Family, descriptor: Tensor) -> dict[str, Any]:
    """Every entry with the range, in physical units, that the extractor ignores at 1 and keeps at 0."""
    return {
        name: {"entry": value, "operations": [
            {"operation": str(o), "half_width": family.limit(o), "unit": TRANSFORMS[o].unit} for o in OPERATIONS[factor]
        ]}
        for factor, (name, value) in zip(family.factors, family.named(descriptor).items(), strict=True)
    }


def neighbours(descriptor: Tensor) -> Tensor:
    """(2 K, K): every entry alone set to 0, then to 1."""
    entries = len(descriptor)
    own = torch.eye(entries, dtype=torch.bool)
    return torch.cat([torch.where(own, torch.tensor(end), descriptor) for end in (0.0, 1.0)])


def scores(task: AmortisedTask, descriptors: Tensor, settings: SearchConfig) -> Evaluated:
    """Leave-one-out risk of some descriptors (M, K) on the task's own labels."""
    counted = CountedFeatures(task.features, len(task.targets), settings.max_pairs)
    return Judge(counted, task.targets, settings.log_penalties(task.targets)).evaluate(descriptors)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a method ends with.

    Args:
        descriptor: (K,).
        head: on the features under it.
        family_size: |I|, how many descriptors could have been chosen; None where they are not finitely many.
        independent: whether the extractor was pre-trained on a source of its own. The risk bound is for those alone.
        certainty: of the choice, by name; nothing where there was none.
    """

    descriptor: Tensor
    head: Head
    family_size: int | None
    independent: bool
    certainty: Mapping[str, float] = field(default_factory=dict)


def report_card(task: AmortisedTask, chosen: Chosen) -> dict[str, Any]:
    """The content of descriptor.json; the task's images are loaded."""
    descriptor, units = chosen.descriptor, units_of(task.context.problem)
    family = task.extractor.family
    ends = torch.stack((torch.zeros_like(descriptor), descriptor, torch.ones_like(descriptor)))
    off, here, on = invariance(probed(task), ends).tolist()
    judged = scores(task, torch.cat((descriptor[None], neighbours(descriptor), family.corners())), SearchConfig())
    # With all others ignored: what was chosen was chosen on these very losses, and entries that are kept stand in for
    # each other (what is left of a turn shows in the shear).
    alone = scores(task, neighbours(torch.ones_like(descriptor)), SearchConfig())
    tests = factor_tests(*split(alone, len(descriptor)), task.targets)
    names = [factor.value for factor in family.factors]
    return {
        "descriptor": describe_descriptor(family, descriptor),
        "measured_invariance": {
            name: {"all_off": a, "chosen": b, "all_on": c, "inert": c - a < INERT}
            for name, a, b, c in zip(names, off, here, on, strict=True)
        },
        "reach": [asdict(reach) for reach in reaches(task)],
        "factors": {name: asdict(test) for name, test in zip(names, tests, strict=True)},
        "certainty": dict(chosen.certainty),
        "labels": len(task.targets),
        "target_units": None if units is None else asdict(units),
        "imbalance": None if task.targets.weights is None else task.imbalance.model_dump(mode="json"),
        "scores": [
            {"descriptor": family.named(row), "risk": risk, "accuracy": accuracy} for row, risk, accuracy in zip(
                judged.descriptors, judged.risk.tolist(),
                [None] * len(judged) if judged.accuracy is None else judged.accuracy.tolist(), strict=True,
            )
        ],
        "bound": _bound(task, chosen),
    }


def _bound(task: AmortisedTask, chosen: Chosen) -> dict[str, Any] | None:
    """The terms, whether they say anything, and whether they may be believed; None for a continuum of descriptors.

    A term that is not finite (a head beyond the largest norm of the grid) is null.
    """
    if chosen.family_size is None:
        return None
    bound = bounded(task, task.features(chosen.descriptor[None], None)[0], chosen.head, chosen.family_size)
    holds = "" if chosen.independent else (
        "does not hold: the extractor was pre-trained on the task's own source, and may have seen these very images; "
        "name another `source`"
    )
    terms = {**asdict(bound), "total": bound.total}
    finite = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in terms.items()}
    return {**finite, "vacuous": bound.vacuous, "assumption": holds or "holds"}


def bounded(task: AmortisedTask, features: Tensor, head: Head, family_size: int) -> RiskBound:
    """The risk bound of a head on the task's features (n, d) under a descriptor that was chosen among `family_size`."""
    return risk_bound(features, head.ridge, task.targets, family_size, feature_norm=1.0)  # features are normalised


def rounding(head: Head, features: Tensor) -> float:
    """What a head's sums are known to in the precision of the features: 4 eps max_b sum_d |w_d f_d|.

    Features are known to a few eps themselves, by as many layers as the descriptor conditions; on one processor the
    difference was 1.3 eps of these sums.
    Where few labels and a low penalty make large weights that cancel, that is more than a share of the outputs.
    """
    terms = features.abs() @ head.weight.to(features).abs().mT + head.bias.to(features).abs()
    return 4 * torch.finfo(features.dtype).eps * float((head.sharpness * terms).max())


def _specialised(task: AmortisedTask, chosen: Chosen) -> SpecialisedNetwork:
    """Compared with the conditioned network in standard units: in the user's a large mean would hide any difference."""
    assert task.images is not None, "load comes first"
    descriptor, head, device = chosen.descriptor.to(task.context.device), chosen.head, task.context.device
    x = task.images[:4].to(device)
    response = task.respond(x)
    features = task.extractor.finish(response, descriptor[None].to(response.device))[0]
    expected, bare = head(features), SpecialisedNetwork(task.extractor, descriptor, head).eval()
    worst = float((bare(x) - expected).abs().max())
    allowed = max(SIMILAR_ENOUGH * max(1.0, float(expected.abs().max())), rounding(head, features))
    if worst > allowed or not math.isfinite(worst):
        raise RuntimeError(f"the baked network must equal the conditioned one, but differs by {worst:g}")
    units = units_of(task.context.problem)
    return bare if units is None else SpecialisedNetwork(task.extractor, descriptor, head, units).eval()


def export(task: AmortisedTask, chosen: Chosen, folder: Path, program: bool = True) -> Mapping[str, str]:
    """Write the files; name -> relative path.

    Args:
        program: the exported program too, which takes seconds.

    Raises:
        RuntimeError: the exported network does not compute what the conditioned one does.
    """
    network, shape = _specialised(task, chosen), task.context.problem.shape
    folder.mkdir(parents=True, exist_ok=True)
    card = report_card(task, chosen)
    (folder / "descriptor.json").write_text(json.dumps(card, indent=1, allow_nan=False) + "\n")
    torch.save(network.state_dict(), folder / "model.pt")
    files = {"descriptor": "descriptor.json", "weights": "model.pt"}
    if program:
        (folder / NAME).write_bytes(made_program(network, tuple(shape)))
        files["program"] = NAME
    return files
