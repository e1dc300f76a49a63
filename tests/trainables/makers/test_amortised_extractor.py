"""The maker of amortised extractors: exact resume, what it refuses, what its variants train."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from tracking.cost import Meter, Phase
from tracking.errors import UserError
from trainables import methods
from trainables.maker import MakerContext
from trainables.makers.amortised_extractor import Config
from trainables.method import StateMismatchError
from trainables.modules import pretraining
from trainables.modules.amortised import NO_CONTROL, SETTINGS, Quality
from trainables.modules.contrast import centred_cosine, readable
from trainables.modules.extractor import Extractor
from trainables.modules.pretraining import Pretraining, one_cycle
from trainables.modules.views import Pairing, draw_looks, draw_views
from trainables.problems.spec import ProblemSpec

TINY: dict[str, Any] = {"horizon": 5, "width": 8, "features": 16, "groups": 3, "images": 4}
PAPERS: dict[str, Any] = {
    "conditioning": "kernels", "begin": "block", "views": "omit", "heads": "per_corner", "descriptors": "corners",
    "sensitivity": 0.0, "calibration": 0.0, "erasure": 0.0,
}


class Blobs:
    """Bright squares at random places."""

    transform_bank = ()

    def __init__(self, shape: tuple[int, ...] = (1, 12, 12)) -> None:
        self.shape = shape

    def size(self) -> int:
        return 1000

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        x = torch.zeros(size, *self.shape)
        places = torch.randint(2, 8, (size, 2), generator=generator).tolist()
        for image, (row, column) in zip(x, places, strict=True):
            image[:, row : row + 3, column : column + 3] = 1.0
        return x

    balanced = unlabelled


def build(settings: dict[str, Any], seed: int = 0, shape: tuple[int, ...] = (1, 12, 12)) -> tuple[Pretraining, Meter]:
    meter = Meter("cpu")
    config = Config.model_validate(TINY | settings)
    made = config.build(MakerContext(
        problem=Blobs(shape), horizon=config.horizon, slice_updates=2, seed=seed, device=torch.device("cpu"),
        meter=meter,
    ))
    assert isinstance(made, Pretraining)
    return made, meter


def run(maker: Pretraining) -> list[dict[str, float]]:
    metrics, done = [], False
    while not done:
        piece = maker.step()
        metrics.append(dict(piece.metrics))
        done = piece.done
        assert piece.phase is Phase.PRETRAIN
    return metrics


def weights(maker: Pretraining) -> dict[str, Tensor]:
    found: dict[str, Tensor] = maker.result()["weights"]
    return found


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


VARIANTS = {
    "ours": {}, "papers": PAPERS, "fixed": {"descriptors": "fixed", "fixed_entry": 1.0},
    "against leaks": {"leakage": 3.0}, "erasing": {"erasure": 0.5},
    "erasing what is omitted": {"erasure": 0.5, "views": "omit"},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_a_resumed_maker_makes_the_same_bits(settings: dict[str, Any]) -> None:
    straight, meter = build(settings)
    metrics = run(straight)
    assert len(metrics) == 3 and meter.ledger().phases[Phase.PRETRAIN].flops > 0
    first, paid = build(settings)
    first.step()
    buffer = io.BytesIO()
    torch.save({"maker": first.state_dict(), "meter": paid.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    again, resumed = build(settings)
    again.load_state_dict(saved["maker"])
    resumed.load_state_dict(saved["meter"])
    assert run(again) == metrics[1:]
    assert resumed.ledger().phases[Phase.PRETRAIN].flops == meter.ledger().phases[Phase.PRETRAIN].flops
    assert equal(weights(again), weights(straight))
    other, _ = build(settings, seed=1)
    run(other)
    assert not equal(weights(other), weights(straight))  # negative control


def test_a_state_of_another_shape_is_refused_and_changes_nothing() -> None:
    maker, _ = build({})
    before = weights(maker)
    wider, _ = build({"width": 16})
    with pytest.raises(StateMismatchError):
        maker.load_state_dict(wider.state_dict())
    assert equal(before, weights(maker))


def test_what_is_made_is_an_extractor_of_its_images() -> None:
    maker, _ = build({"factors": ["rotation", "blur"], "limits": {"rotation": 30.0}})
    run(maker)
    made = Extractor(maker.result())
    made.require((1, 12, 12))
    assert [factor.value for factor in made.family.factors] == ["rotation", "blur"]
    features = made.finish(made.respond(torch.rand(4, 1, 12, 12)), torch.rand(3, 2))
    assert features.shape == (3, 4, 16) and bool(features.isfinite().all())


def test_colour_images_get_eight_factors() -> None:
    maker, _ = build({}, shape=(3, 12, 12))
    maker.step()
    assert len(Extractor(maker.result()).family.factors) == 8


def test_training_lowers_the_losses() -> None:
    maker, _ = build({"horizon": 60, "images": 16})
    metrics = run(maker)
    for name in ("pretrain/contrast", "pretrain/calibration"):
        early = sum(m[name] for m in metrics[:5])
        late = sum(m[name] for m in metrics[-5:])
        assert late < early, name


def test_erasure_spares_groups_with_everything_on() -> None:
    for share, alike in ((1.0, True), (0.0, False)):
        made = []
        for erasure in (0.0, 5.0):
            maker, _ = build({"all_on": share, "erasure": erasure})
            run(maker)
            made.append(weights(maker))
        assert equal(*made) == alike


def test_the_penalty_on_leaks_lowers_them() -> None:
    """Over the last 12 of 60 updates; without the penalty they are told as none."""
    ends = {}
    for weight in (1e-6, 1e3):
        maker, _ = build({"horizon": 60, "images": 8, "leakage": weight})
        ends[weight] = sum(m["pretrain/leakage"] for m in run(maker)[-6:])
    assert ends[1e3] < ends[1e-6] / 2, ends
    maker, _ = build({})
    assert all(m["pretrain/leakage"] == 0 for m in run(maker))


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    rates = [one_cycle(k, 100) for k in range(101)]
    peak = rates.index(max(rates))
    assert 3 <= peak <= 5 and rates[100] == pytest.approx(0.0, abs=1e-12)
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(("settings", "shape", "word"), [
    ({"factors": ["colour"]}, (1, 12, 12), "three channels"),
    ({}, (1, 4, 4), "8 x 8"),
    ({}, (1, 32), "images"),
    ({"descriptors": "fixed", "fixed": {"hue": 1.0}}, (1, 12, 12), "hue"),
    ({"limits": {"rotation": -3.0}}, (1, 12, 12), "positive"),
    ({"width": 12}, (1, 12, 12), "width"),
    ({"features": 20}, (1, 12, 12), "features"),
    ({"bases": -1, "conditioning": "kernels"}, (1, 12, 12), "bases"),
    ({"network": "resnet18", "begin": "block"}, (1, 12, 12), "begin"),
    ({"network": "resnte18"}, (1, 12, 12), "resnte18"),
    ({"emphasis": {"colour": 2.0}}, (1, 12, 12), "factors of the family"),
    ({"factors": ["rotation"], "emphasis": {"rotation": 0.0, "shear": 2.5}}, (1, 12, 12), "all are zero"),
])
def test_what_cannot_be_trained_is_told_before_any_work(
    settings: dict[str, Any], shape: tuple[int, ...], word: str
) -> None:
    with pytest.raises(UserError, match=word):
        build(settings, shape=shape)
    with pytest.raises(UserError, match=word):
        Config.model_validate(TINY | settings).check(Blobs(shape))


@pytest.mark.parametrize(("settings", "word"), [
    ({"emphasis": {"rotation": -1.0}}, "not negative"),
    ({"fixed": {"rotation": 1.0}}, "descriptors: fixed"),
])
def test_settings_that_contradict_each_other_are_told(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Config.model_validate(settings)
    Config.model_validate({"emphasis": {"rotation": 0.0}}).check(Blobs())  # the others have 1


@pytest.mark.parametrize(("settings", "reads"), [
    ({"bases": 20}, {"conditioning": "kernels"}), ({"fixed_entry": 0.5}, {"descriptors": "fixed"}),
    ({"descriptors": "corners", "all_on": 0.9}, {"descriptors": "continuous"}),
    ({"descriptors": "corners", "looks": 8}, {"descriptors": "continuous"}),
    ({**NO_CONTROL, "looks": 12}, {"calibration": 1.0}),
    ({**NO_CONTROL, "emphasis": {"rotation": 9.0}}, {"erasure": 1.0}),
])
def test_a_setting_that_nothing_reads_is_told(settings: dict[str, Any], reads: dict[str, Any]) -> None:
    """It would make another artefact of the same weights."""
    with pytest.raises(ValueError, match="would do nothing here"):
        Config.model_validate(settings)
    Config.model_validate_json(Config.model_validate({**settings, **reads}).model_dump_json())


@pytest.mark.parametrize("settings", [{"looks": 3}, {"looks": 0}, {"descriptors": "fixed"}])
def test_leakage_needs_looks_in_pairs(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pairs of looks"):
        Config.model_validate({"leakage": 1.0, **settings})
    Config.model_validate(settings)


def test_heads_per_corner_need_corners() -> None:
    with pytest.raises(ValueError, match="corners"):
        Config.model_validate({"heads": "per_corner"})


@pytest.mark.parametrize("quality", Quality)
@pytest.mark.parametrize("name", ["descriptor", "fixed_descriptor", "hyperinvariances", "unconditional"])
def test_every_method_asks_for_an_extractor_of_every_quality(name: str, quality: Quality) -> None:
    """What a quality adds to ours, the papers' and the ordinary extractor must not be asked for."""
    method = methods.config_class(name).model_validate({"extractor": {"quality": quality}})
    source = ProblemSpec.model_validate({"label": "digits", "source": {"name": "digits"}})
    (spec,) = method.needs(source, 0).values()
    assert spec.settings["horizon"] == SETTINGS[quality]["horizon"]
    ours = name in ("descriptor", "fixed_descriptor")
    for loss in ("erasure", "leakage"):
        assert spec.settings[loss] == (SETTINGS[quality].get(loss, 0.0) if ours else 0.0)


