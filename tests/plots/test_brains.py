"""Regions on the brain: what is drawn where, and what cannot be."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn.errors import ConfigError, DataError, EmptySelectionError, MissingDependencyError
from neurodyn.plots.brains import diverging

N_ROIS = 8


@pytest.fixture
def values() -> xr.DataArray:
    rng = np.random.default_rng(0)
    place = rng.uniform([-60, -80, -20], [60, 50, 60], (N_ROIS, 3))
    place[:, 0] = 45 * np.resize([-1, 1], N_ROIS)
    coords = {axis: ("roi", column) for axis, column in zip("xyz", place.T)}
    coords["network"] = ("roi", np.resize(["visual", "motor", ""], N_ROIS))
    coords["roi"] = ("roi", [f"roi{number}" for number in range(N_ROIS)])
    return xr.DataArray(rng.normal(size=N_ROIS), dims="roi", coords=coords, name="r2")


@pytest.fixture
def matrix(values: xr.DataArray) -> xr.DataArray:
    weights = np.random.default_rng(1).uniform(size=(N_ROIS, N_ROIS))
    return xr.DataArray(weights, dims=("roi", "roi_to"), coords=values.coords, name="attention")


def panels(axes):
    """Return the parts that nilearn made of axes, and the colour bar."""
    others = [other for other in axes.get_figure().axes if other is not axes]
    bar = [other for other in others if other.get_ylabel()]
    return [other for other in others if other not in bar], bar


@pytest.mark.parametrize("dark", [False, True])
def test_a_dot_for_each_region_in_each_view(values: xr.DataArray, dark: bool) -> None:
    values[3] = np.nan
    with plots.theme(dark=dark):
        axes = plots.glass_brain(values, views="yz", ax=Figure(figsize=(4, 2)).add_subplot())
    parts, (bar,) = panels(axes)
    assert len(parts) == 2
    dots = [part.collections[0] for part in parts]
    known = values.dropna("roi")
    expected = np.stack([known["x"], known["z"]], axis=1)
    np.testing.assert_allclose(dots[0].get_offsets(), expected)
    assert all(len(dot.get_offsets()) == N_ROIS - 1 for dot in dots)
    assert bar.get_ylabel() == "r2"
    # values of both signs: colours are even about 0
    low, high = bar.get_ylim()
    assert low == -high
    assert {text.get_text() for part in parts for text in part.texts} == {"L", "R"}
    # the page is seen behind
    assert not axes.images


def test_sides_are_not_swapped(values: xr.DataArray) -> None:
    axes = plots.glass_brain(values, views="l", ax=Figure(figsize=(3, 2)).add_subplot())
    (part,), _ = panels(axes)
    drawn = part.collections[0].get_offsets()
    left = values[values["x"] < 0]
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(left["y"]))


def test_pairs_are_lines(matrix: xr.DataArray) -> None:
    axes = plots.glass_connectome(
        matrix, n_edges=5, views="z", label="weight", ax=Figure(figsize=(3, 2)).add_subplot()
    )
    (part,), (bar,) = panels(axes)
    lines = [line for line in part.lines if len(line.get_xdata()) == 2]
    assert len(lines) == 5
    both = 0.5 * (matrix.values + matrix.values.T)
    strongest = np.sort(both[np.triu_indices(N_ROIS, 1)])[-5:]
    np.testing.assert_allclose(bar.get_ylim(), strongest[[0, -1]])
    assert bar.get_ylabel() == "weight"
    colors = {tuple(color) for color in part.collections[0].get_facecolors()}
    assert len(colors) == 3
    plain = plots.glass_connectome(matrix.drop_vars("network"), n_edges=1, views="z")
    assert len({tuple(c) for c in panels(plain)[0][0].collections[0].get_facecolors()}) == 1


def test_a_sketch_on_the_cortex(values: xr.DataArray) -> None:
    figure = Figure(figsize=(2, 2))
    axes = plots.brain_surface(values, ax=figure.add_subplot(projection="3d"))
    assert axes.collections
    with pytest.raises(EmptySelectionError, match=r"(?s)lies near this side.*right.*glass_brain"):
        plots.brain_surface(values[values["x"] < 0], hemisphere="right")
    with pytest.raises(EmptySelectionError, match="lies near this side"):
        plots.brain_surface(values * np.nan)
    with pytest.raises(ConfigError, match=r"(?s)hemisphere.*'l'.*'left' or 'right'"):
        plots.brain_surface(values, hemisphere="l")
    with pytest.raises(ConfigError, match="invalid value for view"):
        plots.brain_surface(values, view="top")
    assert plt.get_fignums() == []


def test_colours_suit_the_signs() -> None:
    assert diverging(np.array([1.0, 4.0])).get_clim() == (1.0, 4.0)
    assert diverging(np.array([-1.0, 4.0])).get_clim() == (-4.0, 4.0)
    assert diverging(np.array([2.0, 2.0])).get_clim() == (1.5, 2.5)
    assert diverging(np.array([1.0, 2.0]), "magma").get_cmap().name == "magma"


def test_what_cannot_be_drawn_is_said(values: xr.DataArray, matrix: xr.DataArray) -> None:
    with pytest.raises(DataError, match=r"(?s)where regions are.*no coordinates z.*MNI"):
        plots.glass_brain(values.drop_vars("z"))
    values["x"][0] = np.nan
    with pytest.raises(DataError, match=r"(?s)where regions are.*NaN"):
        plots.glass_brain(values)
    with pytest.raises(EmptySelectionError, match="no region has a value"):
        plots.glass_brain(matrix.isel(roi_to=0) * np.nan)
    with pytest.raises(EmptySelectionError, match="no pair of regions"):
        plots.glass_connectome(matrix * 0)
    assert plt.get_fignums() == []


def test_without_nilearn_the_extra_is_named(
    values: xr.DataArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(MissingDependencyError, match=r"neurodyn\[fmri\]"):
        plots.glass_brain(values)
