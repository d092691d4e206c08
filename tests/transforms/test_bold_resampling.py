"""fMRI at another repetition time: interpolation, low-pass, gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodyn import recording as rec
from neurodyn.errors import DataError, TimebaseError
from neurodyn.transforms import resample_bold


def run(values, repetition_time, **kwargs):
    return rec.bold(np.asarray(values, float), repetition_time=repetition_time, **kwargs)


def test_a_faster_clock_interpolates_linearly(rng):
    values = rng.normal(size=(30, 4))
    found = resample_bold(run(values, 2.5), 0.72)
    time = found["time"].values
    assert time[-1] <= 29 * 2.5 < time[-1] + 0.72
    for roi in range(4):
        expected = np.interp(time, 2.5 * np.arange(30), values[:, roi])
        np.testing.assert_allclose(found["bold"].values[:, roi], expected, atol=1e-5)
    assert found.attrs["repetition_time"] == 0.72
    rec.validate(found)


@given(
    st.floats(0.4, 4.0),
    st.floats(0.4, 4.0),
    st.integers(5, 60),
    st.floats(-100, 100),
)
def test_constants_stay_constants(own, wanted, n_frames, level):
    found = resample_bold(run(np.full((n_frames, 2), level), own), wanted)
    np.testing.assert_allclose(found["bold"].values, level, rtol=1e-5, atol=1e-6)


def test_a_slower_clock_passes_slow_and_stops_fast_cycles():
    time = 0.72 * np.arange(1200)
    for frequency in (0.02, 0.3, 0.48):
        found = resample_bold(run(np.sin(2 * np.pi * frequency * time)[:, None], 0.72), 2.5)
        inner = found["bold"].values[5:-5, 0]
        expected = np.sinc(frequency * 2.5) ** 2
        assert np.sqrt(2 * np.mean(inner**2)) == pytest.approx(expected, abs=0.02)


def test_censored_frames_and_missing_values_have_no_weight(rng):
    values = rng.normal(size=(40, 3)).cumsum(axis=0)
    values[:, 1] = np.nan
    keep = np.ones(40, bool)
    keep[10:20] = False
    spoilt = values.copy()
    spoilt[10:20] = 1e6
    found = resample_bold(run(spoilt, 1.0, keep=keep), 2.0)
    same = resample_bold(run(values, 1.0, keep=keep), 2.0)
    np.testing.assert_array_equal(found["bold"].values, same["bold"].values)
    assert np.isnan(found["bold"].values[:, 1]).all()
    lost = ~found["keep"].values
    np.testing.assert_array_equal(found["time"].values[lost], [10.0, 12.0, 14.0, 16.0, 18.0])
    assert np.isnan(found["bold"].values[lost]).all()


def test_the_same_clock_changes_nothing_and_labels_stay(rng):
    data = run(
        rng.normal(size=(9, 2)),
        2.0,
        roi=["a", "b"],
        roi_columns={"network": ["x", "y"]},
        confounds={"fd": np.zeros(9)},
    )
    assert resample_bold(data, 2.0) is data
    found = resample_bold(data, 1.0)
    assert found["roi"].values.tolist() == ["a", "b"]
    assert found["network"].values.tolist() == ["x", "y"]
    assert "confounds" not in found


def test_what_cannot_be_resampled_is_refused():
    data = run(np.zeros((9, 2)), 2.0)
    with pytest.raises(TimebaseError, match="repetition time must be above 0"):
        resample_bold(data, 0.0)
    with pytest.raises(TimebaseError, match=r"(?s)not regular.*step of 4 s after 2 s"):
        resample_bold(data.isel(time=[0, 1, 3, 4]), 1.0)
    with pytest.raises(DataError, match=r"(?s)only fMRI of regions.*parcellate"):
        resample_bold(rec.signal(np.zeros((5, 2)), sampling_rate=1.0), 1.0)
    with pytest.raises(DataError, match="only fMRI of regions"):
        resample_bold(run(np.zeros((5, 2)), 2.0, dim="voxel"), 1.0)
