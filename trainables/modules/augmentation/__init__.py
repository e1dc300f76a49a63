"""Learned augmentation: layers whose ranges, probabilities and choices are trained with the network they stand before.

    model = InvariantModel(network, Compose(LearnedAffine(), LearnedFlip(), LearnedColor()))
    optimiser = torch.optim.AdamW(model.parameter_groups(learning_rate=1e-3))
    loss = nll_loss(model(x, model.sample(len(x), generator)), y) - 0.1 * range_reward(model.augmentation)

The rest of a training loop stays as it is; `docs/augmentation.md` has the whole of one.
"""

from trainables.modules.augmentation.affine import LearnedAffine, LieAffine
from trainables.modules.augmentation.colour import LearnedColor
from trainables.modules.augmentation.compose import Compose
from trainables.modules.augmentation.controller import Patience, ToleranceController
from trainables.modules.augmentation.flip import LearnedFlip
from trainables.modules.augmentation.instance import InstanceRanges
from trainables.modules.augmentation.invariant_model import Aggregate, InvariantModel
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange
from trainables.modules.augmentation.ranges import Parametrisation, Ranges
from trainables.modules.augmentation.reward import Reward, range_reward
from trainables.modules.augmentation.saved import restored
from trainables.modules.augmentation.select import Selection, SelectLayer
from trainables.modules.augmentation.signals import LearnedSignal, SignalOperation

__all__ = [
    "Aggregate",
    "AugmentationLayer",
    "Compose",
    "InstanceRanges",
    "InvariantModel",
    "LearnedAffine",
    "LearnedColor",
    "LearnedFlip",
    "LearnedRange",
    "LearnedSignal",
    "LieAffine",
    "Parametrisation",
    "Patience",
    "Ranges",
    "Reward",
    "SelectLayer",
    "Selection",
    "SignalOperation",
    "ToleranceController",
    "range_reward",
    "restored",
]
