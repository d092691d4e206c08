"""From recordings to windows: stretches, trials, gaps, clocks and what has to be there."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import DataError, EmptySelectionError, TimebaseError, TrialTableError
from neurodyn.models.neuroformer.config import (
    BehaviorTarget,
    NeuroformerConfig,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.recordings import stretches_of, token_windows, tokenizer_for
from neurodyn.recording import behavior, pick, signal, spikes, spikes_from_units, trials
from neurodyn.transforms import restrict

from .runs import KINDS, TINY, fitted, session

CONFIG = NeuroformerConfig(**TINY)
OF_TRIALS = NeuroformerConfig(**TINY, stretches="trials")
OBSERVED = [[0.0, 8.0]]


def with_trials(start, stop):
    return session(trials=trials(start, stop))


def test_windows_lie_in_trials():
    found = token_windows(with_trials([5.0, 1.0], [6.0, 2.0]), OF_TRIALS)
    # restored to order
    np.testing.assert_allclose(
        stretches_of(with_trials([5.0, 1.0], [6.0, 2.0]), OF_TRIALS), [[1.0, 2.0], [5.0, 6.0]]
    )
    assert found.time()[0] == pytest.approx(1.1)
    assert set(found.stretch()) == {0, 1}
    inside = ((found.time() > 1) & (found.time() < 2)) | (found.time() > 5)
    assert inside.all()


def test_trials_that_touch_are_two():
    found = token_windows(with_trials([0.0, 2.0], [2.0, 4.0]), OF_TRIALS)
    begin = found.time()
    assert not ((begin > 1.95) & (begin < 2.05)).any()


@pytest.mark.parametrize(
    ("start", "stop", "error", "message"),
    [
        ([0.0, 3.0], [4.0, 6.0], TrialTableError, r"stretches overlap.*stretches 0 and 1"),
        ([3.0, 0.0], [6.0, 4.0], TrialTableError, "stretches overlap"),
        ([0.0, 5.0], [4.0, np.nan], DataError, r"an interval is impossible.*\n.*\[5.0, nan\]"),
        ([0.0, 5.0], [4.0, 4.5], DataError, r"an interval is impossible.*\n.*\[5.0, 4.5\]"),
        ([20.0], [22.0], EmptySelectionError, r"(?s)no trial lies in what.*stretches='observed'"),
    ],
)
def test_impossible_trials(start, stop, error, message):
    with pytest.raises(error, match=message):
        fitted(with_trials(start, stop), stretches="trials")


def test_no_window_fits():
    short = with_trials([0.0, 1.0], [0.1, 1.15])
    expected = r"there are no windows.*\n.*up to 6 bins.*\n.*4 \+ 4 bins"
    with pytest.raises(EmptySelectionError, match=expected):
        fitted(short, stretches="trials")
    with pytest.raises(EmptySelectionError, match="there are no windows"):
        fitted(window=10.0)


@pytest.mark.parametrize(
    ("missing", "settings", "message"),
    [
        ("spikes", {}, "has no spikes"),
        ("trials", {"stretches": "trials"}, r"has no trials.*\n.*behavior, signal, spikes"),
        ("behavior", {"targets": (BehaviorTarget(name="hand"),)}, "has no behavior"),
        (
            "signal",
            {
                "stages": (Stage(), Stage(source="stimulus")),
                "stimulus": StimulusInput(kind="features"),
            },
            "has no signal",
        ),
        (None, {"targets": (BehaviorTarget(name="hnad"),)}, r"'hnad'.*\n.*did you mean 'hand'"),
        (
            None,
            {
                "stages": (Stage(), Stage(source="stimulus")),
                "stimulus": StimulusInput(kind="features", name="smell"),
            },
            "smell",
        ),
        (
            None,
            {
                "stages": (Stage(), Stage(source="stimulus")),
                "stimulus": StimulusInput(name="sound"),
            },
            r"signal is no video.*\n.*3 channels",
        ),
    ],
)
def test_what_is_read_has_to_be_there(missing, settings, message):
    data = session(**({missing: None} if missing else {}))
    with pytest.raises(EmptySelectionError, match=message):
        fitted(data, **settings)


def test_several_signals_have_to_be_named():
    settings = {"stages": (Stage(), Stage(source="stimulus"))}
    with pytest.raises(DataError, match="movie"):
        fitted(**settings, stimulus=StimulusInput(kind="features"))


def test_events_without_amplitudes_have_no_marks():
    bare = session(spikes=pick(session(), "spikes").drop_vars("amplitude"))
    with pytest.raises(DataError, match=r"(?s)spikes have no amplitude.*calcium_events"):
        fitted(bare, n_marks=3)
    fitted(bare)


def test_levels_are_those_of_training():
    marked = fitted(**KINDS["marks"])
    other = session(3, name="tuesday")
    assert tokenizer_for(other, marked.config) != marked.context_.tokenizer
    assert marked.windows(other).store.tokenizer == marked.context_.tokenizer


def test_no_window_crosses_a_gap():
    cut = restrict(session(), [[0.0, 2.03], [2.5, 4.0]])
    windows = token_windows(cut, CONFIG)
    begin, stop = windows.time() - 0.1, windows.time() + 0.1
    assert ((stop < 2.031) | (begin > 2.499)).all()
    rate = fitted(cut).predict(cut, n_samples=1)
    assert not ((rate["time"] > 2.01) & (rate["time"] < 2.59)).any()


def test_spikes_outside_of_observation():
    """They are kept in the recording and read by no window."""
    times = {"a": np.array([0.55, 2.5, 2.6, 3.25]), "b": np.array([0.3, 3.31])}
    odd = spikes_from_units(times, observed=[[0.0, 2.0], [3.0, 4.0]])
    windows = token_windows(odd, CONFIG)
    assert windows.store.n_outside == 2
    # of 3 to 4 s the first window begins at 3.1 s
    assert windows.n_spikes.sum() == 4
    inside = spikes_from_units(
        {"a": [0.55, 3.25], "b": [0.3, 3.31]}, observed=[[0.0, 2.0], [3.0, 4.0]]
    )
    same = token_windows(inside, CONFIG).gather(np.arange(4))
    for name, value in windows.gather(np.arange(4)).items():
        assert (value == same[name]).all(), name


def test_units_that_were_observed_at_other_times():
    """Windows lie where all units were observed, else nowhere."""

    def observed(stop, start):
        intervals = ([0.0, start], [stop, 8.0], [1, 1])
        return spikes([1.0, 7.0], [1, 1], ["a", "b"], observed=intervals)

    np.testing.assert_allclose(stretches_of(observed(4.0, 2.0), CONFIG), [[2.0, 4.0]])
    with pytest.raises(EmptySelectionError, match="nothing was observed of all units at once"):
        token_windows(observed(4.0, 5.0), CONFIG)


def test_a_unit_without_spikes_stays():
    silent = spikes_from_units({"a": np.arange(0.02, 8, 0.05), "mute": []}, observed=OBSERVED)
    model = fitted(silent)
    found = model.predict(restrict(silent, [[0.0, 1.0]]))
    assert found["unit"].values.tolist() == ["a", "mute"]
    assert (found["rate"] > 0).all()
    assert np.isfinite(float(model.score(silent)["bits_per_spike"]))
    assert model.network_.head.unit.bias.isfinite().all()


def test_silence_is_a_recording_too():
    """A part without any spike is read and predicted; only what is by spike has no value."""
    model = fitted(spikes_from_units({"a": np.arange(0.02, 8, 0.05)}, observed=OBSERVED))
    quiet = spikes_from_units({"a": []}, observed=[[0.0, 1.0]])
    assert np.isfinite(model.predict(quiet)["rate"]).all()
    assert np.isnan(model.score(quiet)["bits_per_spike"])


def test_a_bin_that_is_not_whole_is_left_out():
    end = token_windows(restrict(session(), [[0.0, 1.09]]), CONFIG)
    assert end.store.n_bins == 43
    assert end.time()[-1] == pytest.approx(0.9)


def test_samples_are_read_by_their_own_clock():
    """A clock that begins later and drifts is read by time, not by number."""
    time = 0.4 + 0.0501 * np.arange(120)
    late = behavior(time[:, None], time=time, feature=["clock"])
    data = session(behavior={"clock": late})
    model = fitted(data, targets=(BehaviorTarget(name="clock"),))
    found = model.decode(data)
    delay = (found["time"] - found["true"].squeeze("feature")).values
    known = np.isfinite(delay)
    assert (delay[known] > 0).all()
    assert (delay[known] < 0.0502).all()
    np.testing.assert_array_equal(~known, (found["time"] < 0.41) | (found["time"] > 6.46))


def test_times_of_samples_that_do_not_increase():
    time = np.arange(80) * 0.1
    time[40] = time[39]
    with pytest.raises((TimebaseError, DataError), match="increase"):
        fitted(
            session(behavior={"hand": behavior(time[:, None], time=time, feature=["t"])}),
            targets=(BehaviorTarget(name="hand"),),
        )


def test_samples_of_another_time():
    elsewhere = behavior(np.zeros((20, 1)), time=100.0 + np.arange(20.0), feature=["hand"])
    with pytest.raises(EmptySelectionError, match=r"(?s)no sample lies in a stretch.*one clock"):
        fitted(session(behavior={"hand": elsewhere}), targets=(BehaviorTarget(name="hand"),))


FORMS = {
    "float32": lambda x: x.astype(np.float32),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "negative strides": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "integer": lambda x: x.astype(np.int64),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_the_form_of_arrays_does_not_matter(form):
    rng = np.random.default_rng(0)
    hand, sound = rng.integers(-9, 9, (160, 2)) * 1.0, rng.integers(0, 9, (80, 3)) * 1.0

    def made(change):
        return session(
            behavior={
                "hand": behavior(change(hand), sampling_rate=20.0, feature=["x", "y"]),
                "speed": behavior(change(hand[:, :1]), sampling_rate=20.0, feature=["speed"]),
                "state": pick(session(), "behavior", "state"),
            },
            signal={"sound": signal(change(sound), sampling_rate=10.0)},
        )

    model = fitted(made(np.asarray), **KINDS["features"])
    other = fitted(made(FORMS[form]), **KINDS["features"])
    assert other.arrays_digest_ == model.arrays_digest_
    xr.testing.assert_equal(
        other.decode(made(FORMS[form]), "hand"), model.decode(made(np.asarray), "hand")
    )
