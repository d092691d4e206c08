"""Counts and stimulus around instants, against counting and integrating one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import EmptySelectionError
from neurodyn.models.baselines.lagged_inputs import lagged_counts, lagged_stimulus, n_lags
from neurodyn.recording import (
    masked_counts,
    recording,
    signal,
    spikes_from_units,
    unit_spike_times,
)
from neurodyn.transforms import bin_spikes

SEVERAL = settings(deadline=None, max_examples=20, derandomize=True)


def session(seed, observed=((0.0, 20.0),)):
    rng = np.random.default_rng(seed)
    # on milliseconds, so that many spikes lie on an edge
    units = {name: np.unique(rng.integers(0, 20_000, 300)) / 1000 for name in "abc"}
    return spikes_from_units(units, observed=observed, tick_hz=1000.0)


@SEVERAL
@given(
    seed=st.integers(0, 100),
    bin_size=st.sampled_from([0.05, 0.1, 0.3]),
    lags=st.sampled_from([(-0.3, 0.3), (0.0, 0.6), (-0.9, -0.1), (-0.45, 0.15)]),
)
def test_counts_are_those_of_counting_one_by_one(seed, bin_size, lags):
    data = session(seed)
    time = np.random.default_rng(seed).integers(0, 20_000, 25) / 1000
    found = lagged_counts(data, time, bin_size=bin_size, lags=lags)
    ms = {name: np.rint(unit_spike_times(data, name) * 1000) for name in "abc"}
    for row, instant in zip(found, time):
        first = round((instant + lags[0]) * 1000)
        edges = first + np.arange(n_lags(lags, bin_size) + 1) * round(bin_size * 1000)
        if edges[0] < 0 or edges[-1] > 20_000:
            assert np.isnan(row).all()
            continue
        for lag, (begin, end) in enumerate(pairwise(edges)):
            assert row[lag].tolist() == [((ms[n] >= begin) & (ms[n] < end)).sum() for n in "abc"]


def test_counts_are_those_of_binning():
    data = session(1, observed=[[0.0, 8.0], [9.0, 20.0]])
    binned = bin_spikes(data, 0.25)
    found = lagged_counts(data, binned["time"].values, bin_size=0.25, lags=(0.0, 0.25))
    np.testing.assert_array_equal(found[:, 0], masked_counts(binned).values)


def test_bins_over_a_gap_are_unknown():
    data = session(1, observed=[[0.0, 8.0], [9.0, 20.0]])
    time = np.array([7.5, 7.6, 8.5, 9.4, 9.5, 19.5, 19.6])
    found = lagged_counts(data, time, bin_size=0.5, lags=(-0.5, 0.5))
    assert np.isfinite(found[:, 0, 0]).tolist() == [True, False, False, False, True, True, False]


def test_lags_are_whole_bins():
    assert n_lags((-0.5, 0.5), 0.1) == 10
    assert n_lags((-0.5, 0.5), 0.3) == 3
    assert n_lags((0.0, 0.3), 0.1) == 3


@SEVERAL
@given(seed=st.integers(0, 100), bin_size=st.sampled_from([0.02, 0.1, 0.35]))
def test_stimulus_is_averaged_over_what_was_shown(seed, bin_size):
    rng = np.random.default_rng(seed)
    values, frames = rng.normal(size=(80, 2)), np.arange(80) * 0.05 + 1.003
    # every instant between two frames has its frame
    time = rng.uniform(1.5, 4.0, 10)
    shown = signal(values, time=frames)
    found, labels = lagged_stimulus(shown, time, bin_size=bin_size, lags=(-bin_size, bin_size))
    assert labels == ["0", "1"]
    fine = np.linspace(0, 1, 4_001)[:-1] + 0.5 / 4_000
    for row, instant in zip(found, time):
        for lag in range(2):
            at = instant + (lag - 1 + fine) * bin_size
            mean = values[np.searchsorted(frames, at, side="right") - 1].mean(axis=0)
            np.testing.assert_allclose(row[lag], mean, atol=1e-3)


def test_unknown_stimulus_is_left_out_or_unknown():
    values = np.array([[1.0], [np.nan], [3.0], [5.0]])
    shown = signal(values, time=[0.0, 0.1, 0.2, 0.3])
    time = np.array([0.0, 0.1, 0.3, 0.5, -0.2])
    found, _ = lagged_stimulus(shown, time, bin_size=0.2, lags=(0.0, 0.2))
    # half a bin is enough; the last sample lasts two steps and no longer
    np.testing.assert_allclose(found[:3, 0, 0], [1.0, 3.0, 5.0])
    assert np.isnan(found[3:]).all()


def test_a_slow_clock_with_a_pause_is_not_carried_over():
    shown = signal(np.arange(6.0)[:, None], time=[0.0, 0.1, 0.2, 5.0, 5.1, 5.2])
    found, _ = lagged_stimulus(shown, np.array([0.2, 2.0]), bin_size=0.2, lags=(0.0, 0.2))
    assert found[0].item() == pytest.approx(2.0)
    assert np.isnan(found[1]).all()


def test_stimulus_is_physical_and_chosen_by_name():
    shown = {
        "movie": signal([[2], [2]], sampling_rate=10.0, scale_factor=0.5, channel=["p"]),
        "sound": signal([[7], [7]], sampling_rate=10.0),
    }
    data = recording({"signal": shown})
    found, labels = lagged_stimulus(
        data, np.array([0.05]), bin_size=0.1, lags=(0.0, 0.1), name="movie"
    )
    assert found.item() == pytest.approx(1.0)
    assert labels == ["p"]


def test_what_is_no_stimulus_is_named():
    where = {"bin_size": 0.1, "lags": (0.0, 0.1)}
    with pytest.raises(EmptySelectionError, match=r"no stimulus[\s\S]*two samples"):
        lagged_stimulus(signal([[1.0]], sampling_rate=1.0), np.array([0.0]), **where)
    with pytest.raises(EmptySelectionError, match="no stimulus"):
        lagged_stimulus(signal(np.zeros((2, 3, 1)), sampling_rate=1.0), np.array([0.0]), **where)
    with pytest.raises(EmptySelectionError, match="no signal"):
        lagged_stimulus(recording([session(0)]), np.array([0.0]), **where)
