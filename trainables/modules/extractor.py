"""A pre-trained extractor as others use it: packing, checking, conditioning, and baking a descriptor in.

Axes: M descriptors, n images, K factors, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spaces.descriptors import Family
from tracking.errors import UserError
from trainables.modules.conditioned import ConditionedExtractor, ExtractorConfig
from trainables.modules.conditioned_tail import Mixed, Norm, through

FORM = 3  # of a packed extractor


@dataclass(frozen=True, slots=True)
class Reference:
    """What an extractor with everything on does on images of pre-training.

    Args:
        invariance: (K,) as it was measured.
        centre: (D,) mean of the features, which it was measured about.
    """

    invariance: Tensor
    centre: Tensor


def packed(
    config: ExtractorConfig, family: Family, shape: tuple[int, ...], weights: Mapping[str, Tensor],
    reference: Reference | None = None,
) -> dict[str, Any]:
    """Everything that is needed to use the weights; loads with `weights_only=True`.

    Args:
        reference: what it does on images of pre-training, where that was measured.
    """
    return {
        "form": FORM, "extractor": config.model_dump(mode="json"), "family": family.model_dump(mode="json"),
        "shape": list(shape), "weights": {name: value.detach().clone() for name, value in weights.items()},
        "reference": None if reference is None else {
            "invariance": reference.invariance.detach().clone(), "centre": reference.centre.detach().clone(),
        },
    }


class Extractor:
    """f(x; i), frozen.

    Args:
        state: from `packed`.
        device: where it runs.

    Raises:
        UserError: the state is not an extractor's.
    """

    def __init__(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        try:
            if state["form"] != FORM:
                raise ValueError(f"its form is {state['form']}, this version reads {FORM}")
            config = ExtractorConfig.model_validate(state["extractor"])
            self.family = Family.model_validate(state["family"])
            self.shape: tuple[int, ...] = tuple(state["shape"])
            known = state["reference"]
            self.reference = None if known is None else Reference(known["invariance"], known["centre"])
            with torch.device("meta"):
                network = ConditionedExtractor(config)
            network.to_empty(device=device)
            network.load_state_dict(state["weights"])
            if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
                raise ValueError("its weights are not finite")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            said = str(error).splitlines()[0]
            raise UserError("an artefact must hold an extractor of this version", said, "pre-train it again") from None
        self.network = network.requires_grad_(False).eval()

    @property
    def features(self) -> int:
        """D."""
        return self.network.config.features

    def require(self, shape: tuple[int, ...]) -> None:
        """Raises UserError where images of this shape are not what the extractor was trained on."""
        if tuple(shape) != self.shape:
            raise not_served(shape, self.shape)

    def respond(self, x: Tensor) -> Tensor:
        """The descriptor-free part, once per image: (n, C, H, W) -> (n, C', H', W'); UserError for other images."""
        self.require(x.shape[1:])
        return self.network.stem(x)  # type: ignore[no-any-return]

    def finish(self, response: Tensor, descriptors: Tensor) -> Tensor:
        """The rest for many descriptors at once: (n, C', H', W'), (M, K) -> (M, n, D); differentiable in both.

        Raises:
            UserError: another number of entries. Their values are not looked at here: that would wait for a GPU.
        """
        self._require_entries(descriptors)
        return self.network.tail(response[None], descriptors)  # type: ignore[no-any-return]

    def bake(self, descriptor: Tensor) -> nn.Module:
        """f(. ; i) for one descriptor (K,) as a plain module (B, C, H, W) -> (B, D), without what made i adjustable.

        Raises:
            UserError: not a vector of K entries in [0, 1].
        """
        self._require_entries(descriptor[None])
        if not bool(((descriptor >= 0) & (descriptor <= 1)).all()):
            raise UserError("the entries of a descriptor lie in [0, 1]", descriptor.tolist())
        return Baked(self.network, descriptor)

    def _require_entries(self, descriptors: Tensor) -> None:
        factors = self.family.factors
        if descriptors.dim() != 2 or descriptors.shape[1] != len(factors):
            names = ", ".join(factor.value for factor in factors)
            raise UserError(
                f"a descriptor of this extractor has {len(factors)} entries ({names})",
                f"one of shape {tuple(descriptors.shape[1:])}",
            )


def not_served(shape: Sequence[int], trained: Sequence[int]) -> UserError:
    """For images of a shape, and an extractor that was trained, or would be, on others."""
    return UserError(
        "an extractor serves images of the channels and the size that it was trained on",
        f"{tuple(shape)} for one trained on {tuple(trained)}", "pre-train one on images of this shape",
    )


class Baked(nn.Module):
    """An extractor whose descriptor (K,) is fixed: what the descriptor set is an ordinary weight.

    (B, C, H, W) -> (B, D) of length 1; works under `torch.export`.
    """

    def __init__(self, network: ConditionedExtractor, descriptor: Tensor) -> None:
        super().__init__()
        tail = network.tail
        with torch.no_grad():
            read = tail.reader(descriptor[None])
        pairs = read.split(tail.moved, -1) if tail.film else [None] * len(tail.norms)
        mix = None if tail.film else read
        self.begin = tail.begin
        self.norms = nn.ModuleList(_norm(norm).baked(pair) for norm, pair in zip(tail.norms, pairs, strict=True))
        self.layers = nn.ModuleList(_mixed(layer).baked(mix) for layer in tail.layers)
        self.stem, self.shortcut = deepcopy(network.stem), deepcopy(tail.shortcut)
        self.to(read.device).requires_grad_(False)  # ordinary layers are made on the CPU

    def forward(self, x: Tensor) -> Tensor:
        return through(self.begin, self.stem(x), list(self.norms), list(self.layers), self.shortcut)


def _norm(layer: nn.Module) -> Norm:
    assert isinstance(layer, Norm)
    return layer


def _mixed(layer: nn.Module) -> Mixed:
    assert isinstance(layer, Mixed)
    return layer
