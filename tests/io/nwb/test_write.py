"""Writing: any recording comes back equal, and pynwb reads what we write."""

from __future__ import annotations

import json
import os

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pynwb
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from neurodyn import io, recording
from neurodyn.errors import DataError, UnsupportedFormatError
from neurodyn.io.convert import convert
from neurodyn.io.nwb.write import write_nwb

FILE_ATTRS = {"name", "source_path", "neurodata_type", "quality"}
LABEL = st.text("abcÄ_ 12", min_size=1, max_size=5)
# shrinking would write hundreds of files
SLOW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def same(first: xr.DataTree, second: xr.DataTree) -> None:
    """Assert that two recordings hold the same, but for what names the file."""
    for kind, names in recording.names(first).items():
        again = recording.names(second)[kind]
        assert len(again) == len(names)
        for name in names:
            one = recording.pick(first, kind, name)
            other = recording.pick(second, kind, name if name in again else None)
            expected = {k: v for k, v in one.attrs.items() if k not in FILE_ATTRS}
            found = {k: v for k, v in other.attrs.items() if k not in FILE_ATTRS}
            # what NWB must state, a recording need not have
            found.pop("description", None)
            expected.pop("description", None)
            xr.testing.assert_equal(one, other)
            assert found == expected
            assert set(one.coords) == set(other.coords)


@st.composite
def unit_times(draw):
    times = st.lists(st.floats(0.0, 100.0, width=32), max_size=20).map(sorted)
    units = draw(st.lists(times, min_size=1, max_size=5))
    return units if any(units) else [[0.5], *units]


@st.composite
def spikes(draw):
    units = draw(unit_times())
    n = len(units)
    labels = draw(
        st.one_of(
            st.just([str(i) for i in range(n)]),
            st.lists(LABEL, min_size=n, max_size=n, unique=True),
        )
    )
    columns = {
        "held_out": np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
        "area": draw(st.lists(LABEL, min_size=n, max_size=n)),
        "depth": draw(hnp.arrays(np.float64, n, elements=st.floats(-5, 5))),
        "quality code": np.arange(n, dtype=np.int16),
        "waveform_mean": np.arange(n * 4, dtype=np.float32).reshape(n, 4),
    }
    chosen = draw(st.sets(st.sampled_from(["held_out", "area", "depth", "waveform_mean"])))
    observed = draw(st.none() | st.just([[0.0, 40.0], [50.0, 100.0]]))
    return recording.spikes_from_units(
        dict(zip(labels, units)),
        observed=observed,
        unit_columns={name: columns[name] for name in chosen},
        tick_hz=draw(st.sampled_from([1e9, 30_000.0])),
        note=draw(st.none() | LABEL),
    )


@st.composite
def trials(draw):
    n = draw(st.integers(1, 6))
    start = np.cumsum(draw(hnp.arrays(np.float64, n, elements=st.floats(0.1, 9))))
    length = draw(hnp.arrays(np.float64, n, elements=st.floats(0.1, 1)))
    ids = draw(st.none() | st.just([f"t{i}" for i in range(n)]) | st.just(np.arange(n) * 3))
    columns = {
        "go_time": np.where(np.arange(n) % 2, np.nan, start),
        "condition": draw(st.lists(LABEL, min_size=n, max_size=n)),
        "correct": np.arange(n) % 2 == 0,
        "target_pos": np.arange(2.0 * n).reshape(n, 2),
    }
    return recording.trials(start, start + length, trial=ids, columns=columns)


