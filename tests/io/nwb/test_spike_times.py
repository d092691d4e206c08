"""Spike checks against plain loops, on any ragged times."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.io.faults import Quality
from neurodyn.io.nwb import spike_faults
from neurodyn.io.nwb.spike_faults import Session, SpikeTrains, find_faults
from neurodyn.io.nwb.spike_times import clean_spikes, count_outside

PLAIN = settings(max_examples=150, deadline=None, derandomize=True)
TIME = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, -1.0]) | st.floats(-5, 5, width=16)
ODD = TIME | st.sampled_from([np.nan, np.inf, -np.inf])


def trains(units):
    flat = np.array([time for unit in units for time in unit], dtype=np.float64)
    ends = np.cumsum([len(unit) for unit in units], dtype=np.int64)
    return SpikeTrains(flat, ends, [f"u{i}" for i in range(len(units))], "file:/units")


def units_of(time):
    return st.lists(st.lists(time, max_size=6), min_size=1, max_size=5)


@given(units_of(ODD))
@PLAIN
def test_clean_is_what_a_loop_finds(units):
    expected = all(
        np.isfinite(unit).all() and all(a < b for a, b in itertools.pairwise(unit))
        for unit in units
    )
    assert trains(units).is_clean() == expected


@given(units_of(ODD), st.integers(2, 5))
@PLAIN
def test_blocks_do_not_matter(units, block):
    expected = trains(units).is_clean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spike_faults, "BLOCK", block)
        assert trains(units).is_clean() == expected


@given(units_of(TIME))
@PLAIN
def test_fix_sorts_each_unit_and_is_idempotent(units):
    quality = Quality("fix")
    restarting = {f.fault.code for f in find_faults(trains(units), None)} & {"restarting_spikes"}
    if restarting:
        return
    fixed, kept = clean_spikes(trains(units), None, quality)
    assert kept.all()
    np.testing.assert_array_equal(fixed.times, [t for unit in units for t in sorted(unit)])
    n_falls = sum(a > b for unit in units for a, b in itertools.pairwise(unit))
    assert quality.counts.get("unsorted_spikes_fixed", 0) == n_falls
    again, _ = clean_spikes(fixed, None, twice := Quality("fix"))
    np.testing.assert_array_equal(again.times, fixed.times)
    assert "unsorted_spikes_fixed" not in twice.counts


@given(units_of(ODD))
@PLAIN
def test_drop_leaves_finite_sorted_units(units):
    clean, kept = clean_spikes(trains(units), None, Quality("drop"), drop_duplicates=True)
    assert clean.is_clean()
    assert clean.ends.size == kept.size == len(units)
    for unit, keep, own in zip(units, kept, np.split(clean.times, clean.ends[:-1])):
        finite = [time for time in unit if np.isfinite(time)]
        assert own.tolist() == (sorted(set(finite)) if keep else [])
        assert keep == all(a <= b for a, b in itertools.pairwise(finite))


@given(units_of(TIME), st.lists(st.tuples(TIME, st.floats(0, 3, width=16)), max_size=4))
@PLAIN
def test_spikes_outside_any_interval_are_counted(units, intervals):
    units = [sorted(unit) for unit in units]
    start = np.array([begin for begin, _ in intervals] * len(units))
    stop = np.array([begin + length for begin, length in intervals] * len(units))
    expected = sum(
        not any(begin <= time < begin + length for begin, length in intervals)
        for unit in units
        for time in unit
    )
    n_intervals = np.full(len(units), len(intervals))
    assert count_outside(trains(units), start, stop, n_intervals) == expected


def test_slow_rates_alone_are_no_wrong_scale():
    slow = trains([np.linspace(0, 9000, 25) + 0.5])
    assert find_faults(slow, Session(None, 8000.0)) == []
    assert find_faults(slow, Session(None, 9.0))[0].fault.code == "spike_time_scale"


def test_whole_numbers_without_a_session_are_refused():
    whole = trains([np.arange(25.0)])
    assert "session is unknown" in find_faults(whole, Session())[0].fault.message
    assert find_faults(whole, None) == []
    assert find_faults(whole, Session(None, 30.0)) == []
