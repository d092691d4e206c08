"""Constructors, validation and access: right things pass, every fault is named."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn import recording as nr
from neurodyn.errors import ConfigError, DataError, EmptySelectionError, SchemaError
from neurodyn.recording.schema import rule_for


def test_counts_take_the_smallest_dtype():
    assert nr.counts([[255]], bin_size=0.1)["count"].dtype == np.uint8
    assert nr.counts([[256]], bin_size=0.1)["count"].dtype == np.uint16
    with pytest.raises(DataError, match=r"too many spikes[\s\S]*65536[\s\S]*65,535"):
        nr.counts([[65536]], bin_size=0.1)


@pytest.mark.parametrize("bad", [-1, 0.5, np.nan, np.inf])
def test_counts_must_be_whole_numbers(bad):
    with pytest.raises(DataError, match=r"whole numbers[\s\S]*observed=False"):
        nr.counts([[bad]], bin_size=0.1)


def test_wrong_number_of_dims_is_refused():
    with pytest.raises(DataError, match="2 or 3"):
        nr.counts([1, 2], bin_size=0.1)
    with pytest.raises(DataError, match="wrong number of dims"):
        nr.signal([1.0, 2.0], sampling_rate=1.0)


def test_masked_counts_are_missing_where_unobserved():
    ds = nr.counts(np.ones((2, 3, 1)), bin_size=0.1, observed=[[True, True, False]] * 2)
    masked = nr.masked_counts(ds)
    assert masked.dims == ("trial", "time", "unit")
    assert np.isnan(masked.values[:, 2]).all()
    assert (masked.values[:, :2] == 1).all()
    assert nr.masked_counts(ds.drop_vars("observed")).notnull().all()


def test_physical_applies_scale_conversion_and_offset():
    raw = np.array([[1, 2], [3, 4]], "i2")
    ds = nr.signal(
        raw,
        sampling_rate=10.0,
        units="V",
        scale_factor=2.0,
        add_offset=1.0,
        channel_columns={"channel_conversion": [1.0, 10.0]},
    )
    np.testing.assert_allclose(nr.physical(ds), raw * 2.0 * [1, 10] + 1)
    assert nr.physical(ds).attrs["units"] == "V"
    assert nr.physical(ds).dtype == np.float32


def test_signals_of_several_animals():
    values = np.arange(24.0).reshape(2, 4, 3)
    ds = nr.signal(values, sampling_rate=2.0, dim="roi", animal=["w1", 2], scale_factor=0.5)
    assert ds["signal"].dims == ("animal", "time", "roi")
    assert ds["animal"].values.tolist() == ["w1", "2"]
    assert ds["time"].values.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert nr.physical(ds).dims == ("animal", "time", "roi")
    np.testing.assert_array_equal(nr.physical(ds), values / 2)
    tree = nr.recording([ds])
    assert nr.faults(tree) == []
    assert "2 animals, 4 times, 3 rois: signal (2 Hz)" in nr.describe(tree)
    numbered = nr.signal(values, sampling_rate=2.0)
    assert numbered["signal"].dims == ("animal", "time", "channel")
    assert numbered["animal"].values.tolist() == ["0", "1"]
    assert nr.faults(ds.isel(animal=0)) == []
    assert nr.faults(ds.isel(animal=0, drop=True)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.assign_coords(animal=["a", "a"]), "animal labels repeat: .*a"),
        (lambda ds: ds.assign_coords(animal=[0, 1]), "coordinate 'animal' has dtype int64"),
        (lambda ds: ds.transpose("time", "animal", "roi"), r"dims \(time, animal, roi\)"),
        (lambda ds: ds.rename(animal="subject"), r"\(subject, time, roi\), expected .*\(animal"),
    ],
)
def test_faults_of_signals_of_several_animals(change, message):
    ds = nr.signal(np.zeros((2, 4, 3)), sampling_rate=2.0, dim="roi", animal=["a", "b"])
    assert nr.faults(ds) == []
    with pytest.raises(SchemaError, match=message):
        nr.validate(change(ds))


def test_an_animal_without_an_axis_is_not_asked_for():
    assert "animal" not in nr.signal(np.zeros((4, 3)), sampling_rate=2.0, animal=["a"]).coords


def test_very_long_clocks_stay_lazy():
    time = nr.regular_time(2**26, 1000.0, start=5.0)
    assert type(time.xindexes["time"]).__name__ == "RangeIndex"
    ds = xr.Dataset(coords=time)
    assert ds.sel(time=5.25, method="nearest")["time"].item() == pytest.approx(5.25)


def test_a_series_needs_a_clock():
    for rate in (None, 0.0, -1.0, np.nan):
        with pytest.raises(DataError, match="needs a clock"):
            nr.signal(np.zeros((2, 1)), sampling_rate=rate)


def test_all_faults_are_named_in_one_raise():
    ds = nr.spikes_from_units({"a": [1.0, 2.0], "b": [3.0]})
    broken = ds.drop_vars("row_size").assign_coords(unit=["a", "a"])
    broken["spike_time"] = broken["spike_time"].astype(int)
    del broken.attrs["tick_hz"]
    with pytest.raises(SchemaError, match="3 faults") as caught:
        nr.validate(broken, where="session.nwb")
    for text in ("row_size", "spike_time", "tick_hz", "session.nwb"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.assign_attrs(kind="nonsense"), "'nonsense'"),
        (lambda ds: ds.assign_attrs(bin_size=0.0), "bin_size"),
        (lambda ds: ds.assign_coords(unit=["a", "a"]), "unit labels repeat"),
        (lambda ds: ds.assign_coords(time=[0.1, 0.0]), "time does not increase at sample 1"),
        (lambda ds: ds.assign_coords(time=[0.1, np.nan]), "time is not finite at sample 1"),
        (lambda ds: ds.reset_coords("held_out"), "'held_out' must be a coordinate"),
        (lambda ds: ds.transpose("unit", "time"), r"dims \(unit, time\)"),
    ],
)
def test_faults_of_counts(change, message):
    ds = nr.counts(np.ones((2, 2)), bin_size=0.1, unit=["a", "b"], held_out=[False, True])
    assert nr.faults(ds) == []
    with pytest.raises(SchemaError, match=message):
        nr.validate(change(ds))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_size": ("unit", [2, 2])}, "row_size sums to 4, expected the 3 spikes"),
        ({"spike_time": ("spike", [2.0, 1.0, 3.0])}, "unit 'a': spike times are not sorted"),
        ({"spike_time": ("spike", [1.0, 2.0, np.inf])}, "unit 'b': spike times are not finite"),
        ({"obs_start": ("obs_interval", [0.0])}, "need obs_start, obs_stop and obs_row_size"),
        (
            {
                "obs_start": ("obs_interval", [0.0]),
                "obs_stop": ("obs_interval", [1.0]),
                "obs_row_size": ("unit", [1, 1]),
            },
            "obs_row_size does not sum",
        ),
    ],
)
def test_faults_of_spikes(change, message):
    ds = nr.spikes_from_units({"a": [1.0, 2.0], "b": [3.0]})
    with pytest.raises(SchemaError, match=message):
        nr.validate(ds.assign(change))


def test_inner_nodes_hold_nothing():
    table = nr.trials([0.0], [1.0])
    tree = nr.recording({"trials": {"main": table, "epochs": table}})
    tree["trials"].coords["x"] = 1
    assert any("inner nodes hold no coordinates" in fault for fault in nr.faults(tree))
    tree = nr.recording({"trials": {"main": table}})
    tree["trials"]["y"] = 1
    assert any("inner nodes hold no variables" in fault for fault in nr.faults(tree))


def test_pick_by_kind_and_name():
    hand = nr.behavior([1.0], sampling_rate=1.0, feature=["x"])
    tree = nr.recording(
        {"behavior": {"hand": hand, "eye": hand}, "trials": nr.trials([0.0], [1.0])}
    )
    assert nr.pick(tree, "behavior", "eye")["feature"].item() == "x"
    assert nr.pick(hand, "behavior") is hand
    with pytest.raises(DataError, match=r"several behavior[\s\S]*hand, eye[\s\S]*name='hand'"):
        nr.pick(tree, "behavior")
    with pytest.raises(EmptySelectionError, match="did you mean 'hand'"):
        nr.pick(tree, "behavior", "hands")
    with pytest.raises(EmptySelectionError, match=r"no spikes[\s\S]*behavior, trials"):
        nr.pick(tree, "spikes")
    with pytest.raises(EmptySelectionError, match="not of kind 'trials'"):
        nr.pick(hand, "trials")


def test_a_single_child_answers_to_its_name_in_the_file():
    hand = nr.behavior([1.0], sampling_rate=1.0, name="hand_vel")
    tree = nr.recording([hand])
    assert nr.names(tree) == {"behavior": [""]}
    assert nr.pick(tree, "behavior", "hand_vel").attrs["name"] == "hand_vel"
    with pytest.raises(EmptySelectionError, match="no behavior of name 'eye'"):
        nr.pick(tree, "behavior", "eye")


def test_unit_spike_times_by_id():
    ds = nr.spikes_from_units({"a": [1.0, 2.0], "b": [], "c": [3.0]})
    assert nr.unit_spike_times(ds, "c").tolist() == [3.0]
    assert nr.unit_spike_times(ds, "b").size == 0
    with pytest.raises(EmptySelectionError, match="no unit 'd'"):
        nr.unit_spike_times(ds, "d")


def test_describe_reads_no_data():
    spikes = nr.spikes_from_units({"a": [1.0, 2.0]}).assign_attrs(fault="index beyond data")
    behavior = nr.behavior([1.0, 2.0], sampling_rate=50.0, feature=["speed"])
    text = nr.describe(
        nr.recording({"spikes": spikes, "behavior": {"wheel": behavior}}, subject="M")
    )
    assert "subject=M" in text
    assert "2 spikes, 1 unit" in text
    assert "! index beyond data" in text
    assert "behavior/wheel 2 times, 1 feature: value (50 Hz)" in text


def test_no_spikes_at_all():
    ds = nr.spikes_from_units({})
    assert ds.sizes == {"spike": 0, "unit": 0}


def test_unknown_kind():
    with pytest.raises(ConfigError, match=r"kind[\s\S]*did you mean 'spikes'"):
        rule_for("spike")
