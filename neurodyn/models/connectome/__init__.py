"""Dynamic functional connectomes: affinities, components, communities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.models.connectome.factorisation import factorise as factorise
    from neurodyn.models.connectome.rank import rank_scan as rank_scan
    from neurodyn.models.connectome.tensorly_route import decompose as decompose

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "factorisation": ["factorise"],
        "rank": ["rank_scan"],
        "tensorly_route": ["decompose"],
    },
)
