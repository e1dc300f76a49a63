"""Domains and spaces: encoding is inverted by decoding, membership is exact, nonsense is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spaces.domain import Choice, Domain, Float, Int, Space, Value

# The same examples in every run, and no folder of examples left behind.
REPEATABLE = settings(deadline=None, derandomize=True, database=None)
UNIT = st.floats(0, 1)
OPTIONS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-1, 1), st.text(max_size=3))


@st.composite
def ranges(draw: st.DrawFn) -> Float | Int:
    log = draw(st.booleans())
    if draw(st.booleans()):
        low = draw(st.integers(1 if log else -1000, 1000))
        return Int(low=low, high=low + draw(st.integers(1, 1000)), log=log)
    start = draw(st.floats(1e-6 if log else -1e3, 1e3))
    return Float(low=start, high=start + draw(st.floats(1e-3, 1e3)), log=log)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    options = draw(st.lists(OPTIONS, min_size=1, max_size=6, unique_by=lambda o: (type(o), o)))
    return Choice(options=tuple(options))


DOMAINS = st.one_of(ranges(), choices())


def same(a: Value, b: Value) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return type(a) is type(b) and a == b


@REPEATABLE
@given(DOMAINS, UNIT)
def test_decoded_values_belong_to_the_domain_and_survive_a_round_trip(domain: Domain, unit: float) -> None:
    value = domain.decode(unit)
    assert domain.contains(value)
    code = domain.encode(value)
    assert -1e-9 <= code <= 1 + 1e-9
    assert same(domain.decode(min(max(code, 0.0), 1.0)), value)


@REPEATABLE
@given(ranges(), UNIT, UNIT)
def test_decoding_keeps_the_order(domain: Float | Int, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert domain.decode(low) <= domain.decode(high)


@REPEATABLE
@given(st.dictionaries(st.text(max_size=4), DOMAINS, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_space_round_trip_json_and_reproducible_samples(domains: dict[str, Domain], seed: int) -> None:
    space = Space(domains)
    point = space.sample(np.random.default_rng(seed))
    assert space.contains(point)
    assert point == space.sample(np.random.default_rng(seed))
    decoded = space.decode([min(max(u, 0.0), 1.0) for u in space.encode(point)])
    assert all(same(decoded[name], point[name]) for name in space.names)
    assert Space.model_validate_json(space.model_dump_json()) == space


def test_round_trip_check_can_fail() -> None:
    assert not same(1, 1.0)
    assert not same(True, 1)
    assert not same(0.5, 0.500001)


def test_ends_and_middles() -> None:
    assert [Float(low=1, high=100, log=True).decode(u) for u in (0, 0.5, 1)] == pytest.approx([1, 10, 100])
    assert [Int(low=2, high=6).decode(u) for u in (0, 0.5, 1)] == [2, 4, 6]
    assert [Choice(options=("a", "b")).decode(u) for u in (0, 0.49, 0.5, 1)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (Float(low=0, high=1), 1.1),
        (Float(low=0, high=1), True),
        (Float(low=0, high=1), "0.5"),
        (Int(low=0, high=3), 2.0),
        (Int(low=0, high=3), True),
        (Choice(options=(1, 2)), True),
        (Choice(options=(1, 2)), 1.0),
        (Choice(options=(True,)), 1),
    ],
)
def test_values_of_the_wrong_type_or_outside_are_not_contained(domain: Domain, value: Value) -> None:
    assert not domain.contains(value)


@pytest.mark.parametrize(
    "fields",
    [
        {"low": 1, "high": 1},
        {"low": 2, "high": 1},
        {"low": 0, "high": float("inf")},
        {"low": float("nan"), "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"low": 0, "high": 1, "step": 0.1},
    ],
)
def test_impossible_ranges_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Float.model_validate(fields)


def test_points_that_do_not_fit_are_refused() -> None:
    space = Space({"rate": Float(low=0, high=1), "depth": Int(low=1, high=3)})
    for point in ({"rate": 0.5}, {"rate": 0.5, "depth": 4}, {"rate": 0.5, "depth": 1, "more": 1}):
        assert not space.contains(point)
        with pytest.raises(ValueError, match="must lie in the space"):
            space.encode(point)
    for unit in ([0.5], [0.5, 1.1], [0.5, 0.5, 0.5]):
        with pytest.raises(ValueError, match="need 2 numbers"):
            space.decode(unit)


def test_an_empty_choice_is_refused() -> None:
    with pytest.raises(ValidationError):
        Choice(options=())


def test_what_no_sampler_could_use_is_refused() -> None:
    """NaN is not among its own options; a range whose width overflows cannot be drawn from."""
    with pytest.raises(ValueError, match="equal to itself"):
        Choice(options=(1.0, float("nan")))
    with pytest.raises(ValueError, match="must be finite"):
        Float(low=-1e308, high=1e308)
    assert Choice(options=(1.0, None)).options == (1.0, None)
    assert Float(low=-1e307, high=1e307).contains(0.0)
