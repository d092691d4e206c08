"""Events of deconvolved traces: known ones are found, noise seldom, real data as they are."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn import io
from neurodyn.errors import ConfigError, DataError, EmptySelectionError, SchemaError
from neurodyn.recording import recording, signal, trials, unit_spike_times
from neurodyn.recording.validate import validate
from neurodyn.transforms import bin_spikes
from neurodyn.transforms.calcium_events import calcium_events
from neurodyn.transforms.observation import observation_intervals


def traces(values, rate=30.0, **more):
    return signal(np.asarray(values), sampling_rate=rate, dim="roi", **more)


def simulated(n_frames=20000, n_rois=4, seed=0):
    """Return rectified noise of different sizes, and large events in known frames."""
    rng = np.random.default_rng(seed)
    scale = np.array([0.1, 1.0, 10.0, 100.0])[:n_rois]
    values = scale * np.maximum(rng.normal(size=(n_frames, n_rois)), 0)
    truth = rng.random(values.shape) < 0.01
    values[truth] = (scale * rng.uniform(6, 30, values.shape))[truth]
    return values, truth


def test_known_events_are_found_and_noise_seldom():
    values, truth = simulated()
    events = calcium_events(traces(values))
    count = bin_spikes(events, 1 / 30)["count"].values[: len(values)]
    assert count.shape == values.shape
    assert count.max() == 1
    assert (count[truth] == 1).all()
    # half of the frames are rectified noise, and 0.27 % of these
    assert count[~truth].mean() == pytest.approx(0.00135, rel=0.25)
    found = events["event_threshold"].values / np.array([0.1, 1.0, 10.0, 100.0])
    np.testing.assert_allclose(found, 3, rtol=0.05)


def test_amplitudes_are_those_of_their_frames():
    values, _ = simulated(2000)
    events = calcium_events(traces(values, channel=["9", "b", "3", "a"]), threshold=2.0)
    assert events["unit"].values.tolist() == ["9", "b", "3", "a"]
    assert events["amplitude"].dtype == np.float32
    start = 0
    for column, unit in enumerate(events["unit"].values):
        frame = np.floor(unit_spike_times(events, unit) * 30).astype(int)
        own = events["amplitude"].values[start : start + frame.size]
        np.testing.assert_allclose(own, values[frame, column], rtol=1e-6)
        start += frame.size
    assert start == events.sizes["spike"]


def test_the_scale_of_a_roi_changes_only_its_amplitudes():
    values, _ = simulated(3000)
    factor = np.array([1.0, 4.0, 0.25, 1024.0])
    first, second = calcium_events(traces(values)), calcium_events(traces(values * factor))
    np.testing.assert_array_equal(first["spike_time"], second["spike_time"])
    each = np.repeat(factor, first["row_size"].values)
    np.testing.assert_allclose(second["amplitude"], first["amplitude"] * each, rtol=1e-5)


def test_a_threshold_of_zero_takes_all_and_a_silent_roi_is_kept():
    values = np.array([[0.0, 0.0], [0.5, 0.0], [0.1, 0.0], [0.0, 0.0]])
    events = calcium_events(traces(values), threshold=0.0)
    assert events["row_size"].values.tolist() == [2, 0]
    assert events["obs_row_size"].values.tolist() == [1, 1]


def test_gaps_and_unknown_frames_are_not_observed():
    values, _ = simulated(60, 2)
    values[20:25, 1] = np.nan
    given = traces(values, rate=10.0).isel(time=np.r_[0:40, 50:60])
    whole, part = observation_intervals(calcium_events(given))
    np.testing.assert_allclose(whole, [[0.0, 4.0], [5.0, 6.0]])
    np.testing.assert_allclose(part, [[0.0, 2.0], [2.5, 4.0], [5.0, 6.0]])


def test_what_is_known_of_rois_stays():
    columns = {"is_cell": np.array([True, False])}
    events = calcium_events(traces(simulated(100, 2)[0], channel_columns=columns, units="dF/F0"))
    assert events["is_cell"].values.tolist() == [True, False]
    assert events["amplitude"].attrs["units"] == "dF/F0"
    assert "calcium_events" in str(events.attrs["history"])


def test_bad_input_is_refused():
    values = simulated(50, 2)[0]
    with pytest.raises(DataError, match="the signal is not deconvolved"):
        calcium_events(traces(values - 1))
    for threshold in (-1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match="threshold must not be negative"):
            calcium_events(traces(values), threshold=threshold)
    two = recording({"signal": {"a": traces(values), "b": traces(values)}})
    with pytest.raises(DataError, match="several"):
        calcium_events(two)
    assert calcium_events(two, name="a").sizes["unit"] == 2
    with pytest.raises(EmptySelectionError):
        calcium_events(recording([trials([0.0], [1.0])]))
    herd = xr.concat([traces(values), traces(values)], xr.Variable("animal", ["x", "y"]))
    with pytest.raises(DataError, match="the signal has several animals"):
        calcium_events(herd)
    wrong = calcium_events(traces(values))
    wrong["amplitude"] = ("unit", np.ones(2))
    with pytest.raises(SchemaError, match="variable 'amplitude' has dims"):
        validate(wrong)


@pytest.mark.shared_data
def test_real_deconvolved_traces(shared_data):
    opened = io.open(shared_data / "suite2p_sample", sampling_rate=30.0)
    events = calcium_events(opened)
    assert events.sizes["unit"] == 219
    assert events["cell_probability"].dims == ("unit",)
    np.testing.assert_allclose(observation_intervals(events)[0], [[0.0, 2000 / 30]])
    values = opened["signal/deconvolved"]["signal"].values
    # of most rois some frames of a hundred or a thousand
    share = events["row_size"].values / 2000
    assert 0.003 < np.median(share) < 0.02
    assert np.quantile(share, 0.9) < 1 / 30
    expected = (values > events["event_threshold"].values).sum(0)
    np.testing.assert_array_equal(events["row_size"], expected)
    slow = calcium_events(io.open(shared_data / "suite2p_sample"))
    assert "unknown" in slow.attrs["frame_rate"]
