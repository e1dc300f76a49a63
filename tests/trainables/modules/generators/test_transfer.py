"""Generators at work: what a draw depends on, what is refused, and a background that is learned."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor

from tracking.cost import Meter
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.maker import MakerContext
from trainables.makers import config_class
from trainables.method import State
from trainables.modules.generators import spatial, style_training, transfer
from trainables.modules.generators.choice import NAME
from trainables.modules.generators.style_network import StyleNetwork, StyleNetworkConfig
from trainables.modules.generators.style_training import generate, measured
from trainables.modules.generators.takeaway import contact_sheet, ends, export, picture
from trainables.modules.generators.transfer import load_transfer

CPU = torch.device("cpu")
SMALL = {"network": {"width": 4}, "batch_size": 4, "horizon": 2}


class Squares:
    """A bright square at one of two places, on a background of a random level."""

    transform_bank = ()
    shape = (1, 12, 12)

    def size(self) -> int:
        return 1000

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        level = 0.6 * torch.rand(size, 1, 1, 1, generator=generator)
        left = torch.rand(size, generator=generator) < 0.5
        x = level.expand(size, *self.shape).clone()
        x[left, :, 4:8, 1:5] = 1.0
        x[~left, :, 4:8, 7:11] = 1.0
        return x

    balanced = unlabelled


def made(kind: str, settings: dict[str, Any], seed: int = 0) -> State:
    config = config_class(f"{kind}_generator").model_validate(settings)
    maker = config.build(MakerContext(
        problem=Squares(), horizon=config.horizon, slice_updates=config.horizon, seed=seed, device=CPU,
        meter=Meter("cpu"),
    ))
    maker.step()
    buffer = io.BytesIO()
    torch.save(maker.result(), buffer)
    buffer.seek(0)
    state: State = torch.load(buffer, weights_only=True)  # as it comes from a store
    return state


@pytest.mark.parametrize(("kind", "settings"), [("style", SMALL), ("spatial", {"horizon": 2, "batch_size": 4})])
def test_a_draw_depends_on_its_generator_and_its_image_alone(
    kind: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load_transfer(made(kind, settings), Squares.shape, CPU)
    x = Squares().unlabelled(Generator().manual_seed(3), 9)
    first, again, other = (generator.sample(x, Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == x.shape and bool(((first >= 0) & (first <= 1)).all())
    assert not torch.equal(generator.sample(x[:1].repeat(2, 1, 1, 1), Generator().manual_seed(0))[0],
                           generator.sample(x[:1].repeat(2, 1, 1, 1), Generator().manual_seed(0))[1])
    monkeypatch.setattr(transfer, "CHUNK", 2)
    monkeypatch.setattr(spatial, "MOST", 2 * x[0].numel())
    assert torch.allclose(generator.sample(x, Generator().manual_seed(0)), first, atol=1e-6)
    assert generator.sample(x[:0], Generator()).shape == (0, *Squares.shape)
    assert all(isinstance(value, float) for value in generator.describe().values())


def test_a_style_draw_is_the_decoded_content_with_a_normal_style() -> None:
    state = made("style", SMALL)
    network = StyleNetwork(1, StyleNetworkConfig.model_validate(state["network"])).eval().requires_grad_(False)
    network.load_state_dict(state["weights"])
    x = Squares().unlabelled(Generator().manual_seed(3), 5)
    styles = torch.randn(5, 4, generator=Generator().manual_seed(0))
    expected = (network.decode(network.content(2 * x - 1), styles, (12, 12)) + 1) / 2
    drawn = load_transfer(state, Squares.shape, CPU).sample(x, Generator().manual_seed(0))
    assert torch.allclose(drawn, expected, atol=1e-6)


def test_one_pass_decodes_every_image_with_its_own_and_with_both_drawn_styles() -> None:
    state = made("style", SMALL)
    network = StyleNetwork(1, StyleNetworkConfig.model_validate(state["network"])).eval().requires_grad_(False)
    x = Squares().unlabelled(Generator().manual_seed(3), 3)
    styles = torch.randn(6, 4, generator=Generator().manual_seed(1))
    passed = generate(network, x, styles)
    for i in range(3):
        content, own = network.encode(x[i : i + 1])
        assert torch.allclose(passed.reconstruction[i], network.decode(content, own, (12, 12))[0], atol=1e-5)
        for k in (i, 3 + i):
            assert torch.allclose(passed.made[k], network.decode(content, styles[k : k + 1], (12, 12))[0], atol=1e-5)


def test_the_generators_loss_is_the_sum_that_its_maker_writes() -> None:
    """With a discriminator of a constant one half; each weight in turn adds its term, all of them positive."""
    weights = {"reconstruction": 0.0, "style": 0.0, "content": 0.0, "diversity": 0.0}
    x, styles = Squares().unlabelled(Generator().manual_seed(3), 3), torch.randn(6, 4, generator=Generator())

    def loss(**changed: float) -> tuple[float, Any]:
        config = config_class("style_generator").model_validate({**SMALL, **weights, **changed})
        made = config.build(MakerContext(
            problem=Squares(), horizon=2, slice_updates=2, seed=0, device=CPU, meter=Meter("cpu"),
        ))
        made._discriminator = lambda x: torch.full((len(x), 1), 0.5)  # type: ignore[attr-defined]
        with torch.no_grad():
            passed = generate(made._network, x, styles)  # type: ignore[attr-defined]
            return float(made._generator_loss(passed)), (made._network, passed)  # type: ignore[attr-defined]

    base, (network, passed) = loss()
    assert base == pytest.approx(0.25), "(1/2 - 1)^2 of the adversary"
    content, style = network.encode(passed.made)
    first, second = passed.made.chunk(2)
    terms = {
        "reconstruction": (passed.reconstruction - x).abs().mean(), "style": (style - styles).abs().mean(),
        "content": (content - torch.cat((passed.content, passed.content))).abs().mean(),
        "diversity": ((styles[:3] - styles[3:]).abs().mean(1)
                      / ((first - second).abs().mean((1, 2, 3)) + 0.01)).mean(),
    }
    for name, term in terms.items():
        assert loss(**{name: 2.0})[0] - base == pytest.approx(2 * float(term.detach()), rel=1e-4), name


@pytest.mark.parametrize("kind", ["style", "spatial"])
def test_generators_learn_from_balanced_inputs_only(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Tensor:
        raise AssertionError("a tail's small classes would hardly be seen")

    monkeypatch.setattr(Squares, "unlabelled", refused)
    made(kind, {"horizon": 2, "batch_size": 4})


def test_the_defaults_keep_draws_apart() -> None:
    """Without this term the identity is optimal."""
    assert config_class("style_generator")().diversity > 0  # type: ignore[attr-defined]


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"(?s)shape that it was trained on.*\(1, 28, 28\).*\(1, 12, 12\)"):
        load_transfer(made("style", SMALL), (1, 28, 28), CPU)


def learned_levels(diversity: float) -> tuple[float, float, float]:
    """Spread of the background's level over draws for one image, of where the square is, and the diversity ratio."""
    state = made("style", {"horizon": 400, "network": {"width": 8}, "discriminator_width": 16, "diversity": diversity})
    generator = load_transfer(state, Squares.shape, CPU)
    x = Squares().unlabelled(Generator().manual_seed(5), 1)
    draws = generator.sample(x.repeat(200, 1, 1, 1), Generator().manual_seed(0))
    level = draws[:, 0, 0].mean(1)
    on_square = (x[0, 0] == 1).float()
    inside = (draws[:, 0] * on_square).sum((1, 2)) / on_square.sum()
    outside = (draws[:, 0] * (1 - on_square)).sum((1, 2)) / (1 - on_square).sum()
    return float(level.std()), float((inside > outside).float().mean()), state["measures"]["diversity_ratio"]


