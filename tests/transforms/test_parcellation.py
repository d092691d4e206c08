"""Means over regions: by hand, with missing voxels and whole axes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import AtlasMismatchError, ConfigError, DataError
from neurodyn.provenance import history
from neurodyn.recording import bold
from neurodyn.transforms import parcellation
from neurodyn.transforms.parcellation import parcellate

REGIONS = {"roi": ["a", "b", "c"], "label": [3, 7, 9], "network": ["Vis", "Default", ""]}
LABEL = np.array([3, 3, 7, 0, 7, 7])


def voxels(values, **options):
    return bold(values, repetition_time=1.5, dim="voxel", **options)


def test_equals_a_computation_by_hand():
    values = np.arange(12.0).reshape(2, 6)
    ds = parcellate(
        voxels(values, keep=[True, False], confounds={"fd": [0.1, 0.2]}), LABEL, REGIONS
    )
    expected = np.array([[0.5, 11 / 3, np.nan], [6.5, 29 / 3, np.nan]], np.float32)
    np.testing.assert_array_equal(ds["bold"].values, expected)
    assert ds["bold"].dtype == np.float32
    assert ds["bold"].dims == ("time", "roi")
    assert ds["roi"].values.tolist() == ["a", "b", "c"]
    assert ds["network"].values.tolist() == ["Vis", "Default", ""]
    assert ds["coverage"].values.tolist() == [1.0, 1.0, 0.0]
    assert ds["keep"].values.tolist() == [True, False]
    assert ds["confounds"].values.ravel().tolist() == [0.1, 0.2]
    assert ds.attrs["repetition_time"] == 1.5
    assert history(ds)[-1]["step"] == "parcellate"


def test_a_dataset_of_regions_is_taken_as_well():
    table = xr.Dataset(coords={"roi": ["c", "b", "a"], "label": ("roi", [9, 7, 3])})
    values = np.random.default_rng(0).normal(size=(4, 6))
    by_table = parcellate(voxels(values), LABEL, table)
    by_columns = parcellate(voxels(values), LABEL, REGIONS)
    xr.testing.assert_identical(
        by_table["bold"].drop_vars("coverage"),
        by_columns["bold"].drop_vars(["network", "coverage"]).isel(roi=[2, 1, 0]),
    )


def test_voxels_that_are_not_finite_do_not_count():
    values = np.ones((4, 6))
    values[:, 2] = np.nan
    values[1, 4] = np.inf
    values[:, 5] = [1, 2, 3, 4]
    ds = parcellate(voxels(values), LABEL, REGIONS, minimum_finite=1 / 3)
    assert ds["bold"].sel(roi="b").values.tolist() == [1, 2, 3, 4]
    assert ds["coverage"].values.tolist() == pytest.approx([1, 1 / 3, 0])
    below = parcellate(voxels(values), LABEL, REGIONS)
    assert np.isnan(below["bold"].sel(roi="b")).all()
    assert below["coverage"].sel(roi="b") == pytest.approx(1 / 3)


def test_exactly_the_minimum_is_enough():
    values = np.ones((3, 6))
    values[:, 0] = np.nan
    ds = parcellate(voxels(values), LABEL, REGIONS)
    assert ds["bold"].sel(roi="a").values.tolist() == [1, 1, 1]


def test_a_frame_without_any_number_stays_missing():
    values = np.ones((3, 6))
    values[1] = np.nan
    ds = parcellate(voxels(values), LABEL, REGIONS)
    np.testing.assert_array_equal(ds["bold"].sel(roi="a"), [1, np.nan, 1])
    assert ds["coverage"].sel(roi="a") == 1
    nothing = parcellate(voxels(np.full((3, 6), np.nan)), LABEL, REGIONS)
    assert np.isnan(nothing["bold"]).all()
    assert (nothing["coverage"] == 0).all()


def test_blocks_of_frames_change_nothing(monkeypatch, rng):
    values = rng.normal(size=(50, 6))
    whole = parcellate(voxels(values), LABEL, REGIONS)
    monkeypatch.setattr(parcellation, "BLOCK_BYTES", 7 * 6 * 4)
    xr.testing.assert_identical(parcellate(voxels(values), LABEL, REGIONS), whole)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 8))
def test_equals_nanmean_of_whole_voxels(seed, n_voxels, n_regions):
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 10, (5, n_voxels)).astype(np.float32)
    values[:, rng.random(n_voxels) < 0.3] = np.nan
    label = rng.integers(0, n_regions + 1, n_voxels)
    names = [f"r{i}" for i in range(n_regions)]
    ds = parcellate(
        voxels(values), label, {"roi": names, "label": range(1, n_regions + 1)}, minimum_finite=0.5
    )
    assert ds["roi"].values.tolist() == names
    for row in range(n_regions):
        own = values[:, label == row + 1]
        finite = np.isfinite(own).all(axis=0)
        column = ds["bold"].values[:, row]
        if finite.size and finite.mean() >= 0.5:
            np.testing.assert_allclose(column, own[:, finite].astype(float).mean(axis=1), rtol=1e-6)
            assert ds["coverage"].values[row] == pytest.approx(finite.mean())
        else:
            assert np.isnan(column).all()


REFUSED = [
    (dict(label=LABEL[:5]), DataError, r"(?s)one label for each voxel.*shape \(5,\).*\(6,\)"),
    (dict(label=LABEL.astype(float)), DataError, "(?s)one label for each voxel.*float64"),
    (dict(label=LABEL + 1), AtlasMismatchError, "(?s)belong to no region.*3 of them: 1, 4, 8"),
    (dict(regions={"label": [3]}), DataError, "(?s)no column 'roi'.*found: label"),
    (
        dict(regions={**REGIONS, "roi": ["a", "a", "c"]}),
        DataError,
        "(?s)regions repeat.*a",
    ),
    (dict(regions={**REGIONS, "label": [3, 7, 7]}), DataError, "(?s)labels of regions repeat.*7"),
    (dict(regions={**REGIONS, "label": [3, 7, 0]}), DataError, "(?s)other than 0.*background"),
    (dict(minimum_finite=0.0), ConfigError, "(?s)must be a share.*above 0, up to 1"),
    (
        dict(data=bold(np.ones((2, 6)), repetition_time=1.0)),
        DataError,
        r"(?s)cannot be parcellated.*dims \('time', 'roi'\).*bold\(time, voxel\)",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(change, error, message):
    given = {"data": voxels(np.ones((2, 6))), "label": LABEL, "regions": REGIONS, **change}
    with pytest.raises(error, match=message):
        parcellate(given.pop("data"), given.pop("label"), given.pop("regions"), **given)
