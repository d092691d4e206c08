"""Bins of a window, the rule of the first millisecond, and smoothing of short stretches."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.nlb import psth, task
from neurodyn.nlb.bins import NO_BIN, bins_between, bins_from, counts_in_bins
from neurodyn.nlb.clock import Clock

from .oracle import nlb_tools

MILLISECOND = 1_000_000


def clock_of(samples, observed):
    """One held-in unit; what lies outside of ``observed`` must hold no spike."""
    mask = np.stack([observed, np.zeros_like(observed)])
    return Clock(observed.size, ("0",), (), (np.asarray(samples),), mask, None, pd.DataFrame())


def test_a_bin_is_observed_if_its_first_millisecond_is():
    observed = np.zeros(64, dtype=bool)
    observed[21:50] = True
    clock = clock_of([25, 41, 44, 49], observed)
    counts = counts_in_bins(clock, np.array([[0, 1, 2, 3, 4, NO_BIN]]), 0.02, held_out=False)
    # bin 1 begins unobserved and loses its spike; bin 2 ends unobserved and keeps what it has
    np.testing.assert_array_equal(counts[0, :, 0], [np.nan, np.nan, 3, np.nan, np.nan, np.nan])


@settings(deadline=None, max_examples=60, derandomize=True)
@given(start=st.integers(0, 10**12), n_bins=st.integers(1, 50), bin_ms=st.sampled_from([5, 20]))
def test_windows_hold_the_bins_whose_left_edge_is_inside(start, n_bins, bin_ms):
    width = bin_ms * MILLISECOND
    begin, stop = np.array([start]), np.array([start + n_bins * width])
    bins = bins_from(begin, n_bins, bin_ms / 1000)[0]
    assert (bins * width >= start).all()
    assert bins[0] * width - start < width
    assert (bins * width < stop[0]).all()
    # within a microsecond after an edge nlb_tools leaves the last bin out
    if not 0 < start % width < 1000:
        np.testing.assert_array_equal(bins_between(begin, stop, bin_ms / 1000)[0], bins)


@pytest.mark.parametrize("lengths", [(400, 90), (700, 250), (1400,)])
def test_smoothing_is_that_of_nlb_tools_in_stretches_of_any_length(lengths):
    rng = np.random.default_rng(3)
    observed = np.concatenate([np.append(np.ones(n, bool), [False] * 25) for n in lengths])
    # spikes at one end leave the other to the rounding of the Fourier transform
    samples = np.sort(rng.choice(np.flatnonzero(observed)[:60], 30))
    counts = np.bincount(samples, minlength=observed.size).astype(np.float16)
    counts[~observed] = np.nan
    declared = task("mc_maze", 0.02)
    kernel = psth.signal.windows.gaussian(420, 70, sym=True)
    with nlb_tools():
        from nlb_tools.nwb_interface import smooth_column

        smooth = smooth_column((counts.copy(), kernel / kernel.sum(), True, "float64"))
    padded = np.append(smooth, np.full(-smooth.size % 20, np.nan)).reshape(-1, 20)
    expected = np.where(np.isnan(padded[:, 0]), np.nan, np.nansum(padded, axis=1))
    ours = psth._smoothed(clock_of(samples, observed), declared, 0)
    np.testing.assert_allclose(ours, expected, rtol=1e-14, atol=1e-16)
