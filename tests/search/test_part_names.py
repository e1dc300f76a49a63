"""Which parts a sweep uses: by these names the code of installed plug-ins is remembered."""

from __future__ import annotations

from search.part_names import part_names
from search.wanted import Wanted, wanted_of
from tests.support.simulation import comparison


def test_what_is_made_for_the_studies_counts() -> None:
    wrapped = {"label": "few", "source": {"name": "digits"}, "wrappers": [{"name": "long_tailed"}]}
    described = comparison(
        problems=[wrapped], methods=[{"name": "hyperinvariances"}, {"name": "plain", "network": "mlp"}]
    )
    own = {"hyperinvariances", "plain", "mlp", described.network, "digits", "long_tailed"}
    assert part_names(described, Wanted()) - {""} == own
    assert part_names(described, wanted_of(described)) - own - {""} == {"amortised_extractor"}
