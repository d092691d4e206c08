"""Neuroformer's dictionaries of arrays: what becomes of them, and every mismatch with its twin."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurodyn import io
from neurodyn import recording as rec
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    SpikeTimesError,
    TimebaseError,
    TrialTableError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io import doctor
from neurodyn.io.neuroformer_files import load_neuroformer
from neurodyn.io.neuroformer_layout import recording_from_dictionary
from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    NeuroformerConfig,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.recording.access import physical
from neurodyn.transforms.binning import bin_spikes

N_UNITS, N_TRIALS = 4, 6


def visnav():
    """As Visnav, whose frames and behavior are a little longer than its spikes: 2 s of it."""
    rng = np.random.default_rng(1)
    return {
        "spikes": rng.poisson(0.3, (N_UNITS, 197)),
        "stimulus": rng.normal(size=(41, 3, 5)).astype(np.float32),
        "behavior": {"speed": rng.normal(size=41), "phi": rng.normal(size=41)},
    }


def v1al():
    """As V1AL: a dictionary of trials, movies of three stimuli, trials of several lengths."""
    rng = np.random.default_rng(2)
    lengths = [100, 96, 100, 98, 100, 100]
    return {
        "spikes": {trial: rng.poisson(0.3, (N_UNITS, n)) for trial, n in enumerate(lengths)},
        "stimulus": rng.normal(size=(3, 20, 1, 2, 4)).astype(np.float32),
        "trials": {"stimulus": np.repeat([2, 0, 1], 2), "split": ["train"] * 4 + ["val"] * 2},
    }


def counted(tree, bin_size=0.01):
    return bin_spikes(tree, bin_size)["count"].values.T


def test_continuous_recording():
    data = visnav()
    tree = recording_from_dictionary(data, bin_size=0.01, subject="lateral")
    np.testing.assert_array_equal(counted(tree), data["spikes"])
    assert rec.pick(tree, "spikes")["obs_stop"].values.tolist() == [1.97] * N_UNITS
    movie = tree["signal/movie"]
    np.testing.assert_array_equal(movie["signal"], data["stimulus"].reshape(41, 15))
    assert movie.attrs["sampling_rate"] == 20.0
    assert (movie.attrs["height"], movie.attrs["width"]) == (3, 5)
    assert movie["column"].values[:6].tolist() == [0, 1, 2, 3, 4, 0]
    assert movie["row"].values[:6].tolist() == [0, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(tree["behavior/phi"]["value"][:, 0], data["behavior"]["phi"])
    assert tree["behavior/phi"]["time"].values[-1] == 2.0
    assert "trials" not in tree
    assert tree.attrs["subject"] == "lateral"


def test_trials_lie_one_after_another():
    data = v1al()
    tree = recording_from_dictionary(data, bin_size=0.01)
    trials = rec.pick(tree, "trials")
    assert trials["trial"].values.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(trials["start"], [0, 2, 3.96, 5.96, 7.94, 9.94])
    assert trials["stimulus"].values.tolist() == [2, 2, 0, 0, 1, 1]
    counts = bin_spikes(tree, 0.01)
    for (start, stop), expected in zip(
        np.rint(100 * np.column_stack([trials["start"], trials["stop"]])).astype(int),
        data["spikes"].values(),
    ):
        np.testing.assert_array_equal(counts["count"].values[start:stop].T, expected)
        assert counts["observed"].values[start:stop].all()
    assert counts["observed"].values.sum() == 100 * 4 + 96 + 98
    movie = tree["signal/movie"]
    shown = physical(movie.to_dataset())
    for trial in range(N_TRIALS):
        start, stop = trials["start"].values[trial], trials["stop"].values[trial]
        frames = shown.sel(time=slice(start, stop - 1e-9)).values
        expected = data["stimulus"][trials["stimulus"].values[trial], : len(frames)]
        assert len(frames) == 20
        np.testing.assert_array_equal(frames, expected.reshape(len(frames), 8))


def test_frames_after_the_end_of_a_trial_are_not_shown():
    data = v1al()
    data["spikes"][1] = data["spikes"][1][:, :40]
    movie = recording_from_dictionary(data, bin_size=0.01)["signal/movie"]
    time = movie["time"].values
    assert ((time >= 2.0) & (time < 3.0)).sum() == 8


def test_frames_are_not_copied_and_can_be_chosen():
    data = v1al()
    movie = recording_from_dictionary(data, bin_size=0.01)["signal/movie"]["signal"]
    assert not movie.variable._in_memory
    whole = movie.values
    np.testing.assert_array_equal(movie[3].values, whole[3])
    np.testing.assert_array_equal(movie[5:30:7, 2:4].values, whole[5:30:7, 2:4])
    np.testing.assert_array_equal(movie[[1, 44], 3].values, whole[[1, 44], 3])


def test_the_model_reads_both_forms():
    for data, config in (
        (visnav(), {"behavior": (BehaviorInput(name="speed"),)}),
        (v1al(), {"stretches": "trials"}),
    ):
        sources = ("self", "past", "stimulus", *(name for name in config if name == "behavior"))
        video = StimulusInput(name="movie", window=0.1, kernel=(1, 1, 1), stride=(1, 1, 1))
        config = NeuroformerConfig(
            bin_size=0.01,
            window=0.05,
            past=0.1,
            stimulus=video,
            stages=tuple(Stage(source=source) for source in sources),
            **config,
        )
        windows = token_windows(recording_from_dictionary(data, bin_size=0.01), config)
        batch = windows.gather(np.arange(2))
        assert batch["stimulus"].shape[-2:] == data["stimulus"].shape[-2:]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(1, 3), st.integers(1, 30)), elements=st.integers(0, 300)
    ),
    st.sampled_from([0.001, 0.01, 1 / 30, 0.02, 0.1]),
    st.booleans(),
)
def test_binning_gives_the_counts_again(counts, bin_size, in_trials):
    spikes = {"a": counts, "b": counts[:, ::-1]} if in_trials else counts
    tree = recording_from_dictionary({"spikes": spikes}, bin_size=bin_size, gap=0.3 * bin_size)
    expected = counts
    if in_trials:
        silence = np.zeros((len(counts), 1), np.int64)
        expected = np.hstack([counts, silence, counts[:, ::-1]])
    np.testing.assert_array_equal(counted(tree, bin_size), expected)
    assert tree["spikes"].sizes["spike"] == expected.sum()


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", ">i2", "f4", "f8"])
def test_counts_of_any_type_in_any_order(dtype):
    counts = np.asfortranarray(np.array([[0, 1, 1], [1, 0, 0]], dtype))
    counts.flags.writeable = False
    np.testing.assert_array_equal(
        counted(recording_from_dictionary({"spikes": counts}, bin_size=0.01)), counts
    )


def test_spikes_of_a_bin_keep_apart():
    tree = recording_from_dictionary({"spikes": [[0, 3]]}, bin_size=0.06)
    np.testing.assert_allclose(tree["spikes"]["spike_time"], [0.07, 0.09, 0.11])
    assert tree["spikes"].attrs["time_resolution"] == 0.06


def events(**changes):
    return {
        "events": [(0, 0.5, 2), (1, 0.25, 0), (0, 0.1, 2), (1, 0.0, 1)],
        "trials": {"duration": [1.0, 0.5]},
        **changes,
    }


def test_events_of_trials():
    tree = recording_from_dictionary(events(), bin_size=0.1)
    spikes = tree["spikes"]
    assert spikes["row_size"].values.tolist() == [1, 1, 2]
    np.testing.assert_allclose(spikes["spike_time"], [2.25, 2.0, 0.1, 0.5])
    assert tree["trials"]["stop"].values.tolist() == [1.0, 2.5]
    assert tree["trials"]["duration"].values.tolist() == [1.0, 0.5]
    named = recording_from_dictionary(events(units=list("abcd")), bin_size=0.1)["spikes"]
    assert named["row_size"].sel(unit="d").item() == 0


def test_behavior_of_trials_ends_with_them():
    data = v1al()
    lengths = [array.shape[1] // 5 + 1 for array in data["spikes"].values()]
    speed = {trial: np.arange(n) + 100.0 * trial for trial, n in enumerate(lengths)}
    tree = recording_from_dictionary({**data, "behavior": {"speed": speed}}, bin_size=0.01, gap=0.0)
    running = tree["behavior/speed"]
    assert running["time"].values[20] == 1.0
    assert running["value"].values[20, 0] == 100.0
    assert (np.diff(running["time"]) > 0).all()


def test_trials_and_intervals_of_a_continuous_recording():
    data = visnav() | {
        "trials": {"start": [1.0, 0.0], "stop": [1.5, 0.5], "trial": ["b", "a"]},
        "intervals": [[0.0, 0.6], [0.9, 1.6]],
        "stimulus": v1al()["stimulus"][:1],
        "units": list("wxyz"),
    }
    tree = recording_from_dictionary(data, bin_size=0.01)
    assert tree["trials"]["trial"].values.tolist() == ["b", "a"]
    assert tree["spikes"]["unit"].values.tolist() == list("wxyz")
    assert tree["signal/movie"]["time"].values[[0, 10]].tolist() == [0.0, 1.0]
    observed = bin_spikes(tree, 0.01)["observed"].values
    assert observed[:60].all()
    assert not observed[60:90].any()
    assert observed[90:160].all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"stimuli": 1}, DataError, r"unknown name(.|\n)*did you mean 'stimulus'"),
        ({"behavior": {"a": {"b": {"c": 1}}}}, DataError, "unknown name(.|\n)*behavior/a/b/c"),
        ({"behavior": {(1, 2): [0.0]}}, DataError, "key of a dictionary is no name"),
        ({"spikes": {}}, DataError, r"spikes of one form(.|\n)*found: none"),
        ({"events": [[0, 0, 0]]}, DataError, "found: spikes and events"),
        ({"spikes": [[0.5, 1.0]]}, DataError, r"whole numbers(.|\n)*unit 0, bin 0(.|\n)*calcium"),
        ({"spikes": [[0, -1]]}, DataError, r"bin 1(.|\n)*found: -1"),
        ({"spikes": [[0, np.nan]]}, DataError, "found: nan"),
        ({"spikes": [[70_000, 0]]}, DataError, "expected: 0 to 65,535"),
        ({"spikes": [0, 1]}, DataError, r"found: shape \(2,\)(.|\n)*numbers \(unit, bin\)"),
        ({"spikes": [["a"]]}, DataError, "spikes has another form"),
        ({"units": ["a"]}, DataError, "units does not fit the units(.|\n)*each of 4 units"),
        ({"stimulus": np.zeros((38, 2, 2))[:37]}, TimebaseError, r"37 samples at 20 Hz, 1.85 s"),
        (
            {"stimulus": np.zeros((42, 2, 2))},
            TimebaseError,
            r":stimulus(.|\n)*40 samples",
        ),
        ({"stimulus": np.zeros((3, 20, 2, 2, 2))}, DataError, "stimulus, frame, 1, height, width"),
        ({"stimulus": np.zeros((1, 20, 1, 2, 2))}, TrialTableError, "trials/start and trials/stop"),
        ({"behavior": {"x": np.zeros(44)}}, TimebaseError, "dictionary:behavior/x"),
        ({"behavior": {"x": np.zeros((41, 2))}}, DataError, r"numbers \(sample\)"),
        ({"behavior": {"x": np.full(41, np.inf)}}, DataError, "samples are infinite"),
        ({"behavior": {"x": {"0": np.zeros(41)}}}, TrialTableError, "the same trials"),
        ({"trials": {"start": [0.0]}}, TrialTableError, "trials/stop"),
        ({"trials": {"start": [0.0], "stop": [9.0]}}, TrialTableError, "inside of 0 to 1.97 s"),
        ({"trials": {"start": [1.0], "stop": [1.0]}}, TrialTableError, "1 to 1 s"),
        ({"intervals": [0.5, 1.0]}, DataError, r"numbers \(interval, 2\)"),
        ({"intervals": [[1.0, 0.5]]}, TimebaseError, "not in order"),
        ({"intervals": [[0.0, 0.5], [0.4, 1.0]]}, TimebaseError, "not in order"),
        ({"intervals": [[0.0, 3.0]]}, TimebaseError, "0 to 1.97 s"),
        ({"intervals": [[0.0, np.nan]]}, TimebaseError, "not in order"),
        ({"bin_size": 0.0}, ConfigError, "bin_size must be positive"),
        ({"frame_rate": "fast"}, ConfigError, "frame_rate must be positive"),
    ],
)
def test_what_does_not_fit_a_continuous_recording(change, error, message):
    data = {**visnav(), "bin_size": 0.01, **change}
    with pytest.raises(error, match=message):
        recording_from_dictionary(data)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"spikes": {0: np.zeros((4, 9)), 1: np.zeros((3, 9))}},
            DataError,
            "trials differ",
        ),
        ({"spikes": {0: np.zeros((4, 100)), 1: [1]}}, DataError, "spikes/1 has another form"),
        ({"trials": {}}, TrialTableError, r"which movie(.|\n)*3 movies, 6 trials(.|\n)*repeat"),
        ({"trials": {"stimulus": [0, 1, 2]}}, DataError, "one for each of 6 trials"),
        ({"trials": {"stimulus": [0, 1, 2, 3, 0, 0]}}, TrialTableError, "expected: 0 to 2"),
        ({"trials": {"stimulus": list("abcabc")}}, DataError, "trials/stimulus has another form"),
        ({"trials": {"start": np.arange(6.0)}}, TrialTableError, "spikes alone to say it"),
        ({"stimulus": np.zeros((3, 17, 1, 2, 2))}, TimebaseError, r"17 samples at 20 Hz"),
        ({"stimulus": np.zeros((20, 2, 2))}, DataError, "spikes are of trials, the series is not"),
        ({"behavior": {"x": np.zeros(20)}}, DataError, "cut it into trials"),
        ({"behavior": {"x": {0: np.zeros(20)}}}, TrialTableError, "1, 2, 3, 4, 5 in one alone"),
        (
            {"behavior": {"x": dict.fromkeys(range(6), np.zeros(23))}},
            TimebaseError,
            "behavior/x/0",
        ),
        ({"intervals": [[0.0, 1.0]]}, DataError, "trials say already what was observed"),
    ],
)
def test_what_does_not_fit_trials(change, error, message):
    with pytest.raises(error, match=message):
        recording_from_dictionary({**v1al(), **change}, bin_size=0.01)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"trials": {}}, TrialTableError, "events need the durations"),
        ({"trials": {"duration": [1.0, 0.0]}}, TrialTableError, "a trial has no length"),
        ({"events": [(2, 0.1, 0)]}, SpikeTimesError, "a trial that is none(.|\n)*0 to 1"),
        ({"events": [(0, 0.1, 0.5)]}, SpikeTimesError, "a unit that is none"),
        ({"events": [(0, 0.1, 2)], "units": ["a"]}, SpikeTimesError, r"row 0(.|\n)*0 to 0"),
        ({"events": [(0, 1.0, 0)]}, SpikeTimesError, "a time outside of its trial"),
        ({"events": [(0, np.nan, 0)]}, SpikeTimesError, "a time outside"),
        ({"events": [(0, 0.1)]}, DataError, r"numbers \(event, 3\)"),
    ],
)
def test_what_does_not_fit_events(change, error, message):
    with pytest.raises(error, match=message):
        recording_from_dictionary(events(**change), bin_size=0.01)


def test_trials_that_overlap_show_no_movies():
    trials = {"start": [0.0, 0.5], "stop": [1.0, 1.5], "stimulus": [0, 1]}
    with pytest.raises(TrialTableError, match="trials that overlap"):
        recording_from_dictionary(
            {**visnav(), "stimulus": v1al()["stimulus"], "trials": trials}, bin_size=0.01
        )


def test_clocks_are_said_or_in_the_data():
    with pytest.raises(ConfigError, match=r"bin_size is not known(.|\n)*bin_size=0.01"):
        recording_from_dictionary(visnav())
    with pytest.raises(ConfigError, match="gap must not be negative"):
        recording_from_dictionary(v1al(), bin_size=0.01, gap=-1.0)
    data = {"spikes": np.zeros((1, 100)), "behavior": {"x": np.zeros(500)}, "bin_size": 0.1}
    tree = recording_from_dictionary(data, behavior_rate=50.0)
    assert tree["behavior/x"].attrs["sampling_rate"] == 50.0
    assert recording_from_dictionary({**data, "behavior_rate": 50.0}).equals(tree)
    with pytest.raises(TimebaseError):
        recording_from_dictionary({**data, "behavior_rate": 50.0}, bin_size=0.01)


def stored(data, prefix=""):
    """Return the arrays by joined name."""
    found = {}
    for name, value in data.items():
        if isinstance(value, dict):
            found |= stored(value, f"{prefix}{name}/")
        else:
            found[f"{prefix}{name}"] = np.asarray(value)
    return found


def write(path, data):
    """Write an ``.npz`` file or a folder."""
    arrays = stored(data)
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    for name, array in arrays.items():
        file = path / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, array)
    return path


@pytest.mark.parametrize("name", ["session.npz", "session"])
@pytest.mark.parametrize("data", [visnav, v1al])
def test_files_of_both_kinds(tmp_path, name, data):
    path = write(tmp_path / name, data())
    assert io.recognise(path).name == "Neuroformer arrays"
    expected = recording_from_dictionary(data(), bin_size=0.01, source=name)
    lazy = io.open(path, bin_size=0.01)
    assert not lazy["signal/movie"]["signal"].variable._in_memory
    found = io.load(path, bin_size=0.01)
    for address in ("spikes", "signal/movie", *(["trials"] if data is v1al else ["behavior/phi"])):
        assert found[address].to_dataset().equals(expected[address].to_dataset())
        assert lazy[address].to_dataset().equals(expected[address].to_dataset())
    assert doctor.check(path, bin_size=0.01) == []
    rec.save(found, tmp_path / "session.nc")
    assert (
        rec.load(tmp_path / "session.nc")["spikes"]
        .to_dataset()
        .equals(expected["spikes"].to_dataset())
    )


def test_trial_10_comes_after_trial_9(tmp_path):
    spikes = {trial: [[trial, 0]] for trial in range(12)}
    path = write(tmp_path / "session", {"spikes": spikes, "bin_size": 0.01})
    assert io.load(path)["trials"]["trial"].values.tolist() == list(range(12))


def test_parts_are_selected_and_faults_settled(tmp_path):
    data = visnav() | {"bin_size": 0.01}
    data["behavior"] = {"phi": np.where(np.arange(41) == 3, np.inf, 0.0), "x": np.zeros(7)}
    path = write(tmp_path / "session.npz", data)
    assert list(io.load(path, "spikes").children) == ["spikes"]
    with pytest.raises(EmptySelectionError, match="no behavior/speed"):
        io.load(path, "behavior/speed")
    with pytest.raises(DataError, match=r"session.npz:behavior/phi, phi"):
        io.load(path, "behavior/phi")
    with pytest.warns(DataQualityWarning, match="infinite samples: 1 dropped"):
        phi = io.load(path, "behavior/phi", on_bad="drop")["behavior/phi"]
    assert np.isnan(phi["value"].values).sum() == 1
    with pytest.warns(DataQualityWarning, match="faulty behavior: 1 dropped"):
        assert "x" not in io.load(path, ["behavior/x", "spikes"], on_bad="drop").to_dict()
    lazy = io.open(path)
    assert "differ in length" in lazy["behavior/x"].attrs["fault"]
    with pytest.raises(TimebaseError):
        _ = lazy["behavior/x"]["value"].values
    assert [fault.code for fault in doctor.check(path)] == ["infinite_samples", "faulty_behavior"]


def test_other_files_are_left_alone(tmp_path):
    for number, names in enumerate((["rates"], ["spikes", "rates"], ["behavior/x"])):
        path = tmp_path / f"{number}.npz"
        np.savez(path, **dict.fromkeys(names, np.zeros((2, 2))))
        with pytest.raises(UnsupportedFormatError, match="file is of no known format"):
            io.open(path)
        with pytest.raises(UnsupportedFormatError, match=re.escape(names[0])):
            load_neuroformer(path)
        folder = write(tmp_path / str(number), dict.fromkeys(names, np.zeros((2, 2))))
        with pytest.raises(CorruptFileError, match="not a file of data"):
            io.open(folder)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no archive")
    with pytest.raises(UnsupportedFormatError):
        io.open(tmp_path / "broken.npz")
    with pytest.raises(FileNotFoundError):
        load_neuroformer(tmp_path / "none.npz")


def test_objects_and_links_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", spikes=np.array({"a": 1}, dtype=object))
    with pytest.raises(UnsafeFileError, match="Python objects"):
        io.load(tmp_path / "a.npz", bin_size=0.01)
    folder = write(tmp_path / "session", {"spikes": np.zeros((1, 2))})
    np.save(tmp_path / "elsewhere.npy", np.zeros(2))
    (folder / "units.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(UnsafeFileError, match="a link reaches outside the folder"):
        io.open(folder, bin_size=0.01)


def test_input_is_left_as_it_was():
    data = v1al()
    before = {name: array.copy() for name, array in stored(data).items()}
    recording_from_dictionary(data, bin_size=0.01)
    for name, array in stored(data).items():
        np.testing.assert_array_equal(array, before[name])