@pytest.mark.slow
def test_a_background_is_varied_and_the_square_stays_where_it_is() -> None:
    """Uniform levels up to .6 have a spread of .17. The control without the diversity term varies less."""
    spread, kept, ratio = learned_levels(0.02)
    assert spread > 0.06 and kept > 0.95 and ratio > 0.5
    control, _, low = learned_levels(0.0)
    assert control < spread and low < ratio


def test_both_ends_are_shown_each_class_once() -> None:
    assert ends(torch.tensor([5, 100, 0, 50, 7, 60, 1])) == [1, 5, 3, 4, 0, 6]
    assert ends(torch.tensor([3, 2])) == [0, 1]


def test_files_for_people(tmp_path: Path) -> None:
    context = toy_context()
    state = context.artefacts[NAME].state
    generator = load_transfer(state, context.problem.shape, CPU)
    files = export(context, generator, state, tmp_path)
    assert set(files.values()) == {"generator.pt", "generator.json", "transfer.png"}
    assert all((tmp_path / name).stat().st_size > 0 for name in files.values())
    facts = json.loads((tmp_path / "generator.json").read_text())
    assert len(facts["shown_classes"]) == 3 and "generator/diversity_ratio" in facts
    again = load_transfer(torch.load(tmp_path / "generator.pt", weights_only=True), context.problem.shape, CPU)
    x = context.problem.unlabelled(Generator().manual_seed(0), 2)
    assert torch.equal(again.sample(x, Generator().manual_seed(0)), generator.sample(x, Generator().manual_seed(0)))
    sheet = contact_sheet(generator, x)
    assert torch.equal(sheet[0], x[0]) and torch.equal(sheet[8], x[1])


