"""Affinities between traces: the lazy ones that are factorised, and those people compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.transforms.connectivity.affinity import Affinity as Affinity
    from neurodyn.transforms.connectivity.affinity import pair_coords as pair_coords
    from neurodyn.transforms.connectivity.affinity import pair_index as pair_index
    from neurodyn.transforms.connectivity.affinity import pair_matrix as pair_matrix
    from neurodyn.transforms.connectivity.affinity import pair_vector as pair_vector
    from neurodyn.transforms.connectivity.dense_affinity import DenseAffinity as DenseAffinity
    from neurodyn.transforms.connectivity.dense_affinity import as_affinity as as_affinity
    from neurodyn.transforms.connectivity.differential import (
        differential_affinity as differential_affinity,
    )
    from neurodyn.transforms.connectivity.differential import edge_affinity as edge_affinity
    from neurodyn.transforms.connectivity.edges import edge_time_series as edge_time_series
    from neurodyn.transforms.connectivity.edges import (
        multiplication_of_temporal_derivatives as multiplication_of_temporal_derivatives,
    )
    from neurodyn.transforms.connectivity.feature_affinity import (
        FeatureAffinity as FeatureAffinity,
    )
    from neurodyn.transforms.connectivity.phase import phase_synchrony as phase_synchrony
    from neurodyn.transforms.connectivity.spike_coupling import spike_coupling as spike_coupling
    from neurodyn.transforms.connectivity.static import static_connectivity as static_connectivity
    from neurodyn.transforms.connectivity.traces import Traces as Traces
    from neurodyn.transforms.connectivity.traces import as_traces as as_traces
    from neurodyn.transforms.connectivity.windowed import (
        sliding_window_correlation as sliding_window_correlation,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "affinity": ["Affinity", "pair_coords", "pair_index", "pair_matrix", "pair_vector"],
        "dense_affinity": ["DenseAffinity", "as_affinity"],
        "differential": ["differential_affinity", "edge_affinity"],
        "edges": ["edge_time_series", "multiplication_of_temporal_derivatives"],
        "feature_affinity": ["FeatureAffinity"],
        "phase": ["phase_synchrony"],
        "spike_coupling": ["spike_coupling"],
        "static": ["static_connectivity"],
        "traces": ["Traces", "as_traces"],
        "windowed": ["sliding_window_correlation"],
    },
)
