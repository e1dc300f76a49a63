"""Families and descriptors from a user's fields: what does not fit is refused with what would."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from torch import Tensor

from spaces.descriptors import LIMITS, OPERATIONS, Factor, Family, standard_family
from spaces.transforms import MEANINGFUL, TRANSFORMS, Operation
from tracking.errors import UserError, nearest

OWNERS: Mapping[str, Factor] = {one.value: factor for factor, owned in OPERATIONS.items() for one in owned}


def require_factors(factors: Sequence[Factor]) -> None:
    """Raises UserError where there is none, or one is named twice."""
    if not factors:
        raise UserError("a family must have at least one factor", "none", "leave `factors` out for the standard ones")
    if twice := sorted({factor.value for factor in factors if factors.count(factor) > 1}):
        raise UserError("a factor may occur once in a family", ", ".join(twice), "name each of `factors` once")


def family_of(factors: Sequence[Factor] | None, limits: Mapping[str, float], channels: int) -> Family:
    """A family for images with so many channels.

    Args:
        factors: None takes the standard ones for these channels.
        limits: operation -> half-width in its unit.

    Raises:
        UserError: a factor that needs other channels, a limit of something else, or one that means nothing.
    """
    chosen = standard_family(channels).factors if factors is None else tuple(factors)
    require_factors(chosen)
    family = Family(factors=chosen)
    if not family.fits(channels):
        raise UserError("the factor `colour` needs three channels", channels, "leave it out of `factors`")
    for name, limit in limits.items():
        _require_limit(name, limit, family, channels)
    return Family(factors=chosen, limits={Operation(name): limit for name, limit in limits.items()})


def require_entries(family: Family, names: Iterable[str]) -> None:
    """Raises UserError where the family lacks an entry of these names."""
    known = [factor.value for factor in family.factors]
    if unknown := sorted(set(names) - set(known)):
        raise UserError("a descriptor must fit its extractor", ", ".join(unknown), _instead(unknown[0], known))


def descriptor_of(family: Family, entries: Mapping[str, float]) -> Tensor:
    """(K,), what is not named is 0; UserError where a name or a value is wrong."""
    require_entries(family, entries)
    if outside := {name: value for name, value in entries.items() if not 0.0 <= value <= 1.0}:
        raise UserError(
            "the entries of a descriptor lie in [0, 1]", ", ".join(f"{n}: {value}" for n, value in outside.items()),
            "0 keeps a factor, 1 ignores it over its whole range, a number between them ignores a share of it",
        )
    return family.descriptor(entries)


def _require_limit(name: str, limit: float, family: Family, channels: int) -> None:
    known = [operation.value for operation in family.operations]
    if name not in known:
        raise UserError("limits are of operations of the factors", name, _operation_instead(name, known, channels))
    operation = Operation(name)
    most, unit = MEANINGFUL[operation], TRANSFORMS[operation].unit
    if not 0 < limit <= most:
        raise UserError(f"the limit of `{name}` must be positive and at most {most:g} ({unit})", limit,
                        f"it is a half-width: {LIMITS[operation]:.3g} where it is left out")


def _operation_instead(name: str, known: Collection[str], channels: int) -> str:
    """A factor's name is answered by its operations; one that is not of the family, by why."""
    own = [one.value for one in OPERATIONS[Factor(name)]] if name in set(Factor) else []
    factor = Factor(name) if own else OWNERS.get(name)
    listed = f"known: {', '.join(known)}"
    if factor is None:
        return nearest(name, known)
    if factor is Factor.COLOUR and channels != 3:
        return f"`colour` is for images of three channels only; {listed}"
    if not set(own) & set(known):
        return f"the factor `{factor}` is not one of the family; {listed}"
    return f"the operations of `{name}` are {' and '.join(f'`{one}`' for one in own)}"


def _instead(name: str, known: Collection[str]) -> str:
    """An operation's name is answered by its factor; `colour`, where it is lacking, by when there is one."""
    factor = Factor(name) if name in set(Factor) else OWNERS.get(name)
    listed = f"known: {', '.join(known)}"
    if factor is None:
        return nearest(name, known)
    if factor in known:
        return f"`{name}` is an operation of `{factor}`; {listed}"
    why = " (it is for images of three channels only)" if factor is Factor.COLOUR else ""
    return f"this extractor has no `{factor}`{why}; {listed}"
