"""Traces from files: one animal or several, one clock, their stimuli; or a clear refusal."""

from __future__ import annotations

import numpy as np
import pytest
from roi_files import imaging, named, stimuli, walks

import neurodyn as nd
from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.errors import (
    ConfigError,
    DataError,
    EmptySelectionError,
    TimebaseError,
    TrialTableError,
)

RATE = {"rate": 4.0, "starting_time": 0.0}
CELLS = ["AVAL", "AVAR", "RIS"]


@pytest.fixture
def write(tmp_path):
    """Write a recording as NWB, its parts given one by one."""

    def to_nwb(name, *parts):
        recording = rec.recording(parts, session_start="2026-01-02T03:04:05+00:00", subject=name)
        return nd.write_nwb(recording, tmp_path / f"{name}.nwb")

    return to_nwb


def jittered(n_time=100, share=0.3):
    time = np.arange(n_time) * 0.25
    time[1:-1] += 0.25 * share * np.random.default_rng(0).uniform(-0.5, 0.5, n_time - 2)
    return time


def test_rois_of_one_imaging_file(tmp_path):
    values = walks(0)
    data = workflow.open_traces(imaging(tmp_path / "worm.nwb", ("dff", values, RATE)))
    assert data.traces["roi"].values.tolist() == ["10", "11", "13"]
    np.testing.assert_array_equal(data.traces["signal"], values)
    assert (data.stimuli, data.notes) == (None, ())


def test_several_files_are_several_animals(write):
    first, second = walks(1), walks(2, n_cells=2)
    paths = [write("one", named(first, CELLS)), write("two", named(second, ["RIS", "AWB"]))]
    data = workflow.open_traces(paths)
    traces = data.traces["signal"]
    assert data.traces["animal"].values.tolist() == ["one", "two"]
    assert data.traces["roi"].values.tolist() == [*CELLS, "AWB"]
    np.testing.assert_array_equal(traces.sel(animal="one", roi=CELLS), first)
    np.testing.assert_array_equal(traces.sel(animal="two", roi=["RIS", "AWB"]), second)
    assert traces.sel(animal="two", roi=["AVAL", "AVAR"]).isnull().all()
    assert data.notes == ()


