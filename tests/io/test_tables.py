"""Tables of traces: what is read exactly, every damage with its undamaged twin."""

from __future__ import annotations

import csv
import gzip
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import neurodyn as nd
from neurodyn import io, recording
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    FileError,
    NeurodynError,
    SizeBudgetError,
    TimebaseError,
)
from neurodyn.io import doctor
from neurodyn.io.limits import limited

TWIN = "time_s,AVAL,AVAR\n0.0,1.5,-2\n0.5,2.5,3e-1\n1.0,0,4\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="worm.csv"):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.mark.parametrize("name", ["worm.csv", "worm.csv.gz", "worm.tsv", "WORM.TSV.GZ"])
def test_undamaged_tables_are_read_without_a_warning(name, write):
    text = TWIN.replace(",", "\t") if "tsv" in name.lower() else TWIN
    path = write(text, name.replace(".GZ", ".gz"))
    tree = io.load(path)
    signal = tree["signal"].to_dataset()
    assert signal["signal"].dims == ("time", "roi")
    assert signal["roi"].values.tolist() == ["AVAL", "AVAR"]
    assert signal["signal"].values.tolist() == [[1.5, -2.0], [2.5, 0.3], [0.0, 4.0]]
    assert signal["time"].values.tolist() == [0.0, 0.5, 1.0]
    assert signal.attrs["sampling_rate"] == 2.0
    assert "quality" not in signal.attrs
    assert doctor.check(path) == []
    assert recording.faults(tree) == []


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + TWIN,
        TWIN.replace("\n", "\r\n"),
        TWIN.replace("\n", "\r"),
        TWIN.rstrip("\n"),
        TWIN + "\n\n \n",
        TWIN.replace(",", " , "),
        '"time_s","AVAL","AVAR"\n"0.0","1.5","-2"\n0.5,2.5,3e-1\n1.0,0,4\n',
        TWIN.replace("time_s", "Time"),
        TWIN.replace("time_s", "t"),
    ],
    ids=["mark", "windows", "old-mac", "no-end", "empty-end", "spaces", "quoted", "Time", "t"],
)
def test_ways_of_writing_the_same(text, write):
    signal = io.load(write(text))["signal"]
    assert signal["roi"].values.tolist() == ["AVAL", "AVAR"]
    assert signal["signal"].values.tolist() == [[1.5, -2.0], [2.5, 0.3], [0.0, 4.0]]


def test_missing_cells_are_nan_and_counted(write):
    path = write("t,a,b,c\n0,1,,NaN\n1,nan,2,\n2, ,3,\n")
    signal = io.load(path)["signal"]
    expected = [[1, np.nan, np.nan], [np.nan, 2, np.nan], [np.nan, 3, np.nan]]
    np.testing.assert_array_equal(signal["signal"], expected)
    assert signal.attrs["quality"] == {"empty_traces": 1, "nan_samples": 3}
    assert {f.code: f.severity for f in doctor.check(path)} == {
        "empty_traces": "warning",
        "nan_samples": "note",
    }


def test_a_row_of_nothing_but_a_time_in_tabs(write):
    signal = io.load(write("t\ta\n0\t1\n1\t\n\n", "a.tsv"))["signal"]
    assert signal.sizes["time"] == 2
    with pytest.raises(CorruptFileError, match=r"(?s)line 3\).*0 cells"):
        io.load(write("t\ta\n0\t1\n\n1\t2\n", "a.tsv"))


# ----------------------------------------------------------------------------------------------


def test_clocks(write):
    frames = "frame,a,b\n10,1,2\n11,3,4\n12,1,1\n14,5,6\n"
    signal = io.load(write(frames), sampling_rate=4.0)["signal"]
    assert signal["time"].values.tolist() == [2.5, 2.75, 3.0, 3.5]
    assert "sampling_rate" not in signal.attrs
    assert signal.attrs["quality"] == {"gaps": 1}
    counted = io.load(write(frames))["signal"]
    assert counted["time"].values.tolist() == [10.0, 11.0, 12.0, 14.0]
    assert counted["time"].attrs["units"] == "frame"
    assert "sampling_rate=" in counted.attrs["frame_rate"]
    assert counted.attrs["quality"]["unknown_frame_rate"] == 1
    assert "unknown_frame_rate" in [fault.code for fault in doctor.check(write(frames))]
    signal = io.load(write("a,b\n1,2\n3,4\n"), sampling_rate=10.0)["signal"]
    assert signal["roi"].values.tolist() == ["a", "b"]
    assert signal["time"].values.tolist() == [0.0, 0.1]
    signal = io.load(write("a,when,b\n1,0,2\n3,2,4\n"), time="when")["signal"]
    assert signal["roi"].values.tolist() == ["a", "b"]
    assert signal.attrs["sampling_rate"] == 0.5
    assert "sampling_rate" not in io.load(write("t,a\n5,1\n"))["signal"].attrs


