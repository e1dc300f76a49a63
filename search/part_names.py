"""What a sweep uses by name: methods, networks, sources, wrappers and makers, the house's and the user's."""

from __future__ import annotations

from search.study import Comparison
from search.wanted import Wanted
from trainables import plugins


def part_names(comparison: Comparison, wanted: Wanted) -> set[str]:
    """All of them, those of what is made for the studies included."""
    problems = [*comparison.problems, *(artefact.source for artefact in wanted.specs.values())]
    parts = [part for spec in problems for source, wrappers in [spec.parts()] for part in (source, *wrappers)]
    return {
        comparison.network, *(method.name for method in comparison.methods),
        *(method.network for method in comparison.methods), *(part.name for part in parts),
        *(artefact.maker for artefact in wanted.specs.values()),
    }


def installed_code(comparison: Comparison, wanted: Wanted) -> dict[str, str]:
    """Module -> digest of its code, of the installed plug-ins that the sweep uses."""
    return plugins.installed_code(part_names(comparison, wanted))
