"""Alignment against slices and against one spike at a time; what happens at the borders."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import (
    ConfigError,
    DataQualityWarning,
    EmptySelectionError,
    SpikeTimesError,
    TrialTableError,
)
from neurodyn.recording import counts, recording, spikes, spikes_from_units, trials, validate
from neurodyn.transforms import align, bin_spikes, psth
from neurodyn.transforms.ticks import as_rational


def exact_aligned(times, events, begin, bin_size, n_time, tick_hz):
    rate, width = as_rational(tick_hz), as_rational(bin_size)
    found = np.zeros((len(events), n_time, len(times)), dtype=int)
    for trial, event in enumerate(events):
        origin = Fraction(int(np.rint(event * tick_hz))) / rate + as_rational(begin)
        for unit, own in enumerate(times):
            for time in own:
                row = (Fraction(int(np.rint(time * tick_hz))) / rate - origin) // width
                if 0 <= row < n_time:
                    found[trial, row, unit] += 1
    return found


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    tick_hz=st.sampled_from((1e9, 30_000.0, 24_414.0625, 1000.0)),
    bin_size=st.sampled_from((0.005, 0.02, 1 / 30)),
    begin=st.sampled_from((-0.25, 0.0, -0.1, 1 / 3)),
    events=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=4),
    offsets=st.lists(
        st.tuples(st.integers(-60, 60), st.integers(-1, 1), st.integers(0, 3)), max_size=25
    ),
)
def test_bins_are_those_of_exact_arithmetic(tick_hz, bin_size, begin, events, offsets):
    """Spikes on and beside the bin edges of (overlapping) trials."""
    times = [
        np.sort([events[k % len(events)] + j * bin_size + e / tick_hz for j, e, k in offsets]),
        np.sort(events),
    ]
    table = trials(events, np.asarray(events) + 1.0)
    found = align(
        spikes_from_units(times, tick_hz=tick_hz),
        table,
        window=(begin, begin + 20.5 * bin_size),
        bin_size=bin_size,
    )
    assert found.sizes["time"] == 20
    expected = exact_aligned(times, sorted(events), begin, bin_size, 20, tick_hz)
    np.testing.assert_array_equal(found["count"].values, expected)


@pytest.fixture
def session(rng):
    times = {name: np.sort(rng.uniform(0, 10, 400)).round(3) for name in ("a", "b", "c")}
    units = spikes_from_units(
        times,
        observed=[[0.0, 10.0]],
        unit_columns={"held_out": [False, False, True], "area": ["M1", "M1", "PMd"]},
    )
    table = trials(
        [1.0, 3.0, 5.0, 9.0],
        [2.0, 4.0, 6.0, 9.9],
        trial=["t1", "t2", "t3", "t4"],
        columns={
            "go_time": [1.2, 3.3, np.nan, 9.5],
            "condition": ["left", "right", "left", "right"],
            "target": [[0, 1], [2, 3], [4, 5], [6, 7]],
            "count": [1, 2, 3, 4],
        },
    )
    return recording([units, table], subject="J")


def test_time_trials_units_and_columns_are_carried(session):
    found = align(session, event="go_time", window=(-0.1, 0.4), bin_size=0.02)
    validate(found)
    assert found["count"].dims == ("trial", "time", "unit")
    assert dict(found.sizes) == {"trial": 3, "time": 25, "unit": 3, "target_axis1": 2}
    assert found["trial"].values.tolist() == ["t1", "t2", "t4"]
    assert found["time"].values.tolist() == [round(-0.1 + 0.02 * k, 10) for k in range(25)]
    assert found["condition"].values.tolist() == ["left", "right", "right"]
    assert found["event_time"].values.tolist() == [1.2, 3.3, 9.5]
    assert found["trial_count"].values.tolist() == [1, 2, 4]
    assert found["held_out"].values.tolist() == [False, False, True]
    assert found.attrs["quality"] == {"trials_without_event": 1}
    assert found["observed"].all()


def test_spikes_and_their_counts_align_alike_on_the_grid(session):
    binned = bin_spikes(session, 0.02)
    of_spikes = align(session, window=(0.0, 0.5), bin_size=0.02)
    of_counts = align(binned, session, window=(0.0, 0.5))
    np.testing.assert_array_equal(of_spikes["count"], of_counts["count"])
    np.testing.assert_array_equal(of_spikes["time"], of_counts["time"])
    tree = recording([binned, session["trials"].to_dataset()])
    xr.testing.assert_equal(align(tree, window=(0.0, 0.5)), of_counts)


def test_counts_off_the_grid_begin_with_the_next_bin():
    ds = counts(np.arange(10)[:, None], bin_size=0.1)
    found = align(ds, trials([0.31, 0.3], [1.0, 1.0]), window=(0.0, 0.2))
    assert found["count"].values[:, :, 0].tolist() == [[3, 4], [4, 5]]


def test_counts_with_gaps_of_the_clock_are_found_by_time():
    ds = counts(np.arange(10)[:, None], bin_size=0.1).isel(time=[0, 1, 2, 5, 6, 7])
    found = align(ds, trials([0.1], [1.0]), window=(0.0, 0.6))
    assert found["observed"].values.tolist() == [[True, True, False, False, True, True]]
    assert found["count"].values.ravel().tolist() == [1, 2, 0, 0, 5, 6]


def test_masks_of_counts_are_kept(rng):
    mask = rng.random((20, 2)) > 0.3
    ds = counts(rng.poisson(1.0, (20, 2)), bin_size=0.1, observed=mask)
    found = align(ds, trials([0.5], [1.0]), window=(0.0, 0.5))
    np.testing.assert_array_equal(found["observed"][0], mask[5:10])


@pytest.mark.parametrize(
    ("on_bad", "kept", "quality"),
    [
        ("fix", [1, 2, 3], {"trials_left_out": 1, "trials_padded": 2, "bins_padded": 7}),
        ("drop", [2], {"trials_left_out": 3}),
    ],
)
@pytest.mark.parametrize("kind", ["spikes", "counts"])
def test_trials_outside_the_recording(kind, on_bad, kept, quality):
    ds = spikes_from_units([np.arange(0.05, 2.0, 0.1)], observed=[[0.0, 2.0]])
    data = ds if kind == "spikes" else bin_spikes(ds, 0.1)
    table = trials([0.0, 1.0, 1.9, 5.0], [0.5, 1.5, 2.2, 6.0], trial=[1, 2, 3, 4])
    found = align(data, table, window=(-0.3, 0.5), bin_size=0.1, on_bad=on_bad)
    assert found["trial"].values.tolist() == kept
    overlapping = {"trials_overlapping": 0}
    assert {**found.attrs["quality"], **overlapping} == {**quality, **overlapping}
    assert (found["count"] == 1).where(found["observed"], True).all()
    assert (found["count"].where(~found["observed"], 0) == 0).all()


def test_raise_names_the_trials_and_warn_counts_them():
    ds = spikes_from_units([[0.5]], observed=[[0.0, 1.0]])
    table = trials([0.0, 0.9], [0.5, 1.2], trial=["in", "out"], columns={"go": [0.0, np.nan]})
    with pytest.raises(TrialTableError, match="1 of 2 trials: out"):
        align(ds, table, window=(0.0, 0.3), bin_size=0.1, on_bad="raise")
    with pytest.raises(TrialTableError, match="trials without the event 'go'"):
        align(ds, table, "go", window=(0.0, 0.3), bin_size=0.1, on_bad="raise")
    with pytest.warns(DataQualityWarning, match="1 of 2 trials reach beyond"):
        align(ds, table, window=(0.0, 0.3), bin_size=0.1, on_bad="warn")
    align(ds, table.isel(trial=[0]), window=(0.0, 0.3), bin_size=0.1, on_bad="raise")


def test_units_with_own_intervals_have_own_masks():
    ds = spikes(
        [0.1, 0.3], [1, 1], observed=([0.0, 0.0], [0.4, 0.2], [1, 1]), unit=["long", "short"]
    )
    found = align(ds, trials([0.0], [0.4]), window=(0.0, 0.4), bin_size=0.1)
    assert found["observed"].dims == ("trial", "time", "unit")
    assert found["observed"][0].sum("time").values.tolist() == [4, 2]
    assert found["count"].values[0].tolist() == [[0, 0], [1, 0], [0, 0], [0, 0]]


def test_unsorted_and_overlapping_trials_are_ordered_and_counted():
    ds = spikes_from_units([[1.0, 2.0, 3.0]])
    found = align(ds, trials([2.0, 1.0, 1.5], [2.5, 2.1, 1.6]), window=(0.0, 1.0), bin_size=0.5)
    assert found["trial"].values.tolist() == [1, 2, 0]
    assert found["count"].values[:, :, 0].tolist() == [[1, 0], [0, 1], [1, 0]]
    assert found.attrs["quality"] == {"trials_reordered": 3, "trials_overlapping": 2}
    assert "observed" not in found


def test_both_routes_give_the_same(session):
    found = [
        align(session, window=(0.0, 0.9), bin_size=0.01, route=route)
        for route in ("numpy", "numba")
    ]
    xr.testing.assert_equal(*found)


def test_input_is_left_alone(session):
    before = session.copy(deep=True)
    align(session, event="go_time", window=(0.0, 1.5), bin_size=0.1)
    xr.testing.assert_identical(session, before)


def test_missing_tables_and_columns_are_named(session):
    only_spikes = recording([session["spikes"].to_dataset()])
    with pytest.raises(TrialTableError, match="the recording has no table of trials"):
        align(only_spikes, window=(0.0, 0.5), bin_size=0.1)
    with pytest.raises(TrialTableError, match="did you mean 'go_time'"):
        align(session, event="go_tim", window=(0.0, 0.5), bin_size=0.1)
    with pytest.raises(TrialTableError, match="column 'condition' holds no times"):
        align(session, event="condition", window=(0.0, 0.5), bin_size=0.1)
    with pytest.raises(TrialTableError, match="trials are needed to align"):
        align(session["spikes"].to_dataset(), window=(0.0, 0.5), bin_size=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": (0.0, 0.05), "bin_size": 0.1}, "window and bin_size do not fit"),
        ({"window": (0.5, 0.0), "bin_size": 0.1}, "window and bin_size do not fit"),
        ({"window": (0.0, float("nan")), "bin_size": 0.1}, "must be finite"),
        ({"window": (0.0, 0.5), "bin_size": -0.1}, "must be finite"),
        ({"window": (0.0, 0.5)}, "bin_size is needed to align spikes"),
        ({"window": (0.0, 0.5), "bin_size": 0.1, "on_bad": "pad"}, "invalid value for on_bad"),
    ],
)
def test_impossible_settings_are_refused(session, settings, message):
    with pytest.raises(ConfigError, match=message):
        align(session, **settings)


def test_counts_keep_their_bins(session):
    binned = bin_spikes(session, 0.02)
    with pytest.raises(ConfigError, match="cannot be aligned in other bins"):
        align(binned, session, window=(0.0, 0.5), bin_size=0.01)
    with pytest.raises(ConfigError, match="aligned already"):
        align(align(binned, session, window=(0.0, 0.5)), session, window=(0.0, 0.5))


def test_no_trial_left_is_refused(session):
    with pytest.raises(EmptySelectionError, match="no trial has an observed bin"):
        align(session, trials([50.0], [51.0]), window=(0.0, 0.5), bin_size=0.1)
    with pytest.raises(EmptySelectionError, match="no trial"):
        align(session, trials([], []), window=(0.0, 0.5), bin_size=0.1)


def test_unsorted_spikes_are_refused():
    ds = spikes([0.5, 0.1], [2], check_values=False)
    with pytest.raises(SpikeTimesError, match="not sorted or not finite"):
        align(ds, trials([0.0], [1.0]), window=(0.0, 0.5), bin_size=0.1)


def test_psth_is_the_mean_over_observed_trials(rng):
    count = rng.poisson(3.0, (9, 5, 2))
    mask = rng.random((9, 5, 2)) > 0.3
    mask[:, 0, 0] = False
    condition = np.array(list("aabbabbab"))
    ds = counts(count, bin_size=0.1, observed=mask, trial_columns={"condition": condition})
    found = psth(ds)
    assert found["n_trials"].values.tolist() == [4, 5]
    for name in "ab":
        own = np.where(mask, count, np.nan)[condition == name] / 0.1
        n = np.sum(~np.isnan(own), axis=0)
        expected = np.divide(np.nansum(own, 0), n, where=n > 0, out=np.full((5, 2), np.nan))
        np.testing.assert_allclose(found["rate"].sel(condition=name), expected)
        row, unit = 2, 1
        sem = np.nanstd(own[:, row, unit], ddof=1) / np.sqrt(n[row, unit])
        np.testing.assert_allclose(found["standard_error"].sel(condition=name)[row, unit], sem)
    assert np.isnan(found["rate"][:, 0, 0]).all()


def test_psth_by_several_columns_and_by_none(rng):
    ds = counts(
        rng.poisson(3.0, (4, 5, 2)),
        bin_size=0.1,
        trial_columns={"side": list("lrlr"), "speed": [1, 1, 2, 2]},
    )
    found = psth(ds, ["side", "speed"])
    assert found["condition"].values.tolist() == ["l, 1", "l, 2", "r, 1", "r, 2"]
    assert np.isnan(found["standard_error"]).all()
    total = psth(ds, None)
    np.testing.assert_allclose(total["rate"][0], ds["count"].mean("trial") / 0.1)


def test_psth_refuses_what_is_not_there(rng):
    ds = counts(rng.poisson(3.0, (4, 5, 2)), bin_size=0.1, trial_columns={"side": list("lrlr")})
    with pytest.raises(TrialTableError, match="no trial column 'condition'"):
        psth(ds)
    with pytest.raises(TrialTableError, match="no trials to average"):
        psth(ds.isel(trial=0, drop=True))
