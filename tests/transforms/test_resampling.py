"""Other clocks against straight lines and sine waves; matching by exact labels."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import ConfigError, DataError, TimebaseError
from neurodyn.recording import behavior, counts, signal, spikes_from_units, trials
from neurodyn.transforms import bin_spikes, decimate, match, resample


@pytest.fixture
def line():
    time = np.arange(50) / 10.0
    return behavior(np.column_stack([time, -2 * time]), time=time, feature=["x", "y"], units="mm")


def test_lines_stay_lines(line, rng):
    wanted = np.sort(rng.uniform(0, 4.9, 70))
    found = resample(line, wanted)
    np.testing.assert_allclose(found["value"], np.column_stack([wanted, -2 * wanted]), atol=1e-12)
    assert found["time"].values.tolist() == wanted.tolist()
    assert found["feature_units"].values.tolist() == ["mm", "mm"]


def test_own_times_give_own_values_bit_for_bit(rng):
    ds = behavior(rng.normal(size=(40, 1)), sampling_rate=7.0)
    np.testing.assert_array_equal(resample(ds, ds["time"])["value"], ds["value"])


def test_bins_of_counts_are_a_clock(line):
    binned = bin_spikes(spikes_from_units([[0.1, 3.0]]), 0.02)
    assert match(binned, resample(line, binned["time"]))[1].sizes["time"] == 151


def test_gaps_are_not_bridged():
    time = np.r_[np.arange(10), np.arange(20, 30)] / 10.0
    ds = behavior(time, time=time)
    with pytest.raises(TimebaseError, match=r"2 times, the first at 1\.2 s"):
        resample(ds, [0.35, 1.2, 1.8, 2.05])
    found = resample(ds, [0.35, 0.9, 1.2, 2.0, 2.05, 5.0], on_bad="fix")
    np.testing.assert_allclose(
        found["value"].values.ravel(), [0.35, 0.9, np.nan, 2.0, 2.05, np.nan]
    )
    assert found.attrs["quality"] == {"times_in_gaps": 2}
    np.testing.assert_allclose(resample(ds, [1.2], max_gap=2.0)["value"].item(), 1.2)


def test_missing_values_are_gaps_but_their_neighbours_are_not():
    ds = behavior([0.0, 1.0, np.nan, 3.0], sampling_rate=1.0)
    found = resample(ds, [0.5, 1.0, 1.5, 3.0], on_bad="fix")["value"].values.ravel()
    np.testing.assert_array_equal(found, [0.5, 1.0, np.nan, 3.0])


def test_signals_come_out_in_physical_units():
    ds = signal(
        [[0, 1], [2, 3]],
        sampling_rate=1.0,
        units="V",
        scale_factor=0.5,
        channel_columns={"channel_conversion": [1.0, 2.0], "bad": [False, True]},
    )
    found = resample(ds, [0.5])
    assert found["signal"].values.tolist() == [[0.5, 2.0]]
    assert found["signal"].attrs["scale_factor"] == 1.0
    assert found["bad"].values.tolist() == [False, True]
    assert "channel_conversion" not in found


@pytest.mark.parametrize("times", [[1.0, 0.5], [1.0, 1.0], [np.nan]])
def test_impossible_times_are_refused(line, times):
    with pytest.raises(TimebaseError, match="must be finite and increase"):
        resample(line, times)


def test_what_cannot_be_resampled_is_refused(line):
    with pytest.raises(TimebaseError, match="one sample"):
        resample(line.isel(time=[0]), [0.0])
    with pytest.raises(ConfigError, match="invalid value for kind"):
        resample(counts(np.ones((3, 1)), bin_size=0.1), [0.1])


@pytest.mark.parametrize("factor", [1, 2, 5, 10])
def test_slow_waves_pass_and_fast_ones_do_not(factor):
    time = np.arange(2000) / 1000.0
    slow, fast = np.sin(2 * np.pi * 3 * time), np.sin(2 * np.pi * 480 * time)
    ds = behavior(np.column_stack([slow, fast]), sampling_rate=1000.0, feature=["slow", "fast"])
    found = decimate(ds, factor)
    assert found.attrs["sampling_rate"] == 1000.0 / factor
    np.testing.assert_array_equal(found["time"], time[::factor])
    middle = slice(100 // factor, -100 // factor)
    np.testing.assert_allclose(found["value"][middle, 0], slow[::factor][middle], atol=2e-3)
    if factor > 1:
        assert np.abs(found["value"].values[middle, 1]).max() < 0.05


@pytest.mark.parametrize("n_time", [3, 17, 101])
def test_constants_and_lines_pass_the_edges(n_time):
    ds = signal(np.column_stack([np.ones(n_time), np.arange(n_time)]), sampling_rate=10.0)
    found = decimate(ds, 2)["signal"].values
    assert len(found) == -(-n_time // 2)
    np.testing.assert_allclose(found[:, 0], 1.0, atol=5e-3)
    np.testing.assert_allclose(found[:, 1], np.arange(0, n_time, 2), atol=0.02 * n_time)


def test_what_cannot_be_filtered_is_refused(line):
    with pytest.raises(TimebaseError, match="a series with gaps cannot be filtered"):
        decimate(line.isel(time=[0, 1, 2, 5, 6, 7]), 2)
    with pytest.raises(TimebaseError, match="1 NaN"):
        decimate(behavior([0.0, np.nan, 1.0], sampling_rate=1.0), 2)
    for factor in (0, 1.5, True):
        with pytest.raises(ConfigError, match="factor must be a whole number"):
            decimate(line, factor)


def test_clocks_must_agree_sample_by_sample():
    first = counts(np.arange(5)[:, None], bin_size=0.1)
    noisy = first.assign_coords(time=first["time"] + [0, 1e-12, 0, 0, 0])
    with pytest.raises(TimebaseError, match=r"up to 1e-12 s[\s\S]*tolerance="):
        match(first, noisy)
    found = match(first, noisy, tolerance=1e-9)[1]
    np.testing.assert_array_equal(found["time"], first["time"])
    assert (found["count"] + first["count"]).sizes["time"] == 5
    with pytest.raises(TimebaseError, match="5 and 4 samples"):
        match(first, first.isel(time=slice(4)), tolerance=1.0)


def test_labels_are_matched_and_never_positions():
    first = counts([[1, 2, 3]], bin_size=0.1, unit=["a", "b", "c"])
    second = counts([[30, 10, 20]], bin_size=0.1, unit=["c", "a", "b"])
    found = match(first, second, "unit")[1]
    assert found["unit"].values.tolist() == ["a", "b", "c"]
    assert found["count"].values.tolist() == [[10, 20, 30]]
    with pytest.raises(DataError, match="1 labels only in one: c"):
        match(first, second.isel(unit=[1, 2]), "unit")
    with pytest.raises(DataError, match="matched by label, and 'unit' has none"):
        match(first.drop_vars("unit"), second, "unit")


def test_trials_are_matched_by_id():
    first = trials([0.0, 1.0], [1.0, 2.0], trial=[5, 3])
    second = trials([1.0, 0.0], [2.0, 1.0], trial=[3, 5])
    xr.testing.assert_equal(match(first, second, "trial")[1], first)
