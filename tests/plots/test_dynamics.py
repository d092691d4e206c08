"""Latent trajectories and the dispersion relation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.datasets.simulation import Simulation
from neurodyn.errors import EmptySelectionError


def lines_of(axes: Any) -> list[np.ndarray]:
    return [np.stack(line.get_data_3d(), axis=1) for line in axes.lines]


def test_latents_are_condition_means(session: Simulation) -> None:
    truth = session.truth
    axes = plots.latents(truth)
    drawn = dict(zip((line.get_label() for line in axes.lines), lines_of(axes)))
    assert sorted(drawn) == ["0", "1", "2"]
    for condition, line in drawn.items():
        mean = truth["latent"].values[truth["condition"].values == condition].mean(axis=0)
        assert np.allclose(line, mean)
    assert len({line.get_color() for line in axes.lines}) == 3
    assert axes.get_xlabel() == "factor 0"
    assert axes.get_legend().get_title().get_text() == "condition"


def test_more_factors_are_shown_on_their_principal_axes(session: Simulation) -> None:
    mixed = session.truth["latent"].values @ np.random.default_rng(0).standard_normal((3, 9))
    results = session.truth.drop_dims("factor").assign(latent=(("trial", "time", "factor"), mixed))
    results = results.assign_coords(factor=[f"z{index}" for index in range(9)])
    axes = plots.latents(results)
    points = np.concatenate(lines_of(axes))
    variance = points.var(axis=0)
    assert variance[0] >= variance[1] >= variance[2]
    assert np.allclose(np.corrcoef(points.T), np.eye(3), atol=1e-6)
    shares = [
        float(label.split("(")[1].rstrip("%)"))
        for label in (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel())
    ]
    # three mixed dimensions: the axes explain all there is
    assert sum(shares) == pytest.approx(100.0, abs=1.5)
    chosen = plots.latents(results, factors=("z4", "z0", "z8"), by=None)
    assert np.allclose(lines_of(chosen)[0], mixed[0][:, [4, 0, 8]])
    assert chosen.get_ylabel() == "factor z0"


def test_too_many_lines_are_thinned_and_said_so(session: Simulation) -> None:
    axes = plots.latents(session.truth, by=None, most_lines=5)
    assert len(axes.lines) == 5
    assert axes.get_title(loc="left") == "5 of 12 trials"


def test_latents_refuse_what_cannot_be_drawn(session: Simulation) -> None:
    with pytest.raises(EmptySelectionError, match=r"no variable 'latents'(.|\n)*'latent'"):
        plots.latents(session.truth, variable="latents")
    with pytest.raises(EmptySelectionError, match=r"no factor '7'"):
        plots.latents(session.truth, factors=("0", "1", "7"))
    with pytest.raises(EmptySelectionError, match=r"needs three factors(.|\n)*found: 2"):
        plots.latents(session.truth.isel(factor=[0, 1]))


@pytest.fixture
def ring() -> xr.Dataset:
    wavenumber = 2.0 * np.pi * np.arange(8) / 8
    frequency = np.sqrt(np.stack([2.0 - 2.0 * np.cos(wavenumber) + 0.1, 0.2 + 0.0 * wavenumber], 1))
    quality = frequency / np.array([0.2, 1.5])
    return rec.results(
        {
            "frequency": (("wave_number", "mode"), frequency, {"units": "Hz"}),
            "quality": (("wave_number", "mode"), quality),
        },
        {"wave_number": wavenumber},
    )


def test_dispersion_draws_every_mode_with_its_quality(ring: xr.Dataset) -> None:
    _, given = plt.subplots()
    axes = plots.dispersion(ring, ax=given)
    assert axes is given
    points = axes.collections[0]
    assert np.allclose(points.get_offsets()[:, 1], ring["frequency"].values.ravel())
    assert np.allclose(points.get_offsets()[:, 0], np.repeat(ring["wave_number"], 2))
    hollow = points.get_facecolors()[:, 3] == 0.0
    assert np.array_equal(hollow, ring["quality"].values.ravel() < 0.5)
    # the same quality, the same colour: modes k and -k are a pair
    colors = points.get_edgecolors().reshape(8, 2, 4)
    assert np.allclose(colors[1:], colors[1:][::-1])
    assert len(axes.lines) == 2
    assert axes.get_xlabel() == "wave number k [rad/site]"
    assert axes.get_ylabel() == "frequency [Hz]"
    bar = axes.figure.axes[-1]
    assert bar.get_ylabel() == "quality factor Q"


def test_dispersion_names_what_is_missing(ring: xr.Dataset) -> None:
    with pytest.raises(EmptySelectionError, match=r"no variable 'quality'(.|\n)*frequency"):
        plots.dispersion(ring.drop_vars("quality"))


def test_theme_changes_ink_and_nothing_afterwards() -> None:
    before = plt.rcParams["text.color"]
    with plots.theme(dark=True):
        _, axes = plt.subplots()
        label = axes.set_xlabel("x")
        assert to_rgba(label.get_color()) == to_rgba("#e6e9ed")
        assert axes.get_facecolor()[3] == 0.0
    assert plt.rcParams["text.color"] == before
