"""Raster, PSTH and rates: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.datasets.simulation import Simulation
from neurodyn.errors import EmptySelectionError


def test_raster_draws_every_spike_once_in_its_row(session: Simulation) -> None:
    axes = plots.raster(session.recording, start=0.5, stop=3.0)
    spikes = rec.pick(session.recording, "spikes")
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    drawn = np.concatenate([[path[0] for path in c.get_segments()] for c in lines])
    expected = [
        (time, row - 0.4)
        for row, unit in enumerate(spikes["unit"].values)
        for time in rec.unit_spike_times(spikes, unit)
        if 0.5 <= time < 3.0
    ]
    assert np.allclose(sorted(map(tuple, drawn.tolist())), sorted(expected))
    assert [c.get_label() for c in lines] == ["held in", "held out"]
    held_out = {round(path[0][1] + 0.4) for path in lines[1].get_segments()}
    assert held_out <= set(np.flatnonzero(spikes["held_out"].values).tolist())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time [s]", "unit")
    assert axes.get_xlim() == (0.5, 3.0)
    assert [t.get_text() for t in axes.get_yticklabels()] == spikes["unit"].values.tolist()
    # the trials [0, 1), [1.2, 2.2) and [2.4, 3.4), cut to what is shown
    spans = sorted((p.get_x(), p.get_width()) for p in axes.patches)
    assert np.allclose(spans, [(0.5, 0.5), (1.2, 1.0), (2.4, 0.6)])


def test_raster_of_nothing_is_refused(session: Simulation) -> None:
    with pytest.raises(EmptySelectionError, match=r"no spikes to draw(.|\n)*from 1000"):
        plots.raster(rec.pick(session.recording, "spikes"), start=1000.0)


def test_raster_ends_at_the_last_spike() -> None:
    spikes = rec.spikes_from_units({"a": [0.5, 2.0], "b": []})
    axes = plots.raster(spikes)
    assert axes.get_xlim() == (0.0, 2.0)
    assert axes.get_legend() is None


def test_psth_is_the_mean_of_observed_bins(counts: xr.Dataset) -> None:
    observed = np.ones(counts["count"].shape, dtype=bool)
    observed[0, :10, 0] = False
    masked = counts.assign(observed=(("trial", "time", "unit"), observed))
    axes = plots.psth(masked, "0")
    assert len(axes.lines) == len(axes.collections) == 3
    for line in axes.lines:
        of = counts["condition"].values == line.get_label()
        values = counts["count"].values[of][..., 0].astype(float)
        values[~observed[of][..., 0]] = np.nan
        assert np.allclose(line.get_ydata(), np.nanmean(values, axis=0) / 0.02)
    assert np.allclose(axes.lines[0].get_xdata(), np.arange(50) * 0.02 + 0.01)
    assert axes.get_ylabel() == "firing rate [spikes/s]"
    assert axes.get_title(loc="left") == "unit 0"
    assert axes.get_legend().get_title().get_text() == "condition"


def test_psth_band_is_the_standard_error(counts: xr.Dataset) -> None:
    axes = plots.psth(counts, "3", by=None)
    values = counts["count"].values[..., 3] / 0.02
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    top = axes.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx((values.mean(axis=0) + error).max())
    assert axes.get_legend() is None


def test_rates_against_truth_and_spikes(session: Simulation, counts: xr.Dataset) -> None:
    truth = session.truth
    unit = truth["unit"].values[truth["held_out"].values][0]
    prediction = truth.assign(rate=truth["rate"] * 1.1)
    _, given = plt.subplots()
    axes = plots.rates(
        prediction, truth, unit=unit, trial=5, counts=counts, name="LangevinFlow", ax=given
    )
    assert axes is given
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert np.allclose(lines["truth"], truth["rate"].sel(trial=5, unit=unit))
    assert np.allclose(lines["LangevinFlow"], 1.1 * truth["rate"].sel(trial=5, unit=unit))
    bars = [bar.get_height() for bar in axes.patches]
    assert np.allclose(bars, counts["count"].sel(trial=5, unit=unit) / 0.02)
    assert axes.get_title(loc="left") == f"unit {unit} (held out), trial 5"
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "time in trial [s]",
        "firing rate [spikes/s]",
    )


def test_unknown_units_and_trials_are_named(session: Simulation, counts: xr.Dataset) -> None:
    with pytest.raises(EmptySelectionError, match=r"no unit '99'(.|\n)*known: 0, 1"):
        plots.psth(counts, "99")
    with pytest.raises(EmptySelectionError, match=r"no trial 99(.|\n)*known: 0, 1"):
        plots.rates(session.truth, unit="0", trial=99)
    with pytest.raises(EmptySelectionError, match=r"no unit '99'"):
        plots.rates(session.truth, unit="99", trial=0)