@st.composite
def sampled(draw, kind):
    n, k = draw(st.integers(3, 8)), draw(st.integers(1, 3))
    regular = {"sampling_rate": draw(st.sampled_from([100.0, 1250.0, 30.5])), "start": 0.25}
    irregular = {"time": np.array([0.0, 0.5, 1.7, 4.0, 4.2, 9.0, 11.0, 11.1])[:n]}
    clock = draw(st.sampled_from([regular, irregular]))
    values = draw(hnp.arrays(np.float32, (n, k), elements=st.floats(-9, 9, width=32)))
    labels = draw(st.lists(LABEL, min_size=k, max_size=k, unique=True))
    if kind == "behavior":
        units = draw(st.sampled_from(["", "cm", ["cm", "s", "m"][:k]]))
        return recording.behavior(values, feature=labels, units=units, **clock)
    return recording.signal(
        (values * 100).astype(np.int16),
        channel=labels,
        dim=draw(st.sampled_from(["channel", "roi"])),
        units=draw(st.sampled_from(["V", "1"])),
        scale_factor=draw(st.sampled_from([1.0, 2.5e-6])),
        channel_columns={"area": ["CA1"] * k},
        **clock,
    )


@given(spikes(), trials(), sampled("behavior"), sampled("signal"), sampled("signal"))
@SLOW
def test_round_trip_of_any_recording(tmp_path_factory, units, table, hand, lfp, calcium):
    children = {"spikes": units, "trials": table, "behavior": hand}
    signals = {"LFP": lfp, "calcium": calcium}
    tree = recording.recording({**children, "signal": signals}, subject="J", config={"a": [1]})
    path = tmp_path_factory.mktemp("nwb") / "session.nwb"
    # drawn spikes are too few to tell seconds from milliseconds
    again = io.load(write_nwb(tree, path), spike_time_unit="s")
    same(tree, again)
    assert again.attrs["config"] == {"a": [1]}
    assert "session_start" not in again.attrs


@pytest.fixture
def small():
    return recording.recording(
        {
            "spikes": recording.spikes_from_units({"1": [0.5], "2": [0.7]}),
            "trials": recording.trials([0.0, 2.0], [1.0, 3.0]),
        },
        subject="J",
        species="Macaca mulatta",
        session_start="2020-01-01T12:00:00+01:00",
        session_id="s1",
    )


def test_session_is_kept_and_pynwb_reads_it(small, tmp_path):
    path = write_nwb(small, tmp_path / "a.nwb", identifier="id-1", session_description="rest")
    again = io.load(path)
    for name in ("subject", "species", "session_start", "session_id"):
        assert again.attrs[name] == small.attrs[name]
    with pynwb.NWBHDF5IO(str(path), "r") as nwb_io:
        nwb = nwb_io.read()
        assert (nwb.identifier, nwb.session_description) == ("id-1", "rest")
        assert nwb.units["spike_times"][1].tolist() == [0.7]
        assert pynwb.validate(io=nwb_io) == []


def test_events_and_named_tables_come_back(tmp_path):
    tables = {
        "licks": recording.trials([0.5, 0.75], [0.5, 1.0], columns={"side": ["l", "r"]}),
        "epochs": recording.trials([0.0], [9.0]),
        "ripples": recording.trials([1.0], [1.5]),
    }
    tree = recording.recording({"trials": tables})
    path = write_nwb(tree, tmp_path / "a.nwb")
    same(tree, io.load(path))
    with h5py.File(path) as file:
        assert set(file["intervals"]) == {"epochs", "ripples"}
        assert file["events/licks"].attrs["neurodata_type"] == "EventsTable"


def test_several_sortings_and_ragged_columns_come_back(tmp_path):
    ragged = {
        "tags": xr.Variable(("unit", "tags_item"), np.array([["a", "b"], ["c", ""]])),
        "tags_size": xr.Variable("unit", np.array([2, 1])),
    }
    units = {"a": [0.5], "b": [0.7]}
    one = recording.spikes_from_units(units, unit_columns=ragged)
    tree = recording.recording({"spikes": {"first": one, "units": one}})
    again = io.load(write_nwb(tree, tmp_path / "a.nwb"))
    same(tree, again)


