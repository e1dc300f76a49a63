"""What every kind of search must do on planted tasks, through the one entrance."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.planted_features import FACTORS, Planted, planted
from tracking.errors import UserError
from trainables.modules.choice import distinct, paired, rounded
from trainables.modules.corners import all_corners, alternatives, menu
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.descriptor_search import Found, SearchConfig, SearchKind, family_size, search
from trainables.modules.evaluated import Evaluated, Judge, Targets
from trainables.modules.ridge import fit, loo_residuals

KINDS = [kind for kind in SearchKind if kind is not SearchKind.AUTO]
ON, OFF = torch.ones(FACTORS), torch.zeros(FACTORS)
N = 200


def found_by(kind: SearchKind, task: Planted, default: Tensor = ON, seed: int = 0, **settings: float) -> Found:
    config = SearchConfig.model_validate(settings)
    return search(task, task.targets, kind, default, Generator().manual_seed(seed), config)


def corners(task: Planted) -> Evaluated:
    counted = CountedFeatures(task, len(task.labels), 10**6)
    return Judge(counted, task.targets, SearchConfig().log_penalties(task.targets)).evaluate(all_corners(FACTORS))


def check_as_good_as_the_best_corner(found: Found, task: Planted, errors: float) -> None:
    everything = corners(task)
    losses = found.evaluated.losses[found.choice.index]
    behind, error = paired(losses, everything.losses[int(everything.risk.argmin())])
    assert float(behind) <= errors * float(error) + 1e-12


@pytest.mark.parametrize("label_factor", [None, 0, 3])
@pytest.mark.parametrize("kind", [SearchKind.GRADIENT, SearchKind.CORNERS, SearchKind.GREEDY, SearchKind.MENU])
def test_every_search_finds_what_is_planted(kind: SearchKind, label_factor: int | None) -> None:
    """Chosen within two standard errors of the best corner (one of the rule, one of the search), and near it."""
    task = planted(5, N, label_factor)
    found = found_by(kind, task)
    check_as_good_as_the_best_corner(found, task, errors=2)
    assert float((found.choice.descriptor - task.right).abs().max()) <= 0.35
    assert found.how is kind


@pytest.mark.parametrize("label_factor", [0, 3])
def test_the_surrogate_finds_the_factor_that_matters(label_factor: int) -> None:
    """A smooth function through 40 points is a cross-check, not a search of its own: only the large effect counts."""
    choice = found_by(SearchKind.SURROGATE, planted(5, N, label_factor)).choice
    assert float(choice.descriptor[label_factor]) < 0.35


def test_the_check_rejects_the_harmful_default() -> None:
    task = planted(5, N, 0)
    kept = found_by(SearchKind.MENU, task, false_alarms=0)
    assert torch.equal(kept.choice.descriptor, ON)
    with pytest.raises(AssertionError):
        check_as_good_as_the_best_corner(kept, task, errors=2)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_reproduce(kind: SearchKind) -> None:
    task = planted(6, N, 1)
    one, again = found_by(kind, task), found_by(kind, task)
    assert torch.equal(one.evaluated.descriptors, again.evaluated.descriptors)
    assert torch.equal(one.evaluated.losses, again.evaluated.losses)
    assert one.choice.index == again.choice.index


def test_another_seed_is_another_search() -> None:
    task = planted(6, N, 1)
    one, other = (found_by(SearchKind.SURROGATE, task, seed=seed).evaluated.descriptors for seed in (0, 1))
    assert not torch.equal(one[: len(other)], other[: len(one)])


@pytest.mark.parametrize("kind", KINDS)
def test_default_is_evaluated_and_everything_lies_in_the_family(kind: SearchKind) -> None:
    """What |I| of the risk bound counts: corners, multiples of 1/32, or what was drawn before labels were seen."""
    task, default = planted(7, N), torch.tensor([0.3, 0.7, 1.0, 0.0, 0.5])
    found = found_by(kind, task, default)
    at = found.evaluated.descriptors
    assert bool((at - default).abs().amax(-1).lt(1e-6).any())
    assert bool(((at >= 0) & (at <= 1)).all())
    resolution = 1 if kind in (SearchKind.CORNERS, SearchKind.GREEDY, SearchKind.MENU) else 32
    inside = (rounded(at, resolution) == at) | ((at - default).abs() < 1e-6)  # or an entry set back to the default
    outside = int((~inside.all(-1)).sum())
    assert outside == 0 if kind is not SearchKind.SURROGATE else outside <= SearchConfig().points
    assert len({tuple(row) for row in at.tolist()}) <= found.family == family_size(kind, default, SearchConfig())


@pytest.mark.parametrize("resolution", [1, 3, 5, 32])
def test_what_the_gradient_starts_from_is_in_the_family_too(resolution: int) -> None:
    """A half is no multiple of a third."""
    found = found_by(SearchKind.GRADIENT, planted(5, 60, 0), resolution=resolution, steps=3)
    at = found.evaluated.descriptors
    torch.testing.assert_close(at, rounded(at, resolution))
    assert found.descent is not None and len(found.descent.starts) >= 2


def test_family_sizes() -> None:
    config, default = SearchConfig(), torch.full((3,), 0.5)
    sizes = {kind: family_size(kind, default, config) for kind in KINDS}
    assert sizes[SearchKind.MENU] == 9 and family_size(SearchKind.MENU, torch.ones(3), config) == 8
    assert sizes[SearchKind.CORNERS] == sizes[SearchKind.GREEDY] == 9
    assert sizes[SearchKind.GRADIENT] == 33**3 and sizes[SearchKind.SURROGATE] == 33**3 + 40
    off_grid = torch.tensor([0.5, 0.3, 1.0])
    assert family_size(SearchKind.GRADIENT, off_grid, config) == 33**2 * 34, "an entry may go back to the default's"


def test_effort_of_each_search() -> None:
    """What the default is tested against, and what each search adds to it."""
    task, k = planted(8, N), FACTORS
    pairs = {kind: found_by(kind, task) for kind in KINDS}
    tested = 2**k
    assert pairs[SearchKind.MENU].forward_pairs == (2 * k + 2) * N
    assert pairs[SearchKind.GREEDY].forward_pairs == (tested + k * (k + 1) // 2 + 1) * N
    # All corners are alternatives already: nothing is screened, and nothing evaluated twice.
    assert found_by(SearchKind.CORNERS, planted(8, 500)).forward_pairs == tested * 500
    few = 2 * k + 3 - 1  # of fewer alternatives the menu stays, whose all-on is the default
    kept = found_by(SearchKind.CORNERS, planted(8, 500), alternatives=8).forward_pairs - 2**k * 100 - few * 500
    assert kept in (16 * 500, 17 * 500)
    assert all(found.gradient_pairs == 0 for kind, found in pairs.items() if kind is not SearchKind.GRADIENT)
    gradient = pairs[SearchKind.GRADIENT]
    assert gradient.descent is not None
    starts = len(gradient.descent.starts)
    assert gradient.gradient_pairs == SearchConfig().steps * starts * N
    proposed = gradient.forward_pairs - 2**k * 100 - tested * N
    assert proposed <= (starts + 1 + starts + 2 * k - 1) * N
    assert len(gradient.evaluated) <= tested + proposed // N


@pytest.mark.parametrize("kind", KINDS)
def test_every_search_tests_the_default(kind: SearchKind) -> None:
    """Against the same alternatives, whatever it finds beside them."""
    task = planted(6, N, 1)
    found = found_by(kind, task)
    fixed = menu(ON) if kind is SearchKind.MENU else alternatives(ON, SearchConfig().alternatives)
    assert torch.equal(found.evaluated.descriptors[: len(fixed)], fixed)
    assert len(distinct(found.evaluated.descriptors)) == len(found.evaluated)
    own = (1 - SearchConfig().worthwhile) * found.evaluated.losses[0]
    behind, error = paired(found.evaluated.losses[1 : len(fixed)], own)
    assert found.evidence.statistic == pytest.approx(float((-behind / error).amax()))
    assert found.evidence.p_value < 0.1


def test_auto_takes_the_menu_for_few_labels() -> None:
    assert found_by(SearchKind.AUTO, planted(9, 39)).how is SearchKind.MENU
    assert found_by(SearchKind.AUTO, planted(9, 40), steps=1).how is SearchKind.GRADIENT


@pytest.mark.parametrize("kind", KINDS)
def test_regression(kind: SearchKind) -> None:
    """The target is one factor's coordinate: its invariance has to go off, there is no accuracy."""
    task = planted(10, N)
    targets = Targets.of_values(task.factors[:, 2, 0])
    found = search(task, targets, kind, ON, Generator().manual_seed(0))
    assert float(found.choice.descriptor[2]) < 0.3
    assert found.evaluated.accuracy is None