def test_the_picture_shows_the_classes_that_it_says(tmp_path: Path) -> None:
    """The first column are stored images, to be found among the problem's by their pixels: their labels are known."""
    context = toy_context()
    state = context.artefacts[NAME].state
    export(context, load_transfer(state, context.problem.shape, CPU), state, tmp_path)
    shown = json.loads((tmp_path / "generator.json").read_text())["shown_classes"]
    x, y = context.problem.labelled()
    label = {(255 * image).round().byte().numpy().tobytes(): int(k) for image, k in zip(x, y, strict=True)}
    sheet = torch.from_numpy(np.array(Image.open(tmp_path / "transfer.png").convert("L")))
    side = context.problem.shape[1]
    firsts = [sheet[top : top + side, 2 : 2 + side] for top in range(2, sheet.shape[0] - side, side + 2)]
    assert [label[tile.contiguous().numpy().tobytes()] for tile in firsts] == [one["class"] for one in shown]
    sizes = context.problem.class_sizes()  # type: ignore[attr-defined]
    assert [one["size"] for one in shown] == sizes[[one["class"] for one in shown]].tolist()
    assert all(one["name"] == context.problem.classes[one["class"]] for one in shown)  # type: ignore[attr-defined]


def test_every_row_of_the_picture_has_the_name_of_its_class_beside_it() -> None:
    """At the right of the images, in its own row; a row without a name has none, and long or odd names are written."""
    sheet, side = torch.rand(3 * 8, 1, 20, 20, generator=Generator().manual_seed(0)), 22
    named, bare = (np.array(picture(sheet, names)).astype(int) for names in (("cat", "", "dog"), ("", "", "")))
    width = 8 * side + 2
    assert np.array_equal(named[:, :width], bare[:, :width]), "the images are not written over"
    margin = [named[2 + k * side : 22 + k * side, width:] for k in range(3)]
    assert [bool((rows > 140).any()) for rows in margin] == [True, False, True]
    assert not np.array_equal(margin[0], margin[2])
    assert picture(sheet, ("two\nlines", "\udcff", "x" * 500)).width < 600


