"""Tables of regions frame by frame: the habits of C-PAC, AFNI, XCP-D and others."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import (
    AtlasMismatchError,
    CorruptFileError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    TimebaseError,
    UnsupportedFormatError,
)
from neurodyn.io.roi_tables import check_roi_table, is_roi_table, load_roi_table, open_roi_table

VALUES = np.array([[1.5, -2.0, 3.25], [0.5, 4.0, 1e3], [2.5, 0.0, -7.0]])


def rows(separator, values=VALUES):
    return "".join(separator.join(map(repr, row)) + "\n" for row in values.tolist())


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def load(path, **options):
    return load_roi_table(path, **{"repetition_time": 2.0, **options})["bold"].to_dataset()


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("cpac.1D", "#1\t#2\t#7\n" + rows("\t"), ["1", "2", "7"]),
        (
            "cpac_mean.1D",
            "#Mean_1\t#Mean_2\t#Mean_7\n" + rows("\t"),
            ["Mean_1", "Mean_2", "Mean_7"],
        ),
        ("spaces.1D", "#1 #2 #7\n" + rows(" "), ["1", "2", "7"]),
        ("afni.1D", "# 3dmaskave of rest\n# run 1\n" + rows("  "), ["1", "2", "3"]),
        ("plain.1D", rows("\t"), ["1", "2", "3"]),
        ("names.txt", "A\tB\tC\n" + rows("\t"), ["A", "B", "C"]),
        ("names.tsv", "A\tB\tC\n" + rows("\t"), ["A", "B", "C"]),
        ("labels.tsv", "1\t2\t7\n" + rows("\t"), ["1", "2", "7"]),
        ("floats.csv", "1.0,2.0,7.0\n" + rows(","), ["1", "2", "7"]),
        ("quoted.csv", '"A","B, b","C"\n' + rows(","), ["A", "B, b", "C"]),
    ],
)
def test_habits_of_headers(write, name, text, names):
    ds = load(write(name, text))
    assert ds["roi"].values.tolist() == names
    np.testing.assert_allclose(ds["bold"], VALUES)
    assert ds["time"].values.tolist() == [0.0, 2.0, 4.0]
    if all(name.isdecimal() for name in names):
        assert ds["label"].values.tolist() == list(map(int, names))


def test_packed_tables(tmp_path):
    path = tmp_path / "rest.tsv.gz"
    path.write_bytes(gzip.compress(("A\tB\tC\n" + rows("\t")).encode()))
    np.testing.assert_allclose(load(path)["bold"], VALUES)
    (tmp_path / "rest.1D.gz").write_bytes(gzip.compress(rows(" ").encode()))
    np.testing.assert_allclose(load(tmp_path / "rest.1D.gz")["bold"], VALUES)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=2))
def test_numbers_survive_in_both_forms(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("forms")
    expected = np.array(values, np.float32)
    for name, text in (
        ("a.1D", rows(" ", np.array(values))),
        ("a.tsv", "A\tB\tC\n" + rows("\t", np.array(values))),
    ):
        (folder / name).write_text(text)
        found = load(folder / name, max_missing_roi=1.0)["bold"].values
        flat = (expected == expected[0]).all(axis=0)
        np.testing.assert_array_equal(found[:, ~flat], expected[:, ~flat])
        assert np.isnan(found[:, flat]).all()


def test_the_sidecar_tells_the_repetition_time(write):
    path = write("rest.tsv", "A\tB\tC\n" + rows("\t"))
    with pytest.raises(TimebaseError, match=r"repetition time is unknown(?s:.*)repetition_time="):
        load_roi_table(path)
    assert not is_roi_table(path)
    write("rest.json", '{"RepetitionTime": 0.8}')
    assert is_roi_table(path)
    assert load_roi_table(path)["bold"].attrs["repetition_time"] == 0.8
    assert load_roi_table(path, repetition_time=1.0)["bold"].attrs["repetition_time"] == 1.0
    assert is_roi_table("x.1D.gz")
    assert not is_roi_table(path.with_suffix(".mat"))
    assert not is_roi_table(write("traces.csv", "time,a\n0,1\n"))


def test_names_of_xcpd_become_attributes(write):
    name = "sub-01_ses-2_task-rest_run-1_space-MNI_seg-Gordon_stat-mean_timeseries.tsv"
    attrs = load(write(name, "A\tB\tC\n" + rows("\t"))).attrs
    assert [attrs[key] for key in ("subject", "session", "task", "run", "space", "atlas")] == [
        "01", "2", "rest", "1", "MNI", "Gordon",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["", "NaN", "n/a"])
def test_missing_cells_and_constant_regions_are_nan(write, missing):
    text = f"A\tB\tC\n1.0\t{missing}\t5\n2.0\t{missing}\t5\n{missing}\t{missing}\t5\n"
    ds = load(write("rest.tsv", text), max_missing_roi=1.0)
    np.testing.assert_array_equal(ds["bold"][:, 0], [1, 2, np.nan])
    assert np.isnan(ds["bold"].values[:, 1:]).all()
    assert ds.attrs["flat_rois"] == ["C"]
    assert ds.attrs["missing_rois"] == ["B"]


def test_a_table_of_regions_gives_the_axis(write):
    table = write(
        "rois.tsv", "label\tname\tnetwork\tx\n7\tg\tN7\t7.5\n1\ta\tN1\t1.5\n2\tb\tN2\t2.5\n"
    )
    for header in ("1\t2\t7\n", "a\tb\tg\n"):
        ds = load(write("rest.tsv", header + rows("\t")), rois=table)
        assert ds["roi"].values.tolist() == ["g", "a", "b"]
        np.testing.assert_allclose(ds["bold"], VALUES[:, [2, 0, 1]])
        assert ds["network"].values.tolist() == ["N7", "N1", "N2"]
        assert ds["x"].values.tolist() == [7.5, 1.5, 2.5]
    part = write("part.tsv", "a\tg\n" + rows("\t", VALUES[:, [0, 2]]))
    with pytest.raises(AtlasMismatchError, match="1 of 3 regions"):
        load(part, rois=table)
    ds = load(part, rois=table, max_missing_roi=0.5)
    np.testing.assert_array_equal(ds["coverage"], [np.nan, np.nan, 0.0])
    assert np.isnan(ds["bold"].values[:, 2]).all()
    with pytest.raises(AtlasMismatchError, match=r"columns belong to no region(?s:.*): c"):
        load(write("c.tsv", "a\tb\tc\n" + rows("\t")), rois=table)


def test_nuisance_columns_and_confounds(write):
    path = write("rest.csv", "WM,A,B\n" + rows(","))
    table = write("c.tsv", "csf\tfd\n1\tn/a\n2\t0.5\n3\t0.25\n")
    ds = load(path, nuisance=["WM"], confounds=table, fill_first="zero")
    assert ds["roi"].values.tolist() == ["A", "B"]
    assert ds["confound"].values.tolist() == ["WM", "csf", "fd"]
    np.testing.assert_allclose(ds["confounds"], [[1.5, 1, 0], [0.5, 2, 0.5], [2.5, 3, 0.25]])
    with pytest.raises(DataError, match="first frame is missing in fd"):
        load(path, confounds=table)
    assert load(path, confounds=table, confound_columns=["csf"])["confound"].size == 1
    with pytest.raises(EmptySelectionError, match="no column 'WMM'"):
        load(path, nuisance=["WMM"])


def test_confounds_of_another_length(write):
    path = write("rest.csv", "A,B,C\n" + rows(","))
    with pytest.raises(TimebaseError, match="2 frames of confounds, 3 of the run"):
        load(path, confounds=write("c.tsv", "csf\n1\n2\n"))


def test_a_dropped_row_leaves_its_frame(write):
    path = write("rest.csv", "A,B\n1,2\n3\n5,6\n7,9\n")
    with pytest.raises(CorruptFileError, match="another number of cells"):
        load(path)
    with pytest.warns(DataQualityWarning, match="unequal rows: 1 dropped"):
        ds = load(path, on_bad="drop")
    np.testing.assert_array_equal(ds["bold"], [[1, 2], [np.nan] * 2, [5, 6], [7, 9]])


def test_repeated_names(write):
    path = write("rest.tsv", "A\tB\tA\n" + rows("\t"))
    with pytest.raises(DataError, match=r"same name(?s:.*)3 columns with 2 names"):
        load(path)
    with pytest.warns(DataQualityWarning, match="repeated columns: 1 kept"):
        assert load(path, on_bad="warn")["roi"].values.tolist() == ["A", "B", "A_2"]
    with pytest.warns(DataQualityWarning, match="repeated columns: 1 dropped"):
        assert load(path, on_bad="drop")["roi"].values.tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "text", "error", "match"),
    [
        ("a.tsv", rows("\t"), CorruptFileError, "no header"),
        ("a.tsv", "A\t\tC\n" + rows("\t"), CorruptFileError, "no header"),
        ("a.tsv", "A\tB\tC\n", EmptySelectionError, "no rows"),
        ("a.tsv", "A\tB\tC\n1\tx\t2\n", DataError, "holds text"),
        ("a.tsv", "A\tB\tC\n1\tinf\t2\n2\t3\t4\n", DataError, "infinite"),
        ("a.1D", "#1\t#2\n1\t2\n1\n", CorruptFileError, "another number of cells"),
        ("a.1D", "1 2\n1\n", CorruptFileError, "equal length"),
        ("a.1D", "1 2\n1 5@2\n", CorruptFileError, "equal length"),
        ("a.1D", "", CorruptFileError, "not a table"),
        ("sub-1_desc-confounds_timeseries.tsv", "csf\n1\n", UnsupportedFormatError,
         r"confounds, not regions(?s:.*)confounds=\.\.\."),
    ],
)  # fmt: skip
def test_faults(write, name, text, error, match):
    path = write(name, text)
    with pytest.raises(error, match=match):
        load(path)


def test_text_in_another_code(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"caf\xe9\tB\n1\t2\n")
    with pytest.raises(CorruptFileError, match=r"no text in UTF-8(?s:.*)0xe9"):
        load(tmp_path / "a.tsv")


def test_checking_lists_and_opening_waits(write):
    path = write("rest.tsv", "A\tB\tC\n1\tx\t2\n2\t3\t4\n")
    assert [f.code for f in check_roi_table(path, repetition_time=2.0)] == ["faulty_bold"]
    tree = open_roi_table(path, repetition_time=2.0)
    with pytest.raises(DataError, match="holds text"):
        tree["bold"]["bold"].load()
    flat = write("flat.tsv", "A\tB\n1\t2\n1\t3\n")
    assert [f.code for f in check_roi_table(flat, repetition_time=2.0)] == ["flat_rois"]


@pytest.mark.shared_data
def test_real_tables(shared_data):
    folder = shared_data / "fmri_abide1_cc200"
    path = folder / "NYU_0050952_rois_cc200.1D"
    ds = load(path, rois=folder / "cc200_rois.tsv")
    assert ds["bold"].shape == (176, 200)
    raw = np.loadtxt(path)
    constant = (raw == raw[0]).all(axis=0)
    np.testing.assert_allclose(ds["bold"].values[:, ~constant], raw[:, ~constant], rtol=1e-6)
    folder = shared_data / "fmri_rest_schaefer100"
    ds = load_roi_table(
        folder / "timeseries.tsv",
        rois=folder / "rois.tsv",
        confounds=folder / "confounds.tsv",
        fill_first="zero",
    )["bold"]
    assert ds.attrs["repetition_time"] == 2.0
    assert ds["roi"].values[0] == "7Networks_LH_Vis_1"
    assert ds["confounds"].shape == (150, 15)
    ds = load(shared_data / "nitime_fmri" / "fmri_timeseries.csv", nuisance=["WM", "Vent", "Brain"])
    assert ds["bold"].shape == (250, 28)