REAL, CLASSES = Targets.of_values(torch.arange(5.0)), Targets.of_labels(torch.arange(5), 5)


def test_penalties_of_real_targets_begin_higher() -> None:
    """Each kind of targets has a lower end of its own, and the upper end is one."""
    usual, low, real = SearchConfig(), SearchConfig(lowest_penalty=0.1), SearchConfig(lowest_real=1e-4)
    for config, ends in ((usual, (1e-5, 1e-2)), (low, (0.1, 1e-2)), (real, (1e-5, 1e-4))):
        for targets, end in zip((CLASSES, REAL), ends, strict=True):
            assert config.log_penalties(targets).exp()[[0, -1]].tolist() == pytest.approx([end, 100.0])


def test_a_grid_of_classes_may_end_below_where_one_of_real_targets_begins() -> None:
    """And only who has real targets is told of their end."""
    config = SearchConfig(highest_penalty=5e-3)
    assert float(config.log_penalties(CLASSES).exp()[-1]) == pytest.approx(5e-3)
    config.require(real=False)
    with pytest.raises(UserError, match=r"lowest_real: 0\.01, highest_penalty: 0\.005\n  hint: set `lowest_real` too"):
        config.require(real=True)
    with pytest.raises(UserError, match=r"lowest_real: 0\.01"):
        config.log_penalties(REAL)
    SearchConfig(highest_penalty=5e-3, lowest_real=1e-4).require(real=True)


