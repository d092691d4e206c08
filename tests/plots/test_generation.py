"""Recorded beside generated spikes: what is drawn are the data given and their distance."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import DataError, DegenerateInputError, EmptySelectionError
from neurodyn.metrics import compare_generated, psth_correlation, spike_statistics
from neurodyn.plots.style import ink, palette

from .examples import drawn


def poisson(seed: int, rates: tuple[float, ...] = (20.0, 5.0, 40.0)) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    times = {
        f"u{unit}": np.sort(rng.uniform(0.0, 20.0, rng.poisson(20.0 * rate)))
        for unit, rate in enumerate(rates)
    }
    return rec.spikes_from_units(times, observed=[[0.0, 20.0]])


def trials(seed: int, n_trials: int = 12, **changed: object) -> xr.Dataset:
    """Two stimuli in turn; unit ``b`` follows time most closely."""
    rng = np.random.default_rng(seed)
    course = 0.2 + np.array([[0.1], [4.0], [1.0]]) * (1 + np.sin(np.arange(20) / 2.0))
    count = rng.poisson(np.broadcast_to(course.T, (n_trials, 20, 3)))
    settings = {
        "bin_size": 0.05,
        "unit": ["a", "b", "c"],
        "trial_columns": {"stimulus": np.resize(["left", "right"], n_trials)},
    }
    return rec.counts(count, **{**settings, **changed})


def test_rasters_share_rows_and_time() -> None:
    real, generated = poisson(0), poisson(1)
    panels = plots.raster_pair(real, generated, start=2.0, stop=7.0)
    for panel, spikes in zip(panels, (real, generated)):
        lines = next(c for c in panel.collections if isinstance(c, LineCollection))
        found = sorted((path[0][0], round(path[0][1] + 0.4)) for path in lines.get_segments())
        expected = sorted(
            (time, row)
            for row, unit in enumerate(spikes["unit"].values)
            for time in rec.unit_spike_times(spikes, unit)
            if 2.0 <= time < 7.0
        )
        np.testing.assert_allclose(found, expected)
        assert panel.get_xlim() == (2.0, 7.0)
    assert [panel.get_title(loc="left") for panel in panels] == ["recorded", "generated"]
    assert [panel.get_ylabel() for panel in panels] == ["unit", ""]


def test_rasters_end_at_the_last_spike_of_both() -> None:
    real = rec.spikes_from_units({"a": [0.5, 2.0]})
    generated = rec.spikes_from_units({"a": [0.5, 3.5]})
    figure = Figure()
    panels = plots.raster_pair(real, generated, figure=figure)
    assert {panel.get_xlim() for panel in panels} == {(0.0, 3.5)}
    assert figure.axes == list(panels)


def test_rasters_of_other_units_or_silence_are_refused() -> None:
    real = poisson(0)
    with pytest.raises(DataError, match=r"(?s)units differ.*2 units.*the 3 units"):
        plots.raster_pair(real, poisson(1, (20.0, 5.0)))
    with pytest.raises(EmptySelectionError, match=r"(?s)no spikes to draw.*from 30"):
        plots.raster_pair(real, real, start=30.0, stop=40.0)
    silent = rec.spikes_from_units({"a": []})
    with pytest.raises(EmptySelectionError, match="no spikes to draw"):
        plots.raster_pair(silent, silent)


def test_psths_are_means_with_their_correlation() -> None:
    real, generated = trials(0), trials(1)
    panels = plots.psth_pair(real, generated, units=["c", "b"], by="stimulus")
    assert panels.shape == (2, 2)
    groups = [ds["stimulus"].values for ds in (real, generated)]
    for panel_row, unit in zip(panels, ["c", "b"]):
        for panel, stimulus in zip(panel_row, ["left", "right"]):
            for line, ds in zip(panel.get_lines(), (real, generated)):
                chosen = ds["count"].sel(unit=unit)[ds["stimulus"].values == stimulus] / 0.05
                np.testing.assert_allclose(line.get_ydata(), chosen.mean("trial"), rtol=1e-6)
                np.testing.assert_allclose(line.get_xdata(), np.arange(20) * 0.05 + 0.025)
            band = panel.collections[0].get_paths()[0].vertices[:, 1]
            values = real["count"].sel(unit=unit).values[groups[0] == stimulus] / 0.05
            error = values.std(axis=0, ddof=1) / np.sqrt(6)
            assert band.max() == pytest.approx((values.mean(axis=0) + error).max())
    told = psth_correlation(real["count"] / 0.05, generated["count"] / 0.05, *groups)
    assert panels[1, 1].get_title(loc="right") == (
        f"r {float(told['correlation'][1]):.2f} of {float(told['ceiling'][1]):.2f}"
    )
    assert [panel.get_title(loc="left") for panel in panels[0]] == ["left", "right"]
    assert panels[0, 0].get_ylabel() == "unit c\n[spikes/s]"
    assert panels[1, 0].get_xlabel() == "time in trial [s]"
    assert [line.get_color() for line in panels[0, 0].get_lines()] == [ink(), palette()[0]]
    drawn(panels[0, 0])


def test_units_of_the_least_noise_come_first_and_trials_may_be_of_one_kind() -> None:
    panels = plots.psth_pair(trials(0), trials(1), by=None)
    assert panels.shape == (3, 1)
    assert [panel.get_ylabel()[:6] for panel in panels[:, 0]] == ["unit b", "unit c", "unit a"]
    assert panels[0, 0].get_title(loc="left") == ""


def test_psths_leave_out_bins_not_seen_in_every_trial() -> None:
    observed = np.ones((12, 20), dtype=bool)
    observed[3, :5] = False
    panels = plots.psth_pair(trials(0, observed=observed), trials(1), units=["b"])
    assert panels[0, 0].get_lines()[0].get_xdata()[0] == pytest.approx(0.275)
    with pytest.raises(EmptySelectionError, match=r"(?s)too few bins.*0 of 20.*two at least"):
        plots.psth_pair(trials(0, observed=np.eye(12, 20, dtype=bool)), trials(1))


def test_psths_that_do_not_fit_are_refused() -> None:
    real = trials(0)
    with pytest.raises(DataError, match=r"(?s)bins differ.*20 bins of 0\.1 s.*20 bins of 0\.05 s"):
        plots.psth_pair(real, trials(1, bin_size=0.1))
    with pytest.raises(EmptySelectionError, match=r"(?s)no unit 'z'.*known: a, b, c"):
        plots.psth_pair(real, trials(1), units=["z"])
    with pytest.raises(DegenerateInputError, match="noise cannot be told from one trial"):
        plots.psth_pair(real, trials(1, n_trials=2), by="stimulus")
    with pytest.raises(DataError, match="units differ"):
        plots.psth_pair(real, trials(1, unit=["a", "c", "b"]))


def test_statistics_are_those_of_the_metrics() -> None:
    real, generated = poisson(0), poisson(1, (15.0, 8.0, 40.0))
    panels = plots.generation_statistics(real, generated)
    first, second = spike_statistics(real), spike_statistics(generated)
    for panel, name in zip(panels, ("rate", "isi_mean", "isi_sd")):
        points = panel.collections[0].get_offsets()
        np.testing.assert_allclose(points, np.stack([first[name], second[name]], axis=1))
        assert panel.get_xscale() == "log"
        assert panel.get_xlim() == panel.get_ylim()
    pairs = np.triu_indices(3, 1)
    points = panels[3].collections[0].get_offsets()
    correlations = [ds["correlation"].values[pairs] for ds in (first, second)]
    np.testing.assert_allclose(points, np.stack(correlations, axis=1))
    for patch, ds in zip(panels[4].patches, (first, second)):
        bins = ds["population_bins"].values
        values, edges, _ = patch.get_data()
        np.testing.assert_allclose(np.nan_to_num(values), bins / bins.sum())
        assert edges[0] == -0.5
    for line, ds in zip(panels[5].get_lines(), (first, second)):
        np.testing.assert_allclose(line.get_ydata(), ds["autocorrelation"].mean("unit"))
        np.testing.assert_allclose(line.get_xdata(), 20.0 * np.arange(1, 11))
    distance = compare_generated(real, generated)
    titles = [panel.get_title(loc="left") for panel in panels]
    error, ratio = (float(distance[name]) for name in ("rate_error", "rate_ratio"))
    assert titles[0] == f"rates\nerror {100 * error:.0f} %, ratio {ratio:.2f}"
    assert titles[4].endswith(f"KL {float(distance['population_kl']):.3f} nats")
    assert panels[0].get_xlabel() == "recorded [spikes/s]"
    assert panels[4].get_xlabel() == "spikes of all units in 20 ms"
    drawn(panels[0])


def test_silent_units_have_a_place() -> None:
    real = poisson(0, (20.0, 5.0, 40.0, 0.5))
    generated = poisson(1, (20.0, 0.0, 40.0, 0.5))
    rates = plots.generation_statistics(real, generated)[0]
    assert rates.get_yscale() == "symlog"
    assert rates.get_ylim()[0] < 0.0
    drawn(rates)
    # powers of ten over a wide range, and 0
    assert [label.get_text() for label in rates.get_yticklabels()] == ["0", "1", "10"]


def test_silence_is_drawn_too() -> None:
    panels = plots.generation_statistics(poisson(0), poisson(1, (0.0, 0.0, 0.0)))
    assert panels[0].get_title(loc="left").endswith("error 100 %, ratio 0.00")
    drawn(panels[0])


def test_many_pairs_become_an_image() -> None:
    rng = np.random.default_rng(0)
    count = rec.counts(rng.poisson(0.5, (300, 50)), bin_size=0.02)
    panels = plots.generation_statistics(count, count)
    assert panels[3].collections[0].get_rasterized()
    assert not panels[0].collections[0].get_rasterized()
