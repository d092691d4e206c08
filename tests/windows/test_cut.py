"""Blocks against slices, gaps and masks by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.recording import counts, validate
from neurodyn.windows import Windows, cut_blocks, trial_split


@pytest.fixture
def long_counts(rng):
    return counts(
        rng.poisson(1.0, (95, 3)),
        bin_size=0.02,
        start=5.0,
        unit=["a", "b", "c"],
        held_out=[False, False, True],
        quality={"spikes_unobserved": 3},
    )


def test_blocks_are_slices(long_counts):
    blocks = cut_blocks(long_counts, length=0.2, gap=0.05)
    validate(blocks)
    starts = np.arange(0, 86, 13)
    assert blocks["count"].dims == ("trial", "time", "unit")
    assert blocks["count"].dtype == np.uint8
    for trial, start in enumerate(starts):
        np.testing.assert_array_equal(
            blocks["count"][trial], long_counts["count"][start : start + 10]
        )
    np.testing.assert_allclose(blocks["block_start"], 5.0 + starts * 0.02)
    np.testing.assert_allclose(blocks["time"], np.arange(10) * 0.02)
    assert blocks["held_out"].values.tolist() == [False, False, True]
    assert blocks.attrs["quality"] == {
        "spikes_unobserved": 3,
        "bins_left_out": 95 - 10 * starts.size,
        "blocks_left_out": 0,
    }


def test_default_length(long_counts):
    assert cut_blocks(long_counts).sizes["time"] == 95
    assert dict(cut_blocks(counts(np.ones((250, 1)), bin_size=0.1)).sizes) == {
        "trial": 2,
        "time": 100,
        "unit": 1,
    }


def test_too_little_observed_blocks_are_left_out_and_counted(long_counts):
    observed = np.ones(95, dtype=bool)
    observed[:5], observed[15:22], observed[40:42] = False, False, False
    long_counts["observed"] = ("time", observed)
    blocks = cut_blocks(long_counts, length=0.2)
    assert blocks["block_start"].values.round(2).tolist() == [
        round(5.0 + 0.02 * k, 2) for k in (5, 25, 35, 45, 55, 65, 75, 85)
    ]
    assert blocks.attrs["quality"]["blocks_left_out"] == 1
    assert blocks["observed"].dims == ("trial", "time")
    assert (~blocks["observed"]).sum() == 2


def test_masks_of_units_are_kept(long_counts, rng):
    mask = rng.random((95, 3)) > 0.1
    mask[0] = True
    long_counts["observed"] = (("time", "unit"), mask)
    blocks = cut_blocks(long_counts, length=0.2)
    np.testing.assert_array_equal(blocks["observed"][0], mask[:10])


def test_blocks_do_not_reach_over_gaps_of_the_clock(long_counts):
    kept = np.r_[0:17, 30:95]
    blocks = cut_blocks(long_counts.isel(time=kept), length=0.2)
    starts = ((blocks["block_start"].values - 5.0) / 0.02).round().astype(int)
    assert starts.tolist() == [0, 30, 40, 50, 60, 70, 80]


def test_blocks_feed_splits_and_windows(long_counts):
    blocks = cut_blocks(long_counts, length=0.2)
    split = trial_split(blocks, validation=0.3)
    assert len(Windows(blocks.isel(trial=split.train))) + split.validation.size == 9


def test_input_is_left_alone(long_counts):
    before = long_counts.copy(deep=True)
    cut_blocks(long_counts, length=0.2)
    xr.testing.assert_identical(long_counts, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0.0}, "length of a block does not fit"),
        ({"length": 2.0}, "length of a block does not fit"),
        ({"length": 0.2, "gap": -1.0}, "gap between blocks must not be negative"),
        ({"length": 0.2, "gap": float("nan")}, "gap between blocks must not be negative"),
    ],
)
def test_impossible_blocks_are_refused(long_counts, settings, message):
    with pytest.raises(ConfigError, match=message):
        cut_blocks(long_counts, **settings)


def test_nothing_left_is_refused(long_counts):
    long_counts["observed"] = ("time", np.zeros(95, dtype=bool))
    with pytest.raises(EmptySelectionError, match="no block is left"):
        cut_blocks(long_counts, length=0.2)


def test_trials_are_refused():
    with pytest.raises(ConfigError, match="have trials already"):
        cut_blocks(counts(np.ones((2, 3, 1)), bin_size=0.1))
