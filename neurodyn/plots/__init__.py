"""Plots: functions over recordings and results, ``ax=`` in, ``Axes`` out.

Each takes the axes to draw into, or makes a figure of its own with pyplot. Inside
:func:`theme` they suit a light or a dark page.
"""

from neurodyn.plots.dynamics import dispersion, latents
from neurodyn.plots.embed import Drawing
from neurodyn.plots.rates import psth, raster, rates
from neurodyn.plots.runs import scores, training_curves
from neurodyn.plots.style import theme

__all__ = [
    "Drawing",
    "dispersion",
    "latents",
    "psth",
    "raster",
    "rates",
    "scores",
    "theme",
    "training_curves",
]