def test_what_is_exported_is_the_average_of_the_weights() -> None:
    """w <- w + min(1, 20 / horizon) (w_t - w) after every update, from the first weights on, by hand."""
    horizon = 40
    config = config_class("style_generator").model_validate({**SMALL, "horizon": horizon})
    maker: Any = config.build(MakerContext(
        problem=Squares(), horizon=horizon, slice_updates=1, seed=0, device=CPU, meter=Meter("cpu"),
    ))
    average: dict[str, Tensor] = {}
    for _ in range(horizon):
        maker.step()
        now = {name: value.clone() for name, value in maker._network.state_dict().items()}
        average = {name: average[name].lerp(now[name], 0.5) for name in now} if average else now
    exported = maker.result()["weights"]
    assert all(torch.allclose(exported[name], average[name], atol=1e-6) for name in average)
    assert any(not torch.allclose(exported[name], now[name], atol=1e-5) for name in now), "the last weights are others"


@pytest.mark.parametrize("kind", ["style", "spatial"])
@pytest.mark.parametrize("shape", [(1, 6, 6), (2, 12, 12), (12,)])
def test_what_is_no_image_is_told(kind: str, shape: tuple[int, ...]) -> None:
    class Odd(Squares):
        pass

    Odd.shape = shape  # type: ignore[assignment]
    with pytest.raises(UserError, match="one or three channels, from 8 x 8 on"):
        config_class(f"{kind}_generator")().check(Odd())


def test_networks_see_the_pools_images_in_minus_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Tensor] = []
    seen: list[Tensor] = []

    def drawing(self: Squares, generator: Generator, size: int) -> Tensor:
        handed.append(self.unlabelled(generator, size))
        return handed[-1]

    def spy(network: StyleNetwork, x: Tensor, styles: Tensor) -> Any:
        seen.append(x)
        return generate(network, x, styles)

    monkeypatch.setattr(Squares, "balanced", drawing)
    monkeypatch.setattr(style_training, "generate", spy)
    made("style", SMALL)
    assert len(seen) == len(handed) == 3, "two updates, and what is exported is measured"
    assert all(torch.equal(x, 2 * images - 1) for x, images in zip(seen, handed, strict=True))


def test_measures_are_those_of_a_literal_loop() -> None:
    """The next image is the one before in the batch; a discriminator of a constant one half has a loss of one half."""
    state = made("style", SMALL)
    network = StyleNetwork(1, StyleNetworkConfig.model_validate(state["network"])).eval().requires_grad_(False)
    network.load_state_dict(state["weights"])
    x = 2 * Squares().unlabelled(Generator().manual_seed(3), 5) - 1
    styles = torch.randn(10, 4, generator=Generator().manual_seed(0))
    half: Any = lambda x: torch.full((len(x), 1), 0.5)  # noqa: E731
    found = measured(network, half, x, Generator().manual_seed(0))
    content, own = network.encode(x)

    def image(i: int, style: Tensor) -> Tensor:
        return network.decode(content[i : i + 1], style[None], (12, 12))[0]

    def mean(terms: list[Tensor]) -> float:
        return float(torch.stack([term.abs().mean() for term in terms]).mean())

    kept = [image(i, own[i]) for i in range(5)]
    assert found.reconstruction == pytest.approx(mean([kept[i] - x[i] for i in range(5)]), rel=1e-4)
    assert found.diversity == pytest.approx(
        mean([image(i, styles[i]) - image(i, styles[5 + i]) for i in range(5)]), rel=1e-3)
    assert found.swap == pytest.approx(mean([image(i, own[i - 1]) - kept[i] for i in range(5)]), rel=1e-3)
    assert found.spread == pytest.approx(mean([x[i] - x[i - 1] for i in range(5)]), rel=1e-4)
    assert found.discriminator == pytest.approx(0.5)