@pytest.mark.parametrize(("off", "regular"), [(0.0, True), (9e-7, True), (3e-6, False)])
def test_a_clock_is_regular_within_a_millionth(off, regular, write):
    time = np.arange(20) / 4
    time[7] += off
    text = "t,a\n" + "".join(f"{t!r},1\n" for t in time.tolist())
    signal = io.load(write(text))["signal"]
    assert ("sampling_rate" in signal.attrs) == regular
    np.testing.assert_array_equal(signal["time"], time)


def test_options_that_do_not_fit(write):
    path = write(TWIN)
    for options, kind, message in [
        ({"sampling_rate": 4.0}, ConfigError, r"(?s)two clocks.*'time_s' and sampling_rate=4"),
        ({"sampling_rate": -1.0}, ConfigError, "sampling_rate must be positive"),
        ({"time": "time"}, EmptySelectionError, r"(?s)no column 'time'.*did you mean 'time_s'"),
        ({"select": "trials"}, NeurodynError, "file has no trials"),
    ]:
        with pytest.raises(kind, match=message):
            io.load(path, **options)
    message = r"(?s)no column of times.*first column 'neuron'.*time_s, t \[s\] or frame.*time="
    with pytest.raises(DataError, match=message):
        io.open(write("neuron,a\n1,2\n"))


# ----------------------------------------------------------------------------------------------

