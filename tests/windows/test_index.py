"""Windows against plain slices of the counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError, EmptySelectionError, TimebaseError
from neurodyn.recording import counts, recording
from neurodyn.windows import BatchSampler, Windows


@pytest.fixture
def trial_counts(rng):
    return counts(rng.poisson(1.0, (6, 20, 4)), bin_size=0.02)


@pytest.fixture
def long_counts(rng):
    return counts(rng.poisson(1.0, (100, 4)), bin_size=0.02)


def test_a_window_is_a_trial_by_default(trial_counts):
    windows = Windows(trial_counts)
    batch = windows.gather([5, 0])
    assert (len(windows), windows.length) == (6, 20)
    assert batch["count"].dtype == torch.float32
    assert batch["observed"].dtype == torch.bool
    assert batch["index"].tolist() == [5, 0]
    np.testing.assert_array_equal(batch["count"], trial_counts["count"].values[[5, 0]])
    assert batch["observed"].shape == (2, 20, 4)
    assert batch["observed"].all()


def test_counts_are_not_copied(trial_counts):
    windows = Windows(recording([trial_counts]))
    assert np.shares_memory(windows.count, trial_counts["count"].values)
    windows.gather([0])
    assert windows._tensors.count.data_ptr() == windows.count.ctypes.data


def test_windows_of_a_long_recording(long_counts):
    windows = Windows(long_counts, 30, step=7)
    assert windows.starts.tolist() == list(range(0, 71, 7))
    batch = windows.gather(np.arange(len(windows)))
    for row, start in enumerate(windows.starts):
        np.testing.assert_array_equal(
            batch["count"][row], long_counts["count"].values[start : start + 30]
        )
    assert windows.spans()[1].tolist() == [7, 37]


def test_shorter_windows_stay_inside_their_trial(trial_counts):
    windows = Windows(trial_counts, 8, step=6)
    assert windows.starts.tolist() == [20 * t + s for t in range(6) for s in (0, 6, 12)]


def test_chosen_starts(trial_counts):
    windows = Windows(trial_counts, 8, starts=[12, 40])
    assert windows.gather([1])["count"].numpy().tolist() == [
        trial_counts["count"].values[2, :8].tolist()
    ]
    with pytest.raises(ConfigError, match="reaches out of its trial"):
        Windows(trial_counts, 8, starts=[12, 13])
    with pytest.raises(ConfigError, match=r"starts\[0\]"):
        Windows(trial_counts, 8, starts=[-1])
    with pytest.raises(ConfigError, match="reaches out"):
        Windows(trial_counts, 8, starts=[120])


@pytest.mark.parametrize("shape", [(20,), (6, 20), (6, 20, 4)])
def test_unobserved_bins_are_zero_and_marked(rng, shape):
    mask = rng.random(shape) > 0.3
    ds = counts(1 + rng.poisson(1.0, (6, 20, 4)), bin_size=0.02)
    dims = {1: "time", 2: ("trial", "time"), 3: ("trial", "time", "unit")}[len(shape)]
    ds["observed"] = (dims, mask)
    full = ds["observed"].broadcast_like(ds["count"]).transpose("trial", "time", "unit").values
    batch = Windows(ds).gather([1, 4])
    np.testing.assert_array_equal(batch["observed"], full[[1, 4]])
    expected = np.where(full, ds["count"].values, 0)[[1, 4]]
    np.testing.assert_array_equal(batch["count"], expected)


def test_mask_of_a_long_recording(rng, long_counts):
    long_counts["observed"] = (("time", "unit"), rng.random((100, 4)) > 0.5)
    batch = Windows(long_counts, 10, starts=[3]).gather([0])
    np.testing.assert_array_equal(batch["observed"][0], long_counts["observed"].values[3:13])


def test_counts_above_255(rng):
    ds = counts(rng.integers(0, 60_000, (3, 5, 2)), bin_size=0.02)
    np.testing.assert_array_equal(Windows(ds).gather([2, 0])["count"], ds["count"].values[[2, 0]])


def test_any_order_of_dims_and_read_only_memory(trial_counts):
    trial_counts["count"].values.flags.writeable = False
    turned = trial_counts.transpose("unit", "trial", "time")
    for ds in (trial_counts, turned):
        expected = trial_counts["count"].values[:2]
        np.testing.assert_array_equal(Windows(ds).gather([0, 1])["count"], expected)


def test_the_route_of_other_devices_gives_the_same_shapes(trial_counts):
    """Shapes of the strided route, on the meta device; values need a GPU."""
    windows = Windows(trial_counts, device="meta")
    batch = windows.gather([0, 3])
    assert batch["count"].shape == (2, 20, 4)
    assert batch["count"].device.type == "meta"


def test_take_shares_the_counts(trial_counts):
    windows = Windows(trial_counts)
    part = windows.take([4, 2])
    assert len(part) == 2
    assert part.count is windows.count
    assert len(windows) == 6
    np.testing.assert_array_equal(part.gather([0])["count"][0], trial_counts["count"].values[4])
    with pytest.raises(EmptySelectionError, match="no window is chosen"):
        windows.take([])


def test_windows_and_sampler_cover_an_epoch(trial_counts):
    windows = Windows(trial_counts)
    sampler = BatchSampler(len(windows), 2, seed=0)
    seen = [windows.gather(next(sampler))["index"] for _ in range(3)]
    assert sorted(torch.cat(seen).tolist()) == list(range(6))


@pytest.mark.parametrize("length", [0, 101, None])
def test_impossible_lengths_are_refused(long_counts, length):
    with pytest.raises(ConfigError, match="length does not fit the counts"):
        Windows(long_counts, length)


def test_impossible_steps_and_empty_choices_are_refused(long_counts):
    with pytest.raises(ConfigError, match="step must be at least one bin"):
        Windows(long_counts, 10, step=0)
    with pytest.raises(EmptySelectionError, match="there are no windows"):
        Windows(long_counts, 10, starts=[])


def test_gaps_of_the_clock_are_refused(long_counts):
    with pytest.raises(TimebaseError, match="windows would reach over gaps"):
        Windows(long_counts.isel(time=[0, 1, 2, 5, 6]), 2)


def test_unknown_windows_are_refused(trial_counts):
    with pytest.raises(IndexError):
        Windows(trial_counts).gather([6])