def test_an_end_that_was_given_for_the_other_kind_of_targets_is_told() -> None:
    """Unless both were, or a record has all fields."""
    given = SearchConfig(lowest_penalty=1e-4)
    given.require(real=False)
    with pytest.raises(UserError, match=r"write `lowest_real: 0\.0001` for them"):
        given.require(real=True)
    for fine in (SearchConfig(), SearchConfig(lowest_penalty=1e-4, lowest_real=1e-4), SearchConfig(lowest_real=1e-4),
                 SearchConfig.model_validate(given.model_dump(mode="json"))):
        fine.require(real=True)


def correlation_with_held_out(labels_mean_something: bool, left_out: bool) -> float:
    """Of the risk on 200 examples with the held-out risk on 3,000, over 40 random descriptors, at one penalty."""
    seen, unseen = planted(11, N + 3000, label_factor=1).split(N)
    seen = seen if labels_mean_something else seen.shuffled(0)
    at = torch.rand(40, FACTORS, generator=Generator().manual_seed(1))
    features, penalty = seen(at, None), torch.full((40,), -2.0)
    heads = fit(features, seen.targets.values, penalty)
    residuals = loo_residuals(features, seen.targets.values, penalty)
    if not left_out:
        residuals = seen.targets.values - heads.predict(features.double())
    truth = (unseen.targets.values - heads.predict(unseen(at, None).double())).square().sum(-1).mean(-1)
    return float(torch.corrcoef(torch.stack([residuals.square().sum(-1).mean(-1), truth]))[0, 1])


def test_leave_one_out_tells_the_held_out_risk() -> None:
    assert correlation_with_held_out(labels_mean_something=True, left_out=True) >= 0.9
    assert correlation_with_held_out(labels_mean_something=False, left_out=True) < 0.9, "it is the labels that tell"


def test_labels_that_mean_nothing_give_a_flat_risk() -> None:
    """Range over all corners within two standard errors of a risk; with labels that mean something it is far wider."""
    for task, flat in ((planted(12, N, 0).shuffled(0), True), (planted(12, N, 0), False)):
        risk, losses = corners(task).risk, corners(task).losses
        error = float(losses[int(risk.argmin())].std()) / N**0.5
        assert (float(risk.max() - risk.min()) <= 2 * error) is flat


@pytest.mark.parametrize(
    "default",
    [[1.1, 0.0], [-0.1, 0.0], [float("nan"), 0.0], [], [[0.0, 1.0]]],
    ids=["above", "below", "nan", "empty", "two axes"],
)
def test_a_default_outside_the_cube_is_refused(default: list[float]) -> None:
    task = planted(0, 20)
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        search(task, task.targets, SearchKind.MENU, torch.tensor(default), Generator())


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        SearchConfig.model_validate({"step": 3})
