"""Every damaged CIFTI series or table of regions gets its stated outcome; the twins load clean."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass, field

import cifti_files as files
import numpy as np
import pytest

from neurodyn import recording
from neurodyn.errors import (
    CiftiError,
    CorruptFileError,
    DataError,
    NeurodynError,
    TimebaseError,
    UnitScaleError,
)
from neurodyn.io.cifti import check_cifti, load_cifti
from neurodyn.io.roi_tables import check_roi_table, load_roi_table


@dataclass(frozen=True)
class Row:
    """A damage, and the error that it leads to by default."""

    id: str
    damage: object
    error: type
    what: str
    found: str
    expected: str
    hint: str
    options: dict = field(default_factory=dict)


WITH_CONFOUNDS = {"confounds": files.CONFOUNDS}

CIFTI = [
    Row("I15-swapped", files.swapped, CiftiError, r"file has other axes \(at .*dtseries\.nii\)",
        r"\(brain models, series\), swapped", r"\(series, brain models\)", "time along the rows"),
    Row("I15-parcels", files.transposed_parcels, CiftiError, "file has other axes",
        r"\(parcels, series\), swapped", r"\(series, parcels\)", "time along the rows"),
    Row("I15-scalars", files.scalars, CiftiError, "file has other axes",
        r"\(scalars, brain models\)", r"\(series, brain models\)", ""),
    Row("I15-columns", files.wrong_columns, CiftiError, "axes of the file do not fit its numbers",
        r"shape \(8, 11\)", r"\(8, 12\) for the axes \(series, brain models\)", "write the file"),
    Row("I15-volume", files.volume_only, CiftiError, "file holds no surface",
        "voxels only, of THALAMUS_LEFT", "vertices of the cortex", "as NIfTI"),
    Row("I15-nifti", files.renamed_nifti, CiftiError, "file is no CIFTI-2 file",
        r"Nifti1Image of shape \(3, 3, 3, 4\)", r"\(series, brain models\)", r"ending \.nii"),
    Row("I15-unit", files.hertz, CiftiError, "series of the file is no time",
        r"unit HERTZ, step 0\.72", "SECOND", "seconds"),
    Row("I06-zero", files.step(0.0), TimebaseError, "repetition time is unknown",
        "0 in the header", "RepetitionTime", "repetition_time="),
    Row("I06-disagree", files.step(0.72, 2.0), TimebaseError, "disagree about the repetition time",
        r"header 0\.72 s, sidecar 2 s", "same within 1 ms", "repetition_time="),
    Row("I07", files.step(720.0), UnitScaleError, "hardly one of seconds",
        r"header 720; as milliseconds it were 0\.72 s", "at most 60", "repetition_time="),
    Row("I07-disagree", files.step(720.0, 2.0), TimebaseError, "disagree",
        "header 720 s, sidecar 2 s", "same within 1 ms", "repetition_time="),
    Row("F01-cut", files.cut_off, CorruptFileError, "damaged or was cut off",
        r"Expected \d+ bytes, got \d+ bytes", "all the numbers", "again"),
    Row("F01-empty", files.emptied, CorruptFileError, "CIFTI file cannot be read",
        "an empty file", "a complete CIFTI-2 file", "again"),
    Row("F01-text", files.text, CorruptFileError, "CIFTI file cannot be read", "", "CIFTI-2",
        "again"),
    Row("F01-folder", files.folder, CorruptFileError, "CIFTI file cannot be read", "a folder",
        "CIFTI-2", "again"),
]  # fmt: skip

TABLES = [
    Row("I06-missing", files.sidecar(None), TimebaseError,
        r"repetition time is unknown \(at .*timeseries\.tsv\)", "no header", "RepetitionTime",
        "repetition_time="),
    Row("I06-zero", files.sidecar(0.0), TimebaseError, "repetition time is impossible",
        r"sidecar 0\.0", "above 0", "repetition_time="),
    Row("I06-nan", files.sidecar(float("nan")), TimebaseError, "repetition time is impossible",
        "sidecar nan", "above 0", "repetition_time="),
    Row("I07", files.sidecar(720), UnitScaleError, "hardly one of seconds",
        r"sidecar 720; as milliseconds it were 0\.72 s", "at most 60", "repetition_time="),
    Row("I09-length", files.confounds(lambda lines: lines[:-1]), TimebaseError,
        r"confounds and run have different lengths \(at .*timeseries\.tsv\)",
        "7 frames of confounds, 8 of the run", "one row for each frame", "never cut off",
        WITH_CONFOUNDS),
    Row("I09-first", files.confounds(lambda lines: [lines[0], "1\tn/a", *lines[2:]]), DataError,
        r"confounds are not finite \(at .*confounds\.tsv\)", "first frame is missing in fd",
        "a number in every frame", "fill_first='zero'", WITH_CONFOUNDS),
    Row("I09-later", files.confounds(lambda lines: [*lines[:3], "n/a\t1", *lines[4:]]), DataError,
        "confounds are not finite", "other frames are not finite in csf", "every frame",
        "confound_columns=", WITH_CONFOUNDS),
    Row("F01-header", files.table_lines(lambda lines: lines[1:]), CorruptFileError,
        "table has no header", r"\d", "names or labels", "add a line of names"),
    Row("F01-row", files.table_lines(lambda lines: [*lines[:4], "1.0", *lines[5:]]),
        CorruptFileError, r"another number of cells than the header \(at .*line 5\)", "1 cells",
        "2 cells", "on_bad='drop'"),
    Row("F01-empty", files.emptied, CorruptFileError, "not a table", "an empty file", "a table",
        "again"),
    Row("F01-folder", files.folder, CorruptFileError, "not a table", "a folder", "a table",
        "again"),
]  # fmt: skip


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins")
    files.undamaged(folder)
    return folder


@pytest.fixture
def copies(twins, tmp_path):
    return shutil.copytree(twins, tmp_path / "run")


def pattern(row):
    hint = f"to go on: .*{row.hint}" if row.hint else ""
    return f"(?s){row.what}.*found: .*{row.found}.*expected: .*{row.expected}.*{hint}"


def options_of(row, folder):
    return {name: folder / value for name, value in row.options.items()}


def test_twins_load_without_a_warning(twins):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        series = load_cifti(twins / files.RUN, dlabel=twins / files.ATLAS)
        table = load_roi_table(twins / files.TABLE, confounds=twins / files.CONFOUNDS)
    for tree in (series, table):
        ds = tree["bold"].to_dataset()
        recording.validate(ds)
        assert ds["roi"].values.tolist() == ["L_V1", "R_V1"]
        assert ds.attrs["repetition_time"] == files.STEP
        assert "quality" not in ds.attrs
    np.testing.assert_allclose(series["bold"]["bold"], table["bold"]["bold"], rtol=1e-6)
    assert check_cifti(twins / files.RUN, dlabel=twins / files.ATLAS) == []
    assert check_roi_table(twins / files.TABLE) == []


@pytest.mark.parametrize("row", CIFTI, ids=lambda row: row.id)
def test_series(copies, row):
    path = copies / files.RUN
    row.damage(path)
    with pytest.raises(row.error, match=pattern(row)):
        load_cifti(path, dlabel=copies / files.ATLAS, **options_of(row, copies))


@pytest.mark.parametrize("row", TABLES, ids=lambda row: row.id)
def test_tables(copies, row):
    path = copies / files.TABLE
    row.damage(path)
    with pytest.raises(row.error, match=pattern(row)):
        load_roi_table(path, **options_of(row, copies))


@pytest.mark.parametrize(("load", "name"), [(load_cifti, files.RUN), (load_roi_table, files.TABLE)])
def test_a_missing_path_is_no_file(copies, load, name):
    (copies / name).unlink()
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(copies / name)


@pytest.mark.parametrize(
    ("damage", "options"),
    [
        (files.step(0.0, 0.72), {}),
        (files.step(720.0, 0.72), {}),
        (files.step(0.7206, 0.72), {}),
        (files.step(2.0, 3.0), {"repetition_time": 0.72}),
    ],
)
def test_what_settles_the_clock_of_a_series(copies, damage, options):
    damage(copies / files.RUN)
    ds = load_cifti(copies / files.RUN, dlabel=copies / files.ATLAS, **options)["bold"]
    assert ds.attrs["repetition_time"] == files.STEP


def test_what_fills_a_first_frame(copies):
    files.confounds(lambda lines: [lines[0], "1\tn/a", *lines[2:]])(copies / files.TABLE)
    table = copies / files.CONFOUNDS
    ds = load_roi_table(copies / files.TABLE, confounds=table, fill_first="zero")["bold"]
    assert ds["confounds"].sel(confound="fd").values[0] == 0.0


@pytest.mark.parametrize("row", [*CIFTI, *TABLES], ids=lambda row: row.id)
def test_checking_tells_the_same_fault(copies, row):
    is_series = row in CIFTI
    path = copies / (files.RUN if is_series else files.TABLE)
    row.damage(path)
    check = check_cifti if is_series else check_roi_table
    assert type(first_error(check, path, options_of(row, copies))) is row.error


def first_error(check, path, options):
    """Return what checking lists, or what it raises if the file as a whole cannot be read."""
    try:
        return check(path, **options)[0].error
    except NeurodynError as error:
        return error
