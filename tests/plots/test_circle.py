"""The connectivity circle of mne-connectivity."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle

from neurodyn import plots
from neurodyn.errors import (
    ConfigError,
    DataError,
    EmptySelectionError,
    MissingDependencyError,
)
from neurodyn.plots.networks import community_colors

from .examples import assert_no_name_covers_another, connectome, names_of

needs_package = pytest.mark.skipif(
    find_spec("mne_connectivity") is None, reason="mne-connectivity is optional"
)


@pytest.fixture
def results() -> xr.Dataset:
    return connectome()


def edges_of(axes: plt.Axes) -> list[PathPatch]:
    return [patch for patch in axes.patches if isinstance(patch, PathPatch)]


def nodes_of(axes: plt.Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_without_the_package_the_install_line_is_told(
    results: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mne_connectivity", None)
    monkeypatch.setitem(sys.modules, "mne_connectivity.viz", None)
    with pytest.raises(MissingDependencyError, match=r"neurodyn\[connectome\]"):
        plots.connectivity_circle(results, "1")


@needs_package
def test_strongest_pairs_between_coloured_nodes(results: xr.Dataset) -> None:
    given = Figure(figsize=(5.0, 5.0), layout="constrained").add_subplot(polar=True)
    axes = plots.connectivity_circle(results, "1", n_edges=7, ax=given)
    assert axes is given
    assert plt.get_fignums() == []
    nodes, edges = nodes_of(axes), edges_of(axes)
    community, weights = results["community"].values[0], results["pair_factor"].values[0]
    assert [to_hex(node.get_facecolor()) for node in nodes] == community_colors(community)
    angles = np.array([node.get_x() + node.get_width() / 2.0 for node in nodes])
    pairs = {
        tuple(sorted(int(np.abs(angles - angle).argmin()) for angle in path[[0, -1], 0]))
        for path in (edge.get_path().vertices for edge in edges)
    }
    rows, columns = np.triu_indices(9, 1)
    strongest = np.argsort(-weights[rows, columns])[:7]
    assert pairs == {(int(rows[k]), int(columns[k])) for k in strongest}
    assert axes.figure.axes[-1].get_ylabel() == "weight of pair"


@needs_package
def test_pairs_never_seen_are_not_drawn(results: xr.Dataset) -> None:
    results["pair_factor"].values[0, 2, 5] = results["pair_factor"].values[0, 5, 2] = np.nan
    assert len(edges_of(plots.connectivity_circle(results, "1", n_edges=99))) == 35


@needs_package
def test_any_matrix_of_nodes(results: xr.Dataset) -> None:
    matrix = results["pair_factor"].sel(component="2", drop=True)
    axes = plots.connectivity_circle(matrix, n_edges=99)
    assert len(edges_of(axes)) == 36
    assert len({to_hex(node.get_facecolor()) for node in nodes_of(axes)}) == 1
    labels = ("roi", results["community"].values[1])
    axes = plots.connectivity_circle(matrix.assign_coords(community=labels))
    assert len({to_hex(node.get_facecolor()) for node in nodes_of(axes)}) == 3


@needs_package
def test_names_of_120_nodes_never_overlap() -> None:
    axes = plots.connectivity_circle(connectome(120, 8), "1")
    assert len(names_of(axes)) == len(axes.texts) == 120
    assert 40 <= len(assert_no_name_covers_another(axes)) <= 120


@needs_package
def test_pages_change_the_ink(results: xr.Dataset) -> None:
    with plots.theme(dark=True):
        axes = plots.connectivity_circle(results, "1")
    assert {name.get_color() for name in names_of(axes)} == {"#e6e9ed"}
    assert axes.get_facecolor()[3] == 0.0


@needs_package
def test_what_cannot_be_drawn(results: xr.Dataset) -> None:
    with pytest.raises(EmptySelectionError, match=r"no component '3'(.|\n)*known: 1, 2"):
        plots.connectivity_circle(results, "3")
    with pytest.raises(ConfigError, match="which component"):
        plots.connectivity_circle(results)
    with pytest.raises(EmptySelectionError, match="no variable 'pair_factor'"):
        plots.connectivity_circle(results.drop_vars("pair_factor"), "1")
    with pytest.raises(EmptySelectionError, match="no pair of nodes to draw"):
        plots.connectivity_circle(results.assign(pair_factor=results["pair_factor"] * 0), "1")
    with pytest.raises(DataError, match=r"not a square matrix(.|\n)*'component': 2"):
        plots.connectivity_circle(results["pair_factor"])
    with pytest.raises(ConfigError, match=r"polar axes(.|\n)*rectilinear(.|\n)*polar=True"):
        plots.connectivity_circle(results, "1", ax=Figure().add_subplot())
    assert plt.get_fignums() == []
