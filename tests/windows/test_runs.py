"""Windows of segments over fMRI runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.windows import RunWindows
from neurodyn.windows.runs import standardise

SIZES = {"n_segments": 4, "n_frames": 5, "segment_duration": 10.0}


def test_segments_are_the_frames_in_order(rng):
    values = rng.normal(size=(50, 3))
    windows = RunWindows([values], **SIZES, step=15)
    assert windows.start.tolist() == [0, 15, 30]
    batch = windows.gather([2, 0])
    scores = standardise(values)
    for row, start in ((0, 30), (1, 0)):
        for segment in range(4):
            first = start + 5 * segment
            expected = scores[first : first + 5].T
            np.testing.assert_array_equal(batch["bold"][row, segment].numpy(), expected)
    assert bool(batch["observed"].all())
    assert batch["time"].tolist() == [[0.0, 10.0, 20.0, 30.0]] * 2
    assert batch["index"].tolist() == [2, 0]


def test_a_short_run_is_filled_with_frames_that_are_not_observed(rng):
    windows = RunWindows([rng.normal(size=(13, 2)), rng.normal(size=(40, 2))], **SIZES)
    assert windows.run.tolist() == [0, 1, 1]
    short = windows.gather([0])
    assert short["observed"][0].sum(dim=(1, 2)).tolist() == [10, 10, 6, 0]
    assert not short["bold"][~short["observed"]].any()
    # the last window of a run ends with it
    assert windows.start.tolist() == [0, 0, 20]


def test_censored_frames_and_lost_rois_are_not_observed(rng):
    values = rng.normal(size=(40, 3))
    values[:, 1] = np.nan
    values[5:25] = np.nan
    windows = RunWindows([values], **SIZES)
    # the first window keeps a quarter of its frames
    assert windows.start.tolist() == [20]
    batch = windows.gather([0])
    assert not batch["observed"][0, :, 1].any()
    assert not batch["observed"][0, 0].any()
    assert batch["observed"][0, 1:, [0, 2]].all()
    everything = RunWindows([values], **SIZES, least_observed=0.0)
    assert everything.start.tolist() == [0, 20]


def test_standardise(rng):
    values = rng.normal(3, 7, size=(200, 4)).astype(np.float32)
    values[20:30, 0] = np.nan
    values[:, 2] = 4.2
    values[7, 3] = 1e9
    scores = standardise(values)
    known = values[~np.isnan(values[:, 0]), 0].astype(float)
    np.testing.assert_allclose(
        scores[~np.isnan(values[:, 0]), 0], (known - known.mean()) / known.std(), atol=1e-5
    )
    assert np.isnan(scores[20:30, 0]).all()
    assert np.isnan(scores[:, 2]).all()
    assert np.nanmax(scores) == 5.0


def test_taking_windows_shares_the_runs(rng):
    windows = RunWindows([rng.normal(size=(60, 2))], **SIZES)
    part = windows.take([1])
    assert len(part) == 1
    assert part.values is windows.values
    assert torch.equal(part.gather([0])["bold"], windows.gather([1])["bold"])
    with pytest.raises(EmptySelectionError, match="no window is chosen"):
        windows.take([])


def test_windows_at_given_places(rng):
    values = [rng.normal(size=(60, 2)), rng.normal(size=(30, 2))]
    windows = RunWindows(values, **SIZES)
    short = windows.at([1, 0], [28, 7], n_segments=1)
    batch = short.gather([0, 1])
    assert batch["observed"][0].sum().item() == 2 * 2
    np.testing.assert_array_equal(batch["bold"][1, 0].numpy(), standardise(values[0])[7:12].T)
    assert batch["time"].tolist() == [[0.0], [0.0]]
    with pytest.raises(ConfigError, match=r"(?s)outside of its run.*frame 30 of 30"):
        windows.at([0, 1], [7, 30], n_segments=1)


def test_what_gives_no_window_is_refused(rng):
    with pytest.raises(ConfigError, match=r"(?s)impossible.*n_segments=0"):
        RunWindows([rng.normal(size=(60, 2))], **{**SIZES, "n_segments": 0})
    with pytest.raises(ConfigError, match="0 runs"):
        RunWindows([], **SIZES)
    runs = [rng.normal(size=(60, 2)), np.full((60, 2), np.nan)]
    with pytest.raises(EmptySelectionError, match=r"(?s)enough observed.*1 of 2 runs: b.*leave"):
        RunWindows(runs, **SIZES, names=["a", "b"])
