"""Binning against exact rational arithmetic, masks against their definition, and refusals."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import (
    ConfigError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    NeurodynError,
    SpikeTimesError,
    TimebaseError,
)
from neurodyn.provenance import history
from neurodyn.recording import masked_counts, spikes, spikes_from_units
from neurodyn.transforms import bin_spikes
from neurodyn.transforms.ticks import as_rational

CLOCKS = (1e9, 30_000.0, 24_414.0625, 1000.0, 1.0 / (1.0 / 30_000.0))
WIDTHS = (0.005, 0.02, 1 / 30, 0.001, 0.0123)
ROUTES = ("numpy", "numba")


def exact_counts(times, bin_size, tick_hz, start, n_bins):
    """Count one spike after another with fractions."""
    rate, width = as_rational(tick_hz), as_rational(bin_size)
    begin = Fraction(int(np.rint(start * tick_hz))) / rate
    counts = np.zeros((n_bins, len(times)), dtype=int)
    for unit, own in enumerate(times):
        for time in own:
            row = (Fraction(int(np.rint(time * tick_hz))) / rate - begin) // width
            if 0 <= row < n_bins:
                counts[row, unit] += 1
    return counts


@st.composite
def edge_times(draw):
    """Times on bin edges, or one tick beside them, and times anywhere."""
    tick_hz, bin_size = draw(st.sampled_from(CLOCKS)), draw(st.sampled_from(WIDTHS))
    edge = st.builds(
        lambda k, tick: k * bin_size + tick / tick_hz,
        st.integers(0, 400_000),
        st.sampled_from((-1, 0, 1)),
    )
    anywhere = st.floats(0.0, 4000.0)
    units = st.lists(st.lists(edge | anywhere, min_size=1, max_size=30), min_size=1, max_size=3)
    return tick_hz, bin_size, [np.sort(own) for own in draw(units)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=edge_times())
@pytest.mark.parametrize("route", ROUTES)
def test_bins_are_those_of_exact_arithmetic(case, route):
    tick_hz, bin_size, times = case
    ds = spikes_from_units(times, tick_hz=tick_hz)
    start = max(0.0, float(times[0][0]) - 3 * bin_size)
    found = bin_spikes(ds, bin_size, start=start, stop=start + 50 * bin_size, route=route)
    expected = exact_counts(times, bin_size, tick_hz, start, found.sizes["time"])
    assert 49 <= found.sizes["time"] <= 50
    np.testing.assert_array_equal(found["count"].values, expected)


@pytest.mark.parametrize("tick_hz", CLOCKS)
def test_every_edge_spike_goes_to_the_bin_that_it_opens(tick_hz):
    edges = np.arange(5000) * 0.005
    ds = spikes_from_units([edges], tick_hz=tick_hz if tick_hz != 24_414.0625 else 1e9)
    count = bin_spikes(ds, 0.005, start=0.0, stop=25.0)["count"].values
    assert (count == 1).all()


def test_routes_agree_and_conserve_spikes(rng):
    times = [np.sort(rng.uniform(-5.0, 100.0, size)) for size in (0, 1, 20_000, 500, 0, 3000)]
    ds = spikes_from_units(times)
    found = {route: bin_spikes(ds, 0.001, route=route) for route in ROUTES}
    xr.testing.assert_equal(found["numpy"], found["numba"])
    assert found["numpy"]["count"].sum() == 23_501
    assert found["numpy"]["count"].dtype == np.uint8
    assert found["numpy"]["count"].values.flags.c_contiguous
    assert [found[route].attrs["backend"] for route in ROUTES] == list(ROUTES)


def test_more_than_a_tile_of_rows(rng):
    times = [np.sort(rng.uniform(0.0, 30.0, 4000)) for _ in range(2)]
    found = bin_spikes(spikes_from_units(times), 0.001, start=0.0, stop=30.0)
    expected = np.column_stack([np.bincount((t // 1e-3).astype(int), None, 30_000) for t in times])
    assert abs(found["count"].values.astype(int) - expected).sum() <= 2
    np.testing.assert_array_equal(found["count"].sum("time"), [4000, 4000])


@pytest.mark.parametrize("route", ROUTES)
def test_wide_counts_become_uint16_and_wider_ones_are_refused(route):
    many = spikes_from_units({"a": np.full(255, 0.5), "b": np.full(256, 0.5), "c": [0.5]})
    few = bin_spikes(many.isel(unit=[0, 2], spike=[*range(255), 511]), 1.0, route=route)
    assert few["count"].dtype == np.uint8
    found = bin_spikes(many, 1.0, route=route)
    assert found["count"].dtype == np.uint16
    assert found["count"].values.tolist() == [[255, 256, 1]]
    full = spikes_from_units([np.full(65_535, 0.5)])
    assert bin_spikes(full, 1.0, route=route)["count"].item() == 65_535
    with pytest.raises(DataError, match="a bin holds too many spikes"):
        bin_spikes(spikes_from_units([np.full(65_536, 0.5)]), 1.0, route=route)


def test_a_run_over_two_units_is_no_wide_count():
    ds = spikes_from_units([np.full(200, 0.5), np.full(200, 0.5)])
    assert bin_spikes(ds, 1.0)["count"].dtype == np.uint8


def test_spikes_before_the_window_are_no_wide_count():
    ds = spikes_from_units([np.r_[np.full(300, 0.5), 2.0]])
    assert bin_spikes(ds, 1.0, start=1.0, stop=3.0)["count"].dtype == np.uint8


def test_only_bins_wholly_inside_an_interval_are_observed():
    ds = spikes_from_units(
        {"a": [0.05, 0.15, 0.45, 0.95], "b": [0.55]}, observed=[[0.1, 0.25], [0.4, 0.6]]
    )
    found = bin_spikes(ds, 0.1, start=0.0, stop=1.0)
    assert found["observed"].dims == ("time",)
    assert np.flatnonzero(found["observed"].values).tolist() == [1, 4, 5]
    assert found["count"].values[:, 0].tolist() == [0, 1, 0, 0, 1, 0, 0, 0, 0, 0]
    assert found.attrs["quality"] == {"spikes_unobserved": 2}
    masked = masked_counts(found).values
    assert np.isnan(masked).sum() == 14
    assert np.nansum(masked) == 3


def test_touching_intervals_observe_the_bin_between_them():
    ds = spikes_from_units([[0.1]], observed=[[0.0, 0.15], [0.15, 0.3]])
    assert bin_spikes(ds, 0.1)["observed"].values.tolist() == [True, True, True]


def test_units_with_own_intervals_have_own_masks():
    ds = spikes(
        [0.1, 0.3, 0.1],
        [2, 1, 0],
        observed=([0.0, 0.0, 0.2], [0.4, 0.2, 0.4], [1, 1, 1]),
    )
    found = bin_spikes(ds, 0.1)
    assert found["observed"].dims == ("time", "unit")
    assert found["observed"].values.T.astype(int).tolist() == [
        [1, 1, 1, 1],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
    ]
    assert "quality" not in found.attrs


def test_no_unit_is_observed_without_any_interval():
    empty = (np.empty(0), np.empty(0), [0, 0])
    found = bin_spikes(spikes([0.1, 0.2], [1, 1], observed=empty), 0.1, start=0.0, stop=0.3)
    assert not found["observed"].any()
    assert found["count"].sum() == 0


def test_span_begins_at_the_first_observation_on_the_grid_of_bins():
    late = spikes_from_units([[10.07]], observed=[[10.03, 10.2]])
    found = bin_spikes(late, 0.05)
    assert found["time"].values.tolist() == [10.0, 10.05, 10.1, 10.15]
    assert found["observed"].values.tolist() == [False, True, True, True]
    early = bin_spikes(spikes_from_units([[-0.07, 0.02]]), 0.05)
    assert early["time"].values.tolist() == [-0.1, -0.05, 0.0]
    assert bin_spikes(spikes_from_units([[0.3]]), 0.1)["time"].values.tolist() == [
        0.0,
        0.1,
        0.2,
        0.3,
    ]


def test_a_last_partial_bin_is_left_out():
    found = bin_spikes(spikes_from_units([[0.05, 0.25]]), 0.1, start=0.0, stop=0.29)
    assert found.sizes["time"] == 2
    assert found.attrs["quality"] == {"spikes_outside_window": 1}


def test_time_is_the_left_edge_even_off_the_grid():
    found = bin_spikes(spikes_from_units([[0.1]], tick_hz=1000.0), 0.02, start=0.003, stop=0.1)
    np.testing.assert_allclose(found["time"], 0.003 + 0.02 * np.arange(4), rtol=0, atol=1e-12)


def test_labels_columns_and_history_are_carried():
    ds = spikes_from_units(
        {"x": [0.1], "y": []},
        unit_columns={"area": ["PMd", "M1"], "held_out": [False, True]},
    )
    found = bin_spikes(ds, 0.05)
    assert found["unit"].values.tolist() == ["x", "y"]
    assert found["area"].values.tolist() == ["PMd", "M1"]
    assert found["held_out"].values.tolist() == [False, True]
    assert history(found)[-1]["parameters"]["bin_size"] == 0.05


def test_input_is_left_alone(rng):
    ds = spikes_from_units([np.sort(rng.uniform(0, 1, 50))], observed=[[0.0, 0.5]])
    before = ds.copy(deep=True)
    bin_spikes(ds, 0.1)
    xr.testing.assert_identical(ds, before)


@pytest.mark.parametrize(
    ("bin_size", "message"),
    [
        (0.0, "bin_size must be positive"),
        (-1.0, "bin_size must be positive"),
        (float("nan"), "bin_size must be positive"),
        (1e-10, "shorter than a tick"),
        (2.0, "bin_size does not fit the span to bin"),
    ],
)
def test_impossible_bins_are_refused(bin_size, message):
    ds = spikes_from_units([[0.1, 0.9]])
    with pytest.raises(ConfigError, match=message):
        bin_spikes(ds, bin_size, start=0.0, stop=1.0)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.1, np.nan, 0.3], "not finite"),
        ([0.1, 0.2, np.inf], "not finite"),
        ([0.5, 0.1, 0.3], "not sorted"),
    ],
)
def test_impossible_spike_times_are_refused_even_where_nobody_checked(route, times, message):
    ds = spikes([*times, 0.05], [3, 1], check_values=False)
    with pytest.raises(SpikeTimesError, match=message):
        bin_spikes(ds, 0.1, start=0.0, stop=1.0, route=route)


def test_descents_between_slices_of_work_are_seen(rng):
    times = np.sort(rng.uniform(0, 100, 1 << 17))
    times[1 << 16 :] -= 1.0
    with pytest.raises(SpikeTimesError, match="not sorted"):
        bin_spikes(spikes(times, [1 << 17], check_values=False), 0.01, route="numpy")


def test_nothing_to_bin_is_refused():
    with pytest.raises(EmptySelectionError, match="no units"):
        bin_spikes(spikes([], []), 0.1)
    with pytest.raises(EmptySelectionError, match="no spike to tell"):
        bin_spikes(spikes([], [0]), 0.1)
    silent = bin_spikes(spikes([], [0]), 0.1, start=0.0, stop=1.0)
    assert silent["count"].values.sum() == 0


def test_times_beyond_exact_ticks_are_refused():
    with pytest.raises(TimebaseError, match="too large for exact bins"):
        bin_spikes(spikes_from_units([[0.1, 1e8]]), 0.1)
    cut = bin_spikes(spikes_from_units([[0.1, 1e8]]), 0.1, start=0.0, stop=1.0)
    assert cut["count"].sum() == 1


def test_an_unknown_route_is_refused():
    with pytest.raises(NeurodynError, match="invalid value for route"):
        bin_spikes(spikes_from_units([[0.1]]), 0.1, route="cuda")


def test_missing_numba_is_named(monkeypatch):
    monkeypatch.setattr("neurodyn.transforms.counting.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'neurodyn\[fast\]'"):
        bin_spikes(spikes_from_units([[0.1]]), 0.1, route="numba")


def test_single_precision_late_in_a_session_is_announced():
    ds = spikes_from_units([[0.1, 9999.0]], stored_dtype="float32")
    with pytest.warns(DataQualityWarning, match="stored as float32"):
        bin_spikes(ds, 0.005, start=0.0, stop=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bin_spikes(ds, 0.5, start=0.0, stop=1.0)


def test_kernels_as_plain_python(rng):
    """The compiled functions, interpreted: what coverage cannot see otherwise."""
    from neurodyn.transforms.fast_counting import bin_kernel, fill_kernel

    time = np.sort(rng.uniform(0, 1, 100))
    rows = np.empty(100, np.int32)
    seen = bin_kernel.py_func(time, 1000.0, 1.0, 0.0, 10.0, 100.0, rows)
    assert seen == (0, 100, 0, 0)
    counts = np.empty((100, 1), np.uint8)
    fill_kernel.py_func(rows, np.array([0, 100]), counts, 0, 100, 16)
    expected = bin_spikes(
        spikes_from_units([time], tick_hz=1000.0), 0.01, start=0.0, stop=1.0, route="numpy"
    )
    np.testing.assert_array_equal(counts, expected["count"].values)