def test_files_of_one_name_are_numbered(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        signal = named(walks(3), CELLS)
        rec.save(rec.recording([signal]), tmp_path / folder / "session.nc")
    data = workflow.open_traces([tmp_path / "a" / "session.nc", tmp_path / "b" / "session.nc"])
    assert data.traces["animal"].values.tolist() == ["0", "1"]


def test_numbers_as_names_of_cells_are_said(tmp_path):
    paths = [
        imaging(tmp_path / f"{name}.nwb", ("dff", walks(seed), RATE))
        for seed, name in enumerate(("one", "two"))
    ]
    (note,) = workflow.open_traces(paths).notes
    assert "matched over animals by their labels, and these are numbers" in note


def test_spikes_are_counted(write):
    times = [np.sort(np.random.default_rng(seed).uniform(0, 20, 200)) for seed in range(4)]
    spikes = rec.spikes_from_units(times, observed=[[0.0, 20.0]])
    data = workflow.open_traces(write("units", spikes), bin_size=0.5)
    assert dict(data.traces["count"].sizes) == {"time": 40, "unit": 4}
    assert data.notes == ("Spikes were counted in bins of 0.5 s.",)
    with pytest.raises(DataError, match=r"only signals can be matched over animals \(at animal a"):
        workflow.open_traces([write("a", spikes), write("b", spikes)])


def test_a_clock_that_jitters_is_made_even(tmp_path):
    time = jittered()
    values = np.stack([time, 2 * time - 1, np.full_like(time, np.nan)], axis=1)
    path = imaging(tmp_path / "worm.nwb", ("dff", values, {"timestamps": time}))
    data = workflow.open_traces(path)
    (note,) = data.notes
    assert "The clock jitters" in note
    even = data.traces["time"].values
    assert np.ptp(np.diff(even)) < 1e-9
    # what is linear in time stays so, what was not recorded stays missing
    np.testing.assert_allclose(data.traces["signal"][:, 0], even, atol=1e-5)
    np.testing.assert_allclose(data.traces["signal"][:, 1], 2 * even - 1, atol=1e-5)
    assert data.traces["signal"][:, 2].isnull().all()


@pytest.mark.parametrize("seed", range(20))
def test_the_last_sample_is_never_passed(seed, tmp_path):
    """An even clock may end a rounding error after the traces."""
    rng = np.random.default_rng(seed)
    n_time, step = int(rng.integers(5, 60)), rng.choice([0.1, 1 / 3, 0.3])
    time = 12.3 + np.arange(n_time) * step
    time[1:-1] += rng.uniform(-0.2, 0.2, n_time - 2) * step
    signal = named(walks(0, n_time), CELLS, time=time)
    path = rec.save(rec.recording([signal]), tmp_path / "worm.nc")
    even = workflow.open_traces(path).traces["time"].values
    assert time[-1] - 1.5 * step < even[-1] <= time[-1]


def test_a_clock_with_gaps_is_refused(tmp_path):
    time = np.concatenate([np.arange(50), np.arange(60, 110)]) * 0.25
    path = imaging(tmp_path / "worm.nwb", ("dff", walks(0), {"timestamps": time}))
    with pytest.raises(TimebaseError, match=r"has gaps \(at worm.nwb\)") as caught:
        workflow.open_traces(path)
    assert caught.value.found == "1 steps of up to 2.75 s, the first after 12.25 s"
    assert "restrict" in str(caught.value)


def test_of_several_signals_one_is_named(tmp_path):
    path = imaging(tmp_path / "worm.nwb", ("raw", walks(1), RATE), ("dff", walks(2), RATE))
    with pytest.raises(DataError, match=r"several signal[\s\S]*choose one by name"):
        workflow.open_traces(path)
    np.testing.assert_array_equal(workflow.open_traces(path, name="dff").traces["signal"], walks(2))


def test_animals_are_aligned_by_the_identity_of_stimuli(write):
    """Salt drives AVAL: after alignment it is at one time in both animals."""
    orders = {"one": ["salt", "odor"], "two": ["odor", "salt"]}
    paths = []
    for animal, names in orders.items():
        values = np.zeros((120, 3))
        values[40 * names.index("salt") + 40 : 40 * names.index("salt") + 50, 0] = 1.0
        paths.append(write(animal, named(values, CELLS), stimuli([10.0, 20.0], names)))
    data = workflow.open_traces(paths)
    assert data.notes == (
        "Animals saw the stimuli at different times: they were aligned by stimulus.",
    )
    salt = data.traces["signal"].sel(roi="AVAL")
    np.testing.assert_array_equal(salt[0], salt[1])
    assert salt[0].values.nonzero()[0].tolist() == list(range(40, 50))
    assert data.traces["segment"].values[[0, 40, 80]].tolist() == ["before", "salt", "odor"]
    by_stimulus = data.stimuli.to_dataframe().groupby("stimulus")["start"].unique()
    assert {name: starts.tolist() for name, starts in by_stimulus.items()} == {
        "salt": [10.0],
        "odor": [20.0],
    }


def test_stimuli_at_the_same_times_leave_the_clock_alone(write):
    paths = [
        write(animal, named(walks(seed), CELLS), stimuli([5.0, 15.0], ["salt", "odor"]))
        for seed, animal in enumerate(("one", "two"))
    ]
    data = workflow.open_traces(paths)
    assert data.notes == ()
    assert data.stimuli["animal"].values.tolist() == ["one", "one", "two", "two"]
    assert "segment" not in data.traces.coords


def test_one_animal_keeps_its_stimuli(write):
    path = write(
        "one", named(walks(0), CELLS), stimuli([5.0, 10.0, 15.0], ["salt", "odor", "salt"])
    )
    assert workflow.open_traces(path).stimuli["stimulus"].values.tolist() == [
        "salt",
        "odor",
        "salt",
    ]


def test_some_animals_without_stimuli_are_refused(write):
    paths = [
        write("one", named(walks(0), CELLS), stimuli([5.0], ["salt"])),
        write("two", named(walks(1), CELLS)),
    ]
    with pytest.raises(DataError, match=r"some animals have stimuli[\s\S]*found: none: two"):
        workflow.open_traces(paths)


def test_a_stimulus_that_an_animal_lacks_is_refused(write):
    paths = [
        write("one", named(walks(0), CELLS), stimuli([5.0, 15.0], ["salt", "odor"])),
        write("two", named(walks(1), CELLS), stimuli([5.0], ["salt"])),
    ]
    with pytest.raises(TrialTableError, match="stimuli are missing in animals"):
        workflow.open_traces(paths)


def test_files_without_traces_are_refused(write, tmp_path):
    path = rec.save(rec.recording([stimuli([1.0], ["salt"])]), tmp_path / "trials.nc")
    with pytest.raises(EmptySelectionError, match=r"has no traces[\s\S]*found: trials"):
        workflow.open_traces(path)
    with pytest.raises(EmptySelectionError, match="no recording was given"):
        workflow.open_traces([])
    with pytest.raises(FileNotFoundError, match="no such file"):
        workflow.open_traces(tmp_path / "none.nwb")


def test_clocks_of_animals_must_agree(write):
    paths = [write("one", named(walks(0), CELLS)), write("two", named(walks(1, 90), CELLS))]
    with pytest.raises(TimebaseError, match=r"different length \(at animal two\)"):
        workflow.open_traces(paths)


def test_options_of_the_reader_are_passed_on(tmp_path):
    path = tmp_path / "worm.csv"
    rows = "\n".join(",".join(f"{value:.3f}" for value in row) for row in walks(0))
    path.write_text(f"AVAL,AVAR,RIS\n{rows}\n")
    with pytest.raises(DataError, match="no column of times"):
        workflow.open_traces(path)
    data = workflow.open_traces(path, sampling_rate=2.0)
    assert data.traces["time"].values[-1] == 49.5
    with pytest.raises(ConfigError, match=r"takes other options[\s\S]*found: sampling_rat"):
        workflow.open_traces(path, sampling_rat=2.0)
