"""Every damaged input of the spike, unit, clock and trial tables gets its stated outcome.

Each row damages a copy of one undamaged file; the twin itself must load without any warning,
and so must the neighbours of whatever is damaged. An error is checked for its four parts: what
and where, found, expected, to go on.

Rows about what transforms and windows do with valid data are tested there: S17 (late float32
times) and S18 (impossible bins), the windows of T05 (gaps), the splits of T11 (overlapping
trials), T12 (trials outside the recording), T14 (constant channels), T15 and T16 (alignment of
arrays). F rows about HDF5 itself are tested with the one function that opens HDF5 files.
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass

import conformance_files as files
import h5py
import numpy as np
import pytest

from neurodyn import io, recording
from neurodyn.errors import (
    CorruptFileError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    SpikeTimesError,
    TimebaseError,
    TrialTableError,
    UnitScaleError,
    UnsupportedFormatError,
)
from neurodyn.io import doctor
from neurodyn.io.nwb import container

OTHERS = {"spikes": "trials", "trials": "spikes", "behavior/hand": "spikes", "signal": "spikes"}


@dataclass(frozen=True)
class Row:
    """A damage, and the error that it leads to by default."""

    id: str
    damage: object
    child: str
    error: type
    what: str
    found: str
    expected: str
    hint: str


REFUSED = [
    Row("S01", files.change_times(files.swapped), "spikes", SpikeTimesError,
        r"spike times are not sorted \(at .*/units, unit 7, spike 12\)",
        r"1 drop, the largest of [\d.]+ s", "never decrease", "on_bad='fix' sorts"),
    Row("S01-descending", files.change_times(files.descending), "spikes", SpikeTimesError,
        r"not sorted \(at .*unit 7, spike 1\)", "199 drops", "never decrease", "on_bad='fix'"),
    Row("S02", files.change_times(files.restarted), "spikes", SpikeTimesError,
        r"sorted; possible concatenated recordings \(one drop of 9\d.* s\) \(at .*unit 8, spike",
        "1 drop", "never decrease", "split the recordings.*on_bad='drop'"),
    Row("S04", files.change_times(files.with_nan), "spikes", SpikeTimesError,
        r"spike times are not finite \(at .*/units, unit 7, spike 5\)",
        "3 NaN of 200 in unit 7", "finite times", "on_bad='drop'"),
    Row("S05", files.change_times(files.with_infinity), "spikes", SpikeTimesError,
        r"not finite \(at .*unit 9, spike 0\)", "2 infinite of 200 in unit 9", "finite times",
        "on_bad='drop'"),
    Row("S06-outside", files.change_times(files.far_before_session), "spikes", SpikeTimesError,
        r"before the session \(at .*unit 7\)", "1 spikes, the first at -500 s",
        "from -100 s on", "on_bad='drop'"),
    Row("S07", files.change_times(files.as_samples), "spikes", UnitScaleError,
        r"look like sample indices, not seconds \(at .*/units\)",
        r"whole numbers up to 2.99.*e\+06.*session ends at 100 s", "seconds",
        "spike_time_unit='samples', sampling_rate=30000"),
    Row("S08", files.change_times(files.as_milliseconds), "spikes", UnitScaleError,
        r"look like milliseconds, not seconds \(at .*/units\)",
        r"times up to 99\d+.*median rate 0.002\d* Hz.*session ends at 100 s", "seconds",
        "spike_time_unit='ms'"),
    Row("S10-empty", files.all_units_empty, "spikes", EmptySelectionError,
        r"file has no spikes \(at .*/units\)", "3 units, 0 spikes; groups present: .*units",
        "at least one spike", "load"),
    Row("S13", files.index_to([200, 400, 999]), "spikes", CorruptFileError,
        r"index of column 'spike_times' does not fit.*/units/spike_times_index",
        "index 999 > 600", "3 ends that never decrease, up to 600", "must be written again"),
    Row("S14", files.index_to([400, 200, 600]), "spikes", CorruptFileError,
        "index of column 'spike_times' does not fit", "index falls to 200 at row 1",
        "never decrease", "must be written again"),
    Row("S14-trailing", files.index_to([200, 300, 400]), "spikes", CorruptFileError,
        "index of column 'spike_times' does not fit", "200 values belong to no row",
        "up to 600", "must be written again"),
    Row("S15", files.missing("units/spike_times_index"), "spikes", CorruptFileError,
        r"table /units lacks its column 'spike_times_index' \(at .*:/units\)",
        "colnames|id, .*spike_times", "a dataset 'spike_times_index'", "on_bad='drop'"),
    Row("S15-column", files.missing("units/quality"), "spikes", CorruptFileError,
        "table /units lacks its column 'quality'", "obs_intervals", "a dataset 'quality'",
        "on_bad='drop' leaves the column out"),
    Row("T01", files.change_stamps(lambda stamps: stamps[:8]), "behavior/hand", TimebaseError,
        r"different lengths \(at .*/processing/behavior/hand\)",
        r"50 samples of data, timestamps of shape \(8,\)", "one timestamp for each sample", "load"),
    Row("T02", files.change_stamps(files.step_back), "behavior/hand", TimebaseError,
        r"timestamps do not increase \(at .*hand/timestamps, sample 21\)",
        "a jump of -[\\d.]+ s", "increase from sample to sample", "never guessed"),
    Row("T03", files.change_stamps(files.nan_stamp), "behavior/hand", TimebaseError,
        r"timestamps are not finite \(at .*sample 7\)", "1 of 50", "finite times", "load"),
    Row("T07", files.transposed, "signal", TimebaseError,
        r"transposed \(at .*/acquisition/raw/data\)",
        r"shape \(4, 1000\) with 4 electrodes", r"\(time, channel\)", "on_bad='fix' swaps"),
    Row("T10", files.trial(3, stop_time=12.0), "trials", TrialTableError,
        r"trials end before or as they start \(at .*/intervals/trials, trial 3\)",
        "1 of 10 rows: 30 to 12 s", "start < stop", "on_bad='drop'"),
    Row("T10-nan", files.trial(4, stop_time=np.nan), "trials", TrialTableError,
        r"trial 4\)", "1 of 10 rows: 40 to nan s", "finite start < stop", "on_bad='drop'"),
    Row("T10-zero", files.trial(5, stop_time=50.0), "trials", TrialTableError,
        r"trial 5\)", "50 to 50 s", "start < stop", "on_bad='drop'"),
    Row("C5-no-clock", files.missing(f"{files.HAND}/timestamps"), "behavior/hand", TimebaseError,
        r"has no clock \(at .*hand\)", "data", "timestamps, or starting_time with a rate", "load"),
    Row("C5-rate-zero", files.attribute("acquisition/raw/starting_time", "rate", 0.0), "signal",
        TimebaseError, "clock of a time series is impossible", "rate 0.0 Hz", "above 0 Hz", "load"),
    Row("C5-conversion", files.attribute("acquisition/raw/data", "conversion", np.nan), "signal",
        DataError, "conversion of a time series is impossible", "conversion nan", "finite", "load"),
    Row("C5-no-data", files.missing("acquisition/raw/data"), "signal", CorruptFileError,
        r"time series has no data \(at .*/acquisition/raw\)", "electrodes", "'data'", "load"),
]  # fmt: skip


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return files.undamaged(tmp_path_factory.mktemp("twin") / "session.nwb")


@pytest.fixture
def damaged(twin, tmp_path):
    def copy(*damages):
        path = tmp_path / "session.nwb"
        shutil.copy(twin, path)
        with h5py.File(path, "r+") as file:
            for damage in damages:
                damage(file)
        return path

    return copy


def pattern(row: Row) -> str:
    parts = (f"found: .*{row.found}", f"expected: .*{row.expected}", f"to go on: .*{row.hint}")
    return f"(?s){row.what}.*" + ".*".join(parts)


def touch(tree, child):
    kind, _, name = child.partition("/")
    recording.pick(tree, kind, name or None).load()


def test_twin_loads_without_warning(twin):
    tree = io.load(twin)
    assert recording.faults(tree) == []
    assert not any("quality" in node.attrs for node in tree.subtree)
    assert [fault.code for fault in doctor.check(twin)] == ["not_read"]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_conformance(row, damaged):
    path = damaged(row.damage)
    with pytest.raises(row.error, match=pattern(row)):
        io.load(path, select=row.child)
    # the rest of the file is not affected, and the file as a whole opens
    other = OTHERS[row.child]
    assert recording.faults(io.load(path, select=other)) == []
    tree = io.open(path)
    touch(tree, other)
    with pytest.raises(row.error):
        touch(tree, row.child)
    faults = [fault for fault in doctor.check(path) if fault.severity == "error"]
    assert len(faults) == 1
    assert faults[0].where
    tree.close()


def loaded(path, cause, **options):
    """Load with a policy that settles the fault; exactly one warning tells of it."""
    with pytest.warns(DataQualityWarning, match=cause) as caught:
        tree = io.load(path, **options)
    assert len(caught) == 1
    return tree


def test_s01_fix_sorts_and_counts(damaged, twin):
    path = damaged(files.change_times(files.swapped))
    fixed = loaded(path, "unsorted spikes: 1 fixed", on_bad="fix")["spikes"]
    assert fixed.attrs["quality"] == {"unsorted_spikes_fixed": 1}
    expected = io.load(twin)["spikes"]["spike_time"].values
    np.testing.assert_array_equal(fixed["spike_time"].values, expected)


def test_s01_drop_leaves_the_unit_out(damaged):
    path = damaged(files.change_times(files.swapped))
    spikes = loaded(path, "unsorted spikes: 1 dropped", on_bad="drop")["spikes"].to_dataset()
    assert spikes["unit"].values.tolist() == ["8", "9"]
    assert recording.faults(spikes) == []
    assert spikes["obs_row_size"].values.tolist() == [1, 1]


def test_s02_is_never_sorted(damaged):
    path = damaged(files.change_times(files.restarted))
    with pytest.raises(SpikeTimesError, match="concatenated"):
        io.load(path, on_bad="fix")
    kept = loaded(path, "restarting spikes: 1 kept", on_bad="warn")["spikes"]
    assert (np.diff(kept["spike_time"].values[200:400]) < 0).sum() == 1
    dropped = loaded(path, "restarting spikes", on_bad="drop")["spikes"]
    assert dropped["unit"].values.tolist() == ["7", "9"]


def test_s03_duplicates_are_counted_or_dropped(damaged):
    path = damaged(files.change_times(files.duplicated))
    assert io.load(path)["spikes"].attrs["quality"] == {"duplicate_spikes": 3}
    dropped = loaded(path, "duplicate spikes: 3 dropped", duplicates="drop")["spikes"]
    assert dropped["row_size"].values.tolist() == [197, 200, 200]
    assert [fault.code for fault in doctor.check(path)] == ["not_read", "duplicate_spikes"]


@pytest.mark.parametrize(
    ("change", "n", "row_size"),
    [(files.with_nan, 3, [197, 200, 200]), (files.with_infinity, 2, [200, 200, 198])],
)
def test_s04_s05_drop_counts_spikes(damaged, change, n, row_size):
    path = damaged(files.change_times(change))
    with pytest.raises(SpikeTimesError):
        io.load(path, on_bad="fix")
    spikes = loaded(path, f"non finite spikes: {n} dropped", on_bad="drop")["spikes"]
    assert spikes["row_size"].values.tolist() == row_size
    assert np.isfinite(spikes["spike_time"].values).all()
    assert spikes.attrs["quality"] == {"non_finite_spikes_dropped": n}


def test_s06_negative_times_are_accepted_and_counted(damaged):
    path = damaged(files.change_times(files.some_negative))
    quality = io.load(path)["spikes"].attrs["quality"]
    assert quality == {"negative_spikes": 3, "spikes_outside_observation": 3}


def test_s06_drop(damaged):
    path = damaged(files.change_times(files.far_before_session))
    spikes = loaded(path, "early spikes: 1 dropped", on_bad="drop")["spikes"]
    assert spikes["row_size"].values.tolist() == [199, 200, 200]


def test_s07_s08_other_units_can_be_stated(damaged, twin):
    expected = io.load(twin)["spikes"]["spike_time"].values
    samples = damaged(files.change_times(files.as_samples))
    settings = {"spike_time_unit": "samples", "sampling_rate": 30_000}
    times = io.load(samples, **settings)["spikes"]["spike_time"].values
    np.testing.assert_allclose(times, expected, atol=1 / 30_000)
    tree = io.open(samples, **settings)
    assert tree["spikes"]["spike_time"].values.max() < files.SPAN
    tree.close()
    milliseconds = damaged(files.change_times(files.as_milliseconds))
    times = io.load(milliseconds, spike_time_unit="ms")["spikes"]["spike_time"].values
    np.testing.assert_allclose(times, expected)


def test_s09_empty_unit_keeps_its_place(damaged):
    spikes = io.load(damaged(files.one_unit_empty))["spikes"]
    assert spikes["unit"].values.tolist() == ["7", "8", "9"]
    assert spikes["row_size"].values.tolist() == [200, 0, 200]
    assert "quality" not in spikes.attrs


def test_s10_no_units_table(damaged):
    path = damaged(files.no_units)
    with pytest.raises(EmptySelectionError, match=r"(?s)file has no spikes.*groups present: acq"):
        io.load(path, select="spikes")
    assert "spikes" not in io.load(path).children


def test_s11_spikes_outside_observation_are_kept(damaged):
    spikes = io.load(damaged(files.in_gap))["spikes"].to_dataset()
    times = spikes["spike_time"].values
    n_outside = int(((times >= 40) & (times < 60)).sum())
    assert spikes.attrs["quality"] == {"spikes_outside_observation": n_outside}
    assert spikes.sizes["spike"] == 600


@pytest.mark.parametrize("on_bad", ["drop", "warn"])
def test_s15_missing_column_takes_nothing_with_it(damaged, on_bad):
    path = damaged(files.missing("units/quality"))
    tree = io.open(path)
    assert tree["spikes"]["spike_time"].values.size == 600
    assert "lacks its column 'quality'" in tree["spikes"].attrs["fault"]
    with pytest.raises(CorruptFileError, match="quality"):
        _ = tree["spikes"]["quality"].values
    assert "quality" not in loaded(path, "faulty column", on_bad=on_bad)["spikes"].coords


@pytest.mark.parametrize("row", [row for row in REFUSED if row.id in ("S13", "T01", "C5-no-clock")])
def test_drop_leaves_a_faulty_object_out(row, damaged):
    tree = loaded(damaged(row.damage), "faulty .* 1 dropped", on_bad="drop")
    assert sum(tree.attrs["quality"].values()) == 1
    kind, _, name = row.child.partition("/")
    assert kind not in tree.children or name not in tree[kind].children


def test_warn_lists_a_faulty_object(damaged):
    path = damaged(files.index_to([200, 300, 400]))
    tree = loaded(path, "faulty spikes: 1 kept", on_bad="warn")
    assert "belong to no row" in tree["spikes"].attrs["fault"]


def test_t05_gaps_are_counted(damaged):
    path = damaged(files.change_stamps(files.with_gap))
    hand = io.load(path, select="behavior/hand")["behavior/hand"]
    assert hand.attrs["quality"] == {"gaps": 1}
    assert "sampling_rate" not in hand.attrs
    patient = io.load(path, select="behavior/hand", max_gap=60.0)["behavior/hand"]
    assert "quality" not in patient.attrs


def test_t07_fix_swaps_the_axes(damaged, twin):
    fixed = loaded(damaged(files.transposed), "transposed series: 1 fixed", on_bad="fix")
    np.testing.assert_array_equal(fixed["signal"]["signal"], io.load(twin)["signal"]["signal"])


def test_t07_without_reference_is_a_warning(damaged):
    path = damaged(files.wide_series)
    tree = loaded(path, "possibly transposed", select="behavior/speed")
    assert tree["behavior/speed"].sizes["time"] == 4
    io.open(path).close()


def test_t08_conversions_are_applied(damaged):
    convert = files.attribute("acquisition/raw/data", "offset", 0.5)
    speed = files.attribute("processing/behavior/speed/data", "conversion", 0.01)
    with h5py.File(path := damaged(convert, speed)) as file:
        raw, pace = file["acquisition/raw/data"][:], file["processing/behavior/speed/data"][:]
    tree = io.load(path)
    signal = tree["signal"].to_dataset()
    np.testing.assert_allclose(recording.physical(signal), raw * 1e-6 + 0.5, rtol=1e-6)
    assert signal["signal"].attrs["units"] == "volts"
    np.testing.assert_allclose(tree["behavior/speed"]["value"][:, 0], pace * 0.01)


def test_t09_missing_table_or_column(damaged, twin):
    path = damaged(files.missing("intervals/trials"))
    with pytest.raises(TrialTableError, match=r"(?s)no trials.*found: .*spikes.*groups present"):
        io.load(path, select="trials")
    with pytest.raises(TrialTableError, match=r"(?s)'go_cue'.*did you mean 'go_cue_time'"):
        io.load(twin, select={"trials": ["go_cue"]})
    chosen = io.load(twin, select={"trials": ["go_cue_time"]})["trials"]
    assert set(chosen.data_vars) == {"start", "stop", "go_cue_time"}


def test_t10_drop_leaves_rows_out(damaged):
    path = damaged(files.trial(3, stop_time=np.nan), files.trial(6, stop_time=0.0))
    trials = loaded(path, "impossible trials: 2 dropped", on_bad="drop")["trials"]
    assert trials["trial"].values.tolist() == [0, 1, 2, 4, 5, 7, 8, 9]
    assert trials.attrs["quality"] == {"impossible_trials_dropped": 2}


def test_t11_overlapping_trials_are_read(damaged):
    path = damaged(files.overlapping_trials)
    assert io.load(path)["trials"].sizes["trial"] == 10
    assert "overlapping_trials" in [fault.code for fault in doctor.check(path)]


def test_f06_external_file_is_shown_and_not_opened(twin):
    unread = io.open(twin).attrs["unread"]
    assert any(
        "'../../secret.avi', '/etc/passwd'" in line and "not opened" in line for line in unread
    )


def test_f17_versions(damaged):
    later = damaged(files.attribute("/", "nwb_version", "9.9.9"))
    with pytest.warns(DataQualityWarning, match=r"9\.9\.9 is later than the known 2\.x"):
        tree = io.open(later)
    assert tree["spikes"]["spike_time"].values.size == 600
    tree.close()
    for damage in (files.without_version, files.attribute("/", "nwb_version", "1.0.6")):
        path = damaged(damage)
        with pytest.raises(
            UnsupportedFormatError, match=r"(?s)no NWB version.*expected: version 2"
        ):
            io.open(path)
        assert [fault.code for fault in doctor.check(path)] == ["unreadable_file"]


def test_f17_without_cached_specifications(damaged, twin):
    path = damaged(files.without_specifications)
    assert io.load(path)["spikes"].sizes == io.load(twin)["spikes"].sizes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with container(path, "/units") as units:
            assert len(units["spike_times"][0]) == 200
