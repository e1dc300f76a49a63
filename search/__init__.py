"""How sweeps are launched, resumed and compared: `from search import compare, resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.runner import compare, resume

__all__ = ["compare", "resume"]


def __getattr__(name: str) -> Any:
    # Ray and torch load with the first use, not with `invsearch --help`.
    if name in __all__:
        from search import runner

        return getattr(runner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
