"""Plots: functions over recordings and results, ``ax=`` in, ``Axes`` out.

Each takes the axes to draw into, or makes a figure of its own with pyplot; those of several
panels take a ``figure=`` to fill. Inside :func:`theme` they suit a light or a dark page.
"""

from neurodyn.plots.brainmae import (
    attention_matrix,
    attention_over_time,
    embedding_matrix,
    reconstruction,
)
from neurodyn.plots.brains import brain_surface, glass_brain, glass_connectome
from neurodyn.plots.circle import connectivity_circle
from neurodyn.plots.connectomes import (
    affinity_matrix,
    animal_factor,
    component_graph,
    component_panel,
    time_factor,
)
from neurodyn.plots.couplings import coupling_matrix, coupling_roc
from neurodyn.plots.decoding import decoded_traces, few_shot_curve
from neurodyn.plots.dynamics import dispersion, latents
from neurodyn.plots.embed import Drawing
from neurodyn.plots.factorisations import rank_scan, restart_errors
from neurodyn.plots.generation import generation_statistics, psth_pair, raster_pair
from neurodyn.plots.growth import growth
from neurodyn.plots.rates import psth, raster, rates
from neurodyn.plots.runs import scores, training_curves
from neurodyn.plots.stages import alluvial, graph_strip
from neurodyn.plots.style import theme

__all__ = [
    "Drawing",
    "affinity_matrix",
    "alluvial",
    "animal_factor",
    "attention_matrix",
    "attention_over_time",
    "brain_surface",
    "component_graph",
    "component_panel",
    "connectivity_circle",
    "coupling_matrix",
    "coupling_roc",
    "decoded_traces",
    "dispersion",
    "embedding_matrix",
    "few_shot_curve",
    "generation_statistics",
    "glass_brain",
    "glass_connectome",
    "graph_strip",
    "growth",
    "latents",
    "psth",
    "psth_pair",
    "rank_scan",
    "raster",
    "raster_pair",
    "rates",
    "reconstruction",
    "restart_errors",
    "scores",
    "theme",
    "time_factor",
    "training_curves",
]
