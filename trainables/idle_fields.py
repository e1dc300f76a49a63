"""Settings that were given and would do nothing, told before work starts."""

from __future__ import annotations

from pydantic import BaseModel

from tracking.errors import UserError


def refuse_idle(model: BaseModel, names: tuple[str, ...], needs: str, hint: str = "") -> None:
    """Raises UserError where a field that nothing reads has another value than its default.

    By value and not by what was written: a record holds every field, and is read again.

    Args:
        names: fields that do nothing as `model` stands.
        needs: what would read them, as in "the focal loss".
    """
    fields = type(model).model_fields
    given = [name for name in names if getattr(model, name) != fields[name].get_default(call_default_factory=True)]
    if given:
        them = ", ".join(f"`{name}`" for name in given)
        values = ", ".join(f"{name}: {getattr(model, name)}" for name in given)
        raise UserError(f"{them} {'is' if len(given) == 1 else 'are'} of {needs}, and would do nothing here", values,
                        hint or "leave it out")