REFUSED = {
    "ragged-short": (
        TWIN.replace("0.5,2.5,3e-1", "0.5,2.5"), CorruptFileError,
        r"another number of cells than the header \(at .*, line 3\).*2 cells.*3 cells.*drop"),
    "ragged-long": (
        TWIN.replace("0.5,2.5,3e-1", "0.5,2.5,1,2"), CorruptFileError, r"line 3\).*4 cells"),
    "empty-line": (
        TWIN.replace("0.5,2.5,3e-1\n", "\n0.5,2.5,3e-1\n"), CorruptFileError,
        r"line 3\).*0 cells"),
    "text": (
        TWIN.replace("3e-1", "high"), DataError,
        r"holds text \(at .*, line 3, column 'AVAR'\).*found: 'high'.*makes such cells NaN"),
    "decimal-comma": (
        TWIN.replace("3e-1", '"0,3"'), DataError, r"line 3, column 'AVAR'\).*'0,3'.*point"),
    "underscore": (TWIN.replace("2.5", "2_5"), DataError, r"line 3, column 'AVAL'.*'2_5'"),
    "digits": (TWIN.replace("2.5", "٢"), DataError, r"line 3, column 'AVAL'"),
    "logical": (TWIN.replace("2.5", "True"), DataError, r"'True'"),
    "missing-word": (TWIN.replace("2.5", "NA"), DataError, r"'NA'"),
    "hexadecimal": (TWIN.replace("2.5", "0x10"), DataError, r"'0x10'"),
    "control": (TWIN.replace("2.5", "\x1b[2J"), DataError, r"'\\\\x1b\[2J'"),
    "infinite": (
        TWIN.replace("2.5", "-inf"), DataError,
        r"samples are infinite \(at .*, column 'AVAL'\).*1 infinite samples in 1 of 2"),
    "same-name": (
        TWIN.replace("AVAR", "AVAL"), DataError,
        r"columns have the same name \(at .*, column 'AVAL'\).*found: 1 such column"),
    "no-name": (
        TWIN.replace("AVAR", ""), DataError, r"columns have no name \(at .*, column 3\)"),
    "backwards": (
        TWIN.replace("1.0,0", "0.25,0"), TimebaseError,
        r"times do not increase \(at .*, line 4\).*0.25 s after 0.5 s \(1 such"),
    "standing": (TWIN.replace("1.0,0", "0.5,0"), TimebaseError, r"line 4\).*0.5 s after 0.5 s"),
    "no-time": (
        TWIN.replace("0.5,2.5", ",2.5"), TimebaseError,
        r"times are not finite \(at .*, line 3\).*1 of 3 are empty"),
    "no-rows": ("time_s,AVAL,AVAR\n", EmptySelectionError, r"table has no rows"),
}  # fmt: skip
UNREADABLE = {
    "empty": (b"", r"not a table .*an empty file"),
    "no-header": ("0.0,1.5,2\n0.5,2,3\n", r"has no header .*'0.0,1.5,2'.*names of columns"),
    "blank-header": ("\n1,2\n", r"has no header"),
    "no-delimiter": ("time;a;b\n0;1;2\n", r"one column only .*separated by semicolons.*commas"),
    "tabs-in-csv": ("time\ta\n0\t1\n", r"one column only .*separated by tabs"),
    "latin": ("time,größe\n0,1\n".encode("latin-1"), r"no text in UTF-8 .*byte 0xf6"),
    "binary": (bytes(range(256)), r"no text in UTF-8|has no header"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_damage_is_refused(name, write):
    text, kind, message = REFUSED[name]
    path = write(text)
    with pytest.raises(kind, match=f"(?s){message}") as caught:
        io.load(path)
    parts = r".+ \(at .+\)\.\n  found: .+\n  expected: .+(\n  to go on: .+)?"
    assert re.fullmatch(parts, str(caught.value), re.DOTALL), str(caught.value)
    assert doctor.check(path)[0].severity == "error"
    if name != "infinite":
        lazy = io.open(path)
        assert lazy["signal"].attrs["fault"]
        with pytest.raises(kind):
            _ = lazy["signal"]["signal"].values
    with pytest.raises(NeurodynError):
        io.load(path, on_bad="fix")


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_table_is_refused_when_opened(name, write):
    data, message = UNREADABLE[name]
    path = write(data)
    for read in (io.open, io.load):
        with pytest.raises(CorruptFileError, match=f"(?s){message}") as caught:
            read(path)
        parts = r".+ \(at .+\)\.\n  found: .+\n  expected: .+\n  to go on: .+"
        assert re.fullmatch(parts, str(caught.value), re.DOTALL), str(caught.value)
    assert [fault.code for fault in doctor.check(path)] == ["unreadable_file"]


@pytest.mark.parametrize(
    ("name", "cause", "expected"),
    [
        ("ragged-short", "unequal rows", [[1.5, -2.0], [0.0, 4.0]]),
        ("empty-line", "unequal rows", [[1.5, -2.0], [2.5, 0.3], [0.0, 4.0]]),
        ("text", "cells of text", [[1.5, -2.0], [2.5, np.nan], [0.0, 4.0]]),
        ("infinite", "infinite samples", [[1.5, -2.0], [np.nan, 0.3], [0.0, 4.0]]),
        ("same-name", "repeated columns", [[1.5], [2.5], [0.0]]),
        ("no-name", "unnamed columns", [[1.5], [2.5], [0.0]]),
    ],
)
def test_drop_leaves_out_the_smallest_thing(name, cause, expected, write):
    path = write(REFUSED[name][0])
    with pytest.warns(DataQualityWarning, match=f"{cause}: 1 dropped"):
        signal = io.load(path, on_bad="drop")["signal"]
    np.testing.assert_array_equal(signal["signal"], expected)
    assert signal.attrs["quality"][f"{cause.replace(' ', '_')}_dropped"] == 1


def test_a_row_whose_time_is_text_is_dropped(write):
    path = write(TWIN.replace("0.5,2.5", "later,2.5"))
    with pytest.warns(DataQualityWarning, match="cells of text: 1 dropped"):
        signal = io.load(path, on_bad="drop")["signal"]
    assert signal["time"].values.tolist() == [0.0, 1.0]


def test_warn_keeps_what_can_be_kept(write):
    with pytest.warns(DataQualityWarning, match="repeated columns: 1 kept"):
        signal = io.load(write(REFUSED["same-name"][0]), on_bad="warn")["signal"]
    assert signal["roi"].values.tolist() == ["AVAL", "AVAL_2"]
    with pytest.warns(DataQualityWarning, match="infinite samples: 1 kept"):
        signal = io.load(write(REFUSED["infinite"][0]), on_bad="warn")["signal"]
    assert signal["signal"][1, 0].item() == -np.inf
    with pytest.warns(DataQualityWarning, match="faulty signal: 1 kept"):
        assert io.load(write(REFUSED["backwards"][0]), on_bad="warn")["signal"].attrs["fault"]
    with pytest.warns(DataQualityWarning, match="faulty signal: 1 dropped"):
        assert not io.load(write(REFUSED["backwards"][0]), on_bad="drop").children


def test_damaged_compression(write):
    path = write(TWIN * 50, "a.csv.gz")
    data = path.read_bytes()
    for bad in (data[:-4], data[: len(data) // 2], data[:-8] + bytes(4) + data[-4:]):
        path.write_bytes(bad)
        with pytest.raises(CorruptFileError, match=r"(?s)compressed table is damaged"):
            io.open(path)


def test_tables_within_the_budget(write, tmp_path, monkeypatch):
    text = "t,a\n" + "".join(f"{i},0\n" for i in range(30_000))
    path = write(text, "a.csv.gz")
    assert io.load(path)["signal"].sizes["time"] == 30_000
    with limited(memory="100 kB"), pytest.raises(SizeBudgetError, match="larger than the memory"):
        io.open(path)
    monkeypatch.setattr("neurodyn.io.limits.RATIO_FREE_BYTES", 100_000)
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(b"t,a\n" + b"0,0\n" * 100_000))
    assert io.load(path)["signal"].sizes["time"] == 30_000
    with pytest.raises(SizeBudgetError, match=r"(?s)expand suspiciously far.*ratio"):
        io.open(bomb)
    monkeypatch.setattr("neurodyn.io.table_text.LONGEST_LINE", 1000)
    with pytest.raises(CorruptFileError, match="a line of more than 1000 characters"):
        io.open(write("t," + "a" * 2000))


def test_file_that_changes_while_it_is_read(write, monkeypatch):
    path = write(TWIN)
    loadtxt = np.loadtxt

    def slowly(*args, **settings):
        path.write_text(TWIN + "1.5,1,1\n")
        return loadtxt(*args, **settings)

    monkeypatch.setattr(np, "loadtxt", slowly)
    with pytest.raises(FileError, match="changed while it was being read"):
        io.load(path)


# ----------------------------------------------------------------------------------------------

finite = st.floats(allow_infinity=False, allow_subnormal=True)


@settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    values=hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=finite),
    empty=st.booleans(),
    quoted=st.booleans(),
    step=st.floats(1e-3, 1e3),
)
def test_every_number_is_read_exactly(values, empty, quoted, step, tmp_path):
    names = [f"cell {i}, µ" if quoted else f"c{i}" for i in range(values.shape[1])]
    frame = pd.DataFrame(values, columns=names)
    frame.insert(0, "time", 0.1 + step * np.arange(len(frame)))
    path = tmp_path / "a.csv.gz"
    frame.to_csv(path, index=False, na_rep="" if empty else "NaN")
    signal = io.load(path)["signal"].to_dataset()
    np.testing.assert_array_equal(signal["signal"], values)
    assert signal["roi"].values.tolist() == names
    np.testing.assert_array_equal(signal["time"], frame["time"])


@pytest.mark.shared_data
def test_real_worm_keeps_its_true_times(shared_data):
    path = shared_data / "celegans_wormwideweb_1worm" / "traces_z.csv.gz"
    signal = io.load(path)["signal"].to_dataset()
    with gzip.open(path, "rt") as file:
        header, *rows = csv.reader(file)
    oracle = np.array(rows, dtype=object).astype(float)
    assert (signal.sizes["time"], signal.sizes["roi"]) == (1600, 98)
    np.testing.assert_array_equal(signal["signal"], oracle[:, 1:])
    np.testing.assert_array_equal(signal["time"], oracle[:, 0])
    assert ["time_s", *signal["roi"].values.tolist()] == header
    assert "sampling_rate" not in signal.attrs
    assert "quality" not in signal.attrs
    assert np.median(np.diff(signal["time"])) == pytest.approx(0.6, abs=1e-3)
    left, right = (signal["signal"].sel(roi=f"AVA{side}").values for side in "LR")
    assert np.corrcoef(left, right)[0, 1] == pytest.approx(0.97, abs=0.01)


@pytest.mark.shared_data
def test_a_matrix_is_no_table_of_traces(shared_data):
    folder = shared_data / "celegans_wormwideweb_1worm"
    with pytest.raises(DataError, match=r"(?s)no column of times.*'Cols'"):
        io.open(folder / "cook2019_gapjn.csv")


def test_conversion(write, tmp_path):
    path = write(TWIN)
    for name in ("a.nc", "a.nwb"):
        signal = io.load(nd.convert(path, tmp_path / name))["signal"]
        assert signal["roi"].values.tolist() == ["AVAL", "AVAR"]
        assert signal["signal"].values.tolist() == [[1.5, -2.0], [2.5, 0.3], [0.0, 4.0]]
