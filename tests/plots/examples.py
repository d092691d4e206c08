"""Small results of a connectome, with known blocks, and what figures hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from neurodyn import recording as rec
from neurodyn.plots.names import Name

ANIMALS = ("worm 10", "worm 2", "worm 1")


def connectome(
    n_nodes: int = 9, n_communities: int = 3, n_animals: int = 3, n_time: int = 80
) -> xr.Dataset:
    """Two components of planted communities; nodes of a community do not stand together."""
    rng = np.random.default_rng(5)
    community = np.sort(np.arange(n_nodes) % n_communities)
    communities = np.stack([rng.permutation(community), rng.permutation(community)])
    weights = rng.uniform(0.1, 0.2, (2, n_nodes, n_nodes))
    weights += communities[:, :, None] == communities[:, None, :]
    weights = np.triu(weights, 1) + np.triu(weights, 1).transpose(0, 2, 1)
    nodes = [f"AV{index:03d}" for index in range(n_nodes)]
    animal_factor = rng.uniform(0.1, 1.0, (2, n_animals))
    animals = list(ANIMALS[:n_animals]) + [f"worm {index}" for index in range(20, 17 + n_animals)]
    return rec.results(
        {
            "pair_factor": (("component", "roi", "roi_to"), weights),
            "community": (("component", "roi"), communities),
            "time_factor": (("component", "time"), rng.uniform(size=(2, n_time))),
            "animal_factor": (("component", "animal"), animal_factor),
            "participation": ("component", [2.25, 1.0]),
            "family": ("component", ["log-normal", "exponential"]),
        },
        {
            "component": ["1", "2"],
            "roi": nodes,
            "roi_to": nodes,
            "time": np.arange(n_time) * 0.25,
            "animal": animals,
        },
    )


def names_of(axes: Axes) -> list[Name]:
    return [text for text in axes.texts if isinstance(text, Name)]


def drawn(axes: Axes) -> Any:
    """Draw the figure of axes, whether pyplot made it or not, and return the renderer."""
    canvas = FigureCanvasAgg(axes.get_figure(root=True))
    canvas.draw()
    return canvas.get_renderer()


def assert_no_name_covers_another(axes: Axes) -> list[str]:
    """Return the names that are shown, checked pair by pair on the page."""
    renderer = drawn(axes)
    shown = [name for name in names_of(axes) if name.shown]
    outlines = [name.outline(renderer) for name in shown]
    for index, outline in enumerate(outlines):
        assert not any(outline.intersects_path(other) for other in outlines[:index])
    return [name.get_text() for name in shown]