def test_space_and_electrodes_are_proper_types(tmp_path):
    path = recording.behavior(np.ones((3, 2)), sampling_rate=9.0, feature=["x", "y"], units="cm")
    lfp = recording.signal(
        np.ones((3, 2)),
        sampling_rate=9.0,
        units="V",
        channel_columns={"channel_conversion": [1.0, 2.0], "area": ["CA1", "CA3"]},
    )
    tree = recording.recording({"behavior": path, "signal": lfp})
    file = write_nwb(tree, tmp_path / "a.nwb")
    with h5py.File(file) as h5:
        assert h5["processing/behavior/behavior"].attrs["neurodata_type"] == "SpatialSeries"
        assert h5["acquisition/signal"].attrs["neurodata_type"] == "ElectricalSeries"
        locations = h5["general/extracellular_ephys/electrodes/location"].asstr()[:]
        assert locations.tolist() == ["CA1", "CA3"]
    again = io.load(file)
    same(tree, again)
    np.testing.assert_array_equal(
        recording.physical(again["signal"].to_dataset())[0], np.float32([1, 2])
    )


def test_reading_goes_round_and_round(shared_data, tmp_path):
    source = next((shared_data / "nlb_mc_maze_small_test").glob("*.nwb"))
    first = io.load(convert(source, tmp_path / "a.nc"))
    second = io.load(convert(tmp_path / "a.nc", tmp_path / "b.nwb"))
    same(first["trials"].parent, io.load(source))
    for name in ("spike_time", "row_size", "obs_start", "held_out", "area"):
        np.testing.assert_array_equal(second["spikes"][name], first["spikes"][name])


def test_what_nwb_cannot_hold_is_refused(small, tmp_path):
    counts = recording.recording([recording.counts([[1]], bin_size=0.1)])
    with pytest.raises(UnsupportedFormatError, match=r"(?s)no place for counts.*netCDF"):
        write_nwb(counts, tmp_path / "a.nwb")
    hand = recording.behavior([[1.0]], sampling_rate=1.0).assign(more=("time", [1.0]))
    with pytest.raises(DataError, match="further variables"):
        write_nwb(recording.recording({"behavior": hand}), tmp_path / "a.nwb")
    faulty = recording.trials([0.0], [1.0], fault="broken")
    with pytest.raises(DataError, match="a faulty object"):
        write_nwb(recording.recording([faulty]), tmp_path / "a.nwb")
    backwards = recording.trials([1.0], [0.0])
    with pytest.raises(DataError, match="intervals are impossible"):
        write_nwb(recording.recording([backwards]), tmp_path / "a.nwb")
    with pytest.raises(UnsupportedFormatError, match=r"(?s)ending '.mat'.*expected: .nc"):
        convert(tmp_path / "a.nc", tmp_path / "a.mat")
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file(small, tmp_path, monkeypatch):
    path = write_nwb(small, tmp_path / "a.nwb")
    before = path.read_bytes()
    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_nwb(small, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.nwb"]


HOSTILE = {"root": {"neurodyn_schema": 99, "source": "x"}, "given": ["subject"]}
LABELS = {"attrs": {"kind": "bold", "note": "y"}, "dim": "channel", "coords": {"time": 5}}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '"text"',
        "[1]",
        '{"children": {"/units": 1}}',
        '{"root": 5, "children": []}',
        json.dumps({**HOSTILE, "children": {"/units": LABELS, "/acquisition/lfp": LABELS}}),
    ],
)
def test_notes_that_do_not_fit_are_passed_over(small, tmp_path, text):
    lfp = recording.signal(np.ones((3, 2)), sampling_rate=9.0)
    small["signal"] = xr.DataTree(lfp.assign_attrs(name="lfp"))
    path = write_nwb(small, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["scratch/neurodyn"][()] = text
    tree = io.load(path)
    assert (tree["spikes"].attrs["kind"], tree["spikes"].sizes["unit"]) == ("spikes", 2)
    assert tree["signal"]["channel"].values.tolist() == ["0", "1"]
    assert (tree.attrs["source"], tree.attrs["neurodyn_schema"]) == ("a.nwb", 1)
