"""Regions without signal: which kind they are of, and how many may be."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import AtlasMismatchError, ConfigError
from neurodyn.io.faults import Quality
from neurodyn.io.lost_rois import require_rois, settle_lost_rois
from neurodyn.recording import bold


@pytest.fixture
def run(rng):
    values = rng.normal(size=(6, 5))
    values[:, 1:3] = np.nan
    values[:, 3] = 7.0
    values[0, 3:] = np.nan
    coverage = {"coverage": [1.0, 0.0, 0.3, 1.0, 1.0]}
    return bold(values, repetition_time=1.0, roi=list("abcde"), roi_columns=coverage)


def test_lost_regions_are_listed_and_counted(run):
    quality = Quality("raise")
    ds = settle_lost_rois(run, "run", quality, max_missing_roi=0.4)
    assert np.isnan(ds["bold"].values).all(axis=0).tolist() == [False, True, True, True, False]
    assert ds["bold"].dtype == np.float32
    lists = {name: ds.attrs[name] for name in ("missing_rois", "sparse_rois", "flat_rois")}
    assert lists == {"missing_rois": ["b"], "sparse_rois": ["c"], "flat_rois": ["d"]}
    assert quality.counts == {"missing_rois": 1, "sparse_rois": 1, "flat_rois": 1}
    assert not quality.done
    np.testing.assert_array_equal(ds["bold"].sel(roi="e"), run["bold"].sel(roi="e"))


def test_nothing_is_said_of_whole_runs(rng):
    ds = bold(rng.normal(size=(6, 5)), repetition_time=1.0)
    quality = Quality("raise")
    assert settle_lost_rois(ds, "run", quality, max_missing_roi=0.0).identical(ds)
    assert quality.attrs() == {}


def test_too_many_are_refused(run):
    message = r"(?s)missing in the image \(at run\).*2 of 5 .*: b, c.*at most 0.1.*max_missing_roi="
    with pytest.raises(AtlasMismatchError, match=message):
        settle_lost_rois(run, "run", Quality("raise"), max_missing_roi=0.1)
    with pytest.raises(AtlasMismatchError):
        settle_lost_rois(run, "run", Quality("drop"), max_missing_roi=0.1)
    quality = Quality("warn")
    settle_lost_rois(run, "run", quality, max_missing_roi=0.1)
    assert quality.done == {"missing_rois_kept": 2}
    with pytest.raises(ConfigError, match=r"(?s)must be a share.*0 to 1"):
        settle_lost_rois(run, "run", Quality(), max_missing_roi=1.5)


def test_the_limit_itself_is_allowed():
    require_rois(["a"], 10, "run", Quality(), max_missing_roi=0.1)
    with pytest.raises(AtlasMismatchError, match="2 of 10"):
        require_rois(["a", "b"], 10, "run", Quality(), max_missing_roi=0.1)
