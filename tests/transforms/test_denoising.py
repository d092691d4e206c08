"""Denoising against nilearn, against sinusoids, and with frames and regions that are missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr
from nilearn.signal import clean

from neurodyn.errors import (
    ConfigError,
    DataError,
    DegenerateInputError,
    EmptySelectionError,
    MissingDependencyError,
    TimebaseError,
)
from neurodyn.provenance import history
from neurodyn.recording import bold, signal
from neurodyn.transforms.denoising import denoise

N_FRAMES, STEP = 120, 2.0
NAMES = ("trans_x", "trans_y", "white_matter")
# the first and the last frame, neighbours and single ones; no two of them mirror each other
DROPPED = [0, 1, 17, 30, 31, 32, 75]


@pytest.fixture
def values(rng):
    return 1000 + rng.normal(size=(N_FRAMES, 4)).cumsum(axis=0)


@pytest.fixture
def nuisance(rng):
    return rng.normal(size=(N_FRAMES, 3)).cumsum(axis=0)


def run(values, nuisance=None, dropped=(), **options):
    keep = np.ones(len(values), bool)
    keep[list(dropped)] = False
    table = {} if nuisance is None else dict(zip(NAMES, nuisance.T))
    return bold(values, repetition_time=STEP, keep=keep, confounds=table, **options)


SETTINGS = [
    {},
    {"detrend": False},
    {"high_pass": 0.01, "low_pass": 0.1},
    {"high_pass": 0.01, "standardize": True},
    {"low_pass": 0.08, "detrend": False},
]


@pytest.mark.parametrize("dropped", [(), DROPPED[2:], DROPPED], ids=["all", "inner", "ends"])
@pytest.mark.parametrize("with_confounds", [False, True])
@pytest.mark.parametrize("options", SETTINGS, ids=lambda options: "-".join(options) or "detrend")
def test_equals_nilearn_on_the_kept_frames(values, nuisance, dropped, with_confounds, options):
    ds = run(values, nuisance, dropped)
    found = denoise(ds, confounds="*" if with_confounds else None, **options)
    kept = np.flatnonzero(ds["keep"].values)
    # frames before the first kept one are cut off here: see the test of mirrored frames
    first = kept[0]
    expected = clean(
        ds["bold"].values[first:].astype(float),
        confounds=ds["confounds"].values[first:] if with_confounds else None,
        sample_mask=kept - first if dropped else None,
        t_r=STEP,
        extrapolate=False,
        **{"detrend": True, **options}
        | {"standardize": "zscore_sample" if options.get("standardize") else None},
    )
    np.testing.assert_allclose(found["bold"].values[kept], expected, rtol=1e-4, atol=2e-5)
    assert np.isnan(found["bold"].values[list(dropped)]).all()


def test_dropped_frames_have_no_influence(values, nuisance):
    """Also where both mirror images are dropped, which nilearn 0.14.1 does not bridge."""
    dropped = [0, 20, 21, 60, 98, 99, 119]
    other_values, other_nuisance = values.copy(), nuisance.copy()
    other_values[dropped], other_nuisance[dropped] = np.nan, 1e6
    options = {"confounds": "*", "high_pass": 0.01, "low_pass": 0.1}
    one = denoise(run(values, nuisance, dropped), **options)
    two = denoise(run(other_values, other_nuisance, dropped), **options)
    np.testing.assert_array_equal(one["bold"], two["bold"])


def test_axes_keep_and_confounds_stay(values, nuisance):
    ds = run(values, nuisance, DROPPED, roi=list("abcd"), roi_columns={"network": ["Vis"] * 4})
    before = ds.copy(deep=True)
    found = denoise(ds, confounds=["trans_*"], high_pass=0.01)
    xr.testing.assert_identical(ds, before)
    xr.testing.assert_identical(
        found.drop_vars("bold"), ds.drop_vars("bold").assign_attrs(found.attrs)
    )
    assert found["bold"].dtype == np.float32
    step = history(found)[-1]
    assert step["step"] == "denoise"
    assert step["parameters"]["confounds"] == ["trans_x", "trans_y"]
    assert step["parameters"]["high_pass"] == 0.01


def test_a_band_of_sinusoids():
    time = np.arange(300) * STEP
    slow, inside, fast = (np.sin(2 * np.pi * f * time) for f in (0.003, 0.05, 0.2))
    found = denoise(run((slow + inside + fast)[:, None]), high_pass=0.01, low_pass=0.1)
    middle = slice(60, -60)
    residual = found["bold"].values[middle, 0] - inside[middle]
    assert residual.std() < 0.03


def test_what_confounds_explain_is_gone(nuisance):
    mixed = nuisance @ np.array([[1.0, 2.0], [-1.0, 0.5], [0.3, 0.0]])
    noise = np.random.default_rng(1).normal(size=(N_FRAMES, 2))
    left = denoise(run(mixed + noise, nuisance), confounds=NAMES)["bold"].values
    regressors = nuisance - nuisance.mean(axis=0)
    assert np.abs(regressors.T @ left).max() < 0.05
    assert left.std() == pytest.approx(noise.std(), rel=0.1)


def test_missing_and_constant_regions_are_missing(values):
    values[:, 1] = np.nan
    values[:, 2] = 7.0
    found = denoise(run(values), standardize=True)
    assert np.isnan(found["bold"].values).all(axis=0).tolist() == [False, True, True, False]
    assert found.attrs["quality"] == {"flat_rois": 1}
    alone = denoise(run(values[:, [0, 3]]), standardize=True)
    np.testing.assert_array_equal(found["bold"].values[:, [0, 3]], alone["bold"].values)
    assert np.isnan(denoise(run(values[:, [1, 2]]))["bold"]).all()


def test_confounds_that_begin_with_nan(values, nuisance):
    nuisance[0, 1:] = np.nan
    ds = run(values, nuisance)
    with pytest.raises(DataError, match=r"(?s)not finite \(at trans_y, white.*2 values.*frame 0"):
        denoise(ds, confounds="*")
    assert np.isfinite(denoise(ds, confounds="trans_x")["bold"]).all()
    filled = nuisance.copy()
    filled[0, 1:] = 0
    xr.testing.assert_equal(
        denoise(ds, confounds="*", fill_first="zero")["bold"],
        denoise(run(values, filled), confounds="*")["bold"],
    )
    assert np.isfinite(denoise(run(values, nuisance, [0]), confounds="*")["bold"][1:]).all()
    nuisance[5, 0] = np.nan
    with pytest.raises(DataError, match=r"(?s)trans_x.*1 values, first in frame 5.*keep=False"):
        denoise(run(values, nuisance), confounds="*", fill_first="zero")


def test_what_cannot_be_done_is_refused(values, nuisance):
    ds = run(values, nuisance)
    with pytest.raises(DataError, match=r"(?s)only fMRI.*kind 'bold'"):
        denoise(signal(values, sampling_rate=1.0))
    with pytest.raises(EmptySelectionError, match=r"(?s)no confound 'trans_z'.*did you mean"):
        denoise(ds, confounds=["trans_z"])
    with pytest.raises(EmptySelectionError, match="data without confounds"):
        denoise(run(values), confounds="*")
    with pytest.raises(EmptySelectionError, match=r"(?s)no frame is kept.*120 frames"):
        denoise(run(values, dropped=range(N_FRAMES)))
    for band in ({"low_pass": 0.25}, {"high_pass": 0.1, "low_pass": 0.05}, {"high_pass": 0.0}):
        with pytest.raises(ConfigError, match=r"(?s)filter is impossible.*< 0.25 Hz"):
            denoise(ds, **band)
    with pytest.raises(ConfigError, match="fill_first"):
        denoise(ds, fill_first="mean")
    with pytest.raises(TimebaseError, match=r"(?s)frame 50.*a step of 4 s"):
        denoise(ds.isel(time=[i for i in range(N_FRAMES) if i != 50]))
    values[3, 2] = np.nan
    with pytest.raises(DataError, match=r"(?s)not finite \(at roi 2\).*1 samples in 1 columns"):
        denoise(run(values))


@pytest.mark.parametrize(("n_frames", "band"), [(18, {"low_pass": 0.1}), (5, {"confounds": "*"})])
def test_too_few_frames(values, nuisance, n_frames, band):
    with pytest.raises(DegenerateInputError, match=rf"(?s)too few.*{n_frames} kept frames"):
        denoise(run(values[:n_frames], nuisance[:n_frames]), **band)
    denoise(run(values[: n_frames + 1], nuisance[: n_frames + 1]), **band)


def test_the_shortest_band_pass(values):
    with pytest.raises(DegenerateInputError, match="span of 34 or more"):
        denoise(run(values[:33]), high_pass=0.01, low_pass=0.1)
    denoise(run(values[:34]), high_pass=0.01, low_pass=0.1)


def test_without_nilearn(values, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn.signal", None)
    with pytest.raises(MissingDependencyError, match=r"(?s)nilearn is not.*neurodyn\[fmri\]"):
        denoise(run(values))
