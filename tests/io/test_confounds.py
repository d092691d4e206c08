"""Confounds are as long as the run, numbers, and finite, or the error names the columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    EmptySelectionError,
    TimebaseError,
)
from neurodyn.io.confounds import read_confounds

TABLE = "csf\tdvars\ttrans_x\n1.0\tn/a\t0.5\n2.0\t0.1\t0.25\n3.0\t0.2\t0.125\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "sub-01_desc-confounds_timeseries.tsv"
    path.write_text(TABLE)
    return path


def test_columns_are_read_by_name(table):
    found = read_confounds(table, 3, "run", columns=["trans_x", "csf"])
    assert list(found) == ["trans_x", "csf"]
    np.testing.assert_array_equal(found["trans_x"], [0.5, 0.25, 0.125])


def test_a_missing_first_frame_is_named_and_filled_on_request(table):
    with pytest.raises(DataError, match=r"first frame is missing in dvars(?s:.*)fill_first='zero'"):
        read_confounds(table, 3, "run")
    assert read_confounds(table, 3, "run", fill_first="zero")["dvars"].tolist() == [0.0, 0.1, 0.2]


def test_other_missing_frames_cannot_be_filled():
    series = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [np.nan, 1.0, 2.0], "c": [1, 2, 3]})
    with pytest.raises(DataError, match="other frames are not finite in a") as caught:
        read_confounds(series, 3, "run", fill_first="zero")
    assert "fill_first" not in str(caught.value)


def test_another_length_shows_both(table):
    with pytest.raises(TimebaseError, match=r"3 frames of confounds, 4 of the run(?s:.*)never cut"):
        read_confounds(table, 4, "run")


def test_other_faults(table, tmp_path):
    with pytest.raises(EmptySelectionError, match=r"no confound 'csff'(?s:.*)did you mean 'csf'"):
        read_confounds(table, 3, "run", columns=["csff"])
    with pytest.raises(ConfigError, match="fill_first"):
        read_confounds(table, 3, "run", fill_first="mean")
    with pytest.raises(DataError, match=r"no numbers(?s:.*)kind"):
        read_confounds({"kind": ["a", "b"]}, 2, "run")
    with pytest.raises(DataError, match=r"do not fit(?s:.*)a \(2,\), b \(3,\)"):
        read_confounds({"a": [1, 2], "b": [1, 2, 3]}, 2, "run")
    wide = tmp_path / "wide.tsv"
    wide.write_text("a\tb\n1\t2\t3\n1\t2\t3\n")
    with pytest.raises(CorruptFileError, match=r"cannot be read(?s:.*)more cells than the header"):
        read_confounds(wide, 2, "run")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_confounds(tmp_path / "gone.tsv", 2, "run")


def test_the_table_given_is_not_changed():
    table = pd.DataFrame({"fd": [np.nan, 1.0]})
    read_confounds(table, 2, "run", fill_first="zero")
    assert np.isnan(table["fd"].iloc[0])