def test_looks_come_in_pairs_where_leaks_are_penalised(monkeypatch: pytest.MonkeyPatch) -> None:
    for leakage in (1.0, 0.0):
        drawn: list[bool] = []

        def spy(count: int, factor: Tensor, *rest: Any, drawn: list[bool] = drawn) -> Tensor:
            looks = draw_looks(count, factor, *rest)
            own = torch.nn.functional.one_hot(factor, looks.shape[-1]).bool()
            drawn.append(torch.equal(looks[: count // 2, own], looks[count // 2 :, own]))
            return looks

        monkeypatch.setattr(pretraining, "draw_looks", spy)
        run(build({"leakage": leakage})[0])
        assert drawn == [leakage > 0] * 5


def test_all_that_is_ignored_is_erased_but_for_everything_on() -> None:
    maker, _ = build({"erasure": 1.0})
    family, descriptors = maker._family, torch.ones(3, 7)
    descriptors[1, 2], descriptors[2] = 0.5, 0.0
    descriptors[2, 4] = 1.0
    drawn = draw_views(family, descriptors, 4, Pairing.SHARE, torch.ones(7), Generator().manual_seed(0))
    features = torch.randn(3, 12, 16, generator=Generator().manual_seed(1))
    theta = family.effective(drawn.theta).transpose(0, 1).flatten(1, 2)
    features[..., : theta.shape[-1]] = theta
    share = family.spread(descriptors)
    share[0] = 0
    expected = readable(features, theta, share[:, None], 3)
    assert float(expected) > 0.01
    torch.testing.assert_close(maker._erasure(features, drawn, descriptors), expected)


def test_leaks_are_between_a_look_and_its_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean squared difference of invariances under looks 0 and 2, and 1 and 3, of three groups one by one."""
    maker, _ = build({"leakage": 1.0})
    told, known = maker._told_apart, []

    def spy(*given: Any) -> Any:
        known.append((given, told(*given)))
        return known[-1][1]

    monkeypatch.setattr(maker, "_told_apart", spy)
    with torch.no_grad():
        x = Blobs().unlabelled(Generator().manual_seed(0), 12).view(3, 4, 1, 12, 12)
        maker._losses(x, maker._draw(x))
        (_, response, _, _, looks), (_, _, leaked) = known[0]
        looks = looks.view(4, 3, -1)

        def invariance(look: int, group: int) -> Tensor:
            features = maker._model.extractor.tail(response[group : group + 1], looks[look, group][None])
            first, _, third = features.chunk(3, 1)
            return centred_cosine(first, third).mean()

        by_hand = [(invariance(k, g) - invariance(k + 2, g)).square() for k in (0, 1) for g in range(3)]
    assert float(leaked) == pytest.approx(float(torch.stack(by_hand).mean()), rel=1e-4)
