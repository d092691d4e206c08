"""Dynamic functional connectomes: affinities, components, communities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.models.connectome.assembly import active as active
    from neurodyn.models.connectome.assembly import block_activity as block_activity
    from neurodyn.models.connectome.assembly import expected_affinity as expected_affinity
    from neurodyn.models.connectome.assembly import stages as stages
    from neurodyn.models.connectome.attribution import attribute as attribute
    from neurodyn.models.connectome.config import AffinityConfig as AffinityConfig
    from neurodyn.models.connectome.config import ConnectomeConfig as ConnectomeConfig
    from neurodyn.models.connectome.config import FactorisationConfig as FactorisationConfig
    from neurodyn.models.connectome.estimator import DynamicConnectome as DynamicConnectome
    from neurodyn.models.connectome.factorisation import factorise as factorise
    from neurodyn.models.connectome.rank import rank_scan as rank_scan
    from neurodyn.models.connectome.tensorly_route import decompose as decompose

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "assembly": ["active", "block_activity", "expected_affinity", "stages"],
        "attribution": ["attribute"],
        "config": ["AffinityConfig", "ConnectomeConfig", "FactorisationConfig"],
        "estimator": ["DynamicConnectome"],
        "factorisation": ["factorise"],
        "rank": ["rank_scan"],
        "tensorly_route": ["decompose"],
    },
)
