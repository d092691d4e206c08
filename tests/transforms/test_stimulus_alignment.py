"""Stimuli in one order: against a loop over samples, at the edges, and for every refusal."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import (
    ConfigError,
    DataError,
    EmptySelectionError,
    TimebaseError,
    TrialTableError,
)
from neurodyn.provenance import history
from neurodyn.recording import behavior, load, pick, recording, save, signal, trials, validate
from neurodyn.transforms import align_stimuli

RATE = 2.0


def traces(n_animals=2, n_time=20, names=("a", "b"), **kwargs):
    """Values say where they are from: 1000 animal + sample, and half a one more for each roi."""
    value = np.arange(n_time, dtype=float)[:, None] + 0.25 * np.arange(len(names))
    values = value + 1000.0 * np.arange(n_animals)[:, None, None]
    animal = [f"w{index}" for index in range(n_animals)]
    return signal(
        values, sampling_rate=RATE, dim="roi", channel=list(names), animal=animal, **kwargs
    )


def table(*animals, duration=1.0, **columns):
    """One ``{stimulus: onset [s]}`` (or pairs of them) per animal."""
    rows = [
        (f"w{index}", name, onset)
        for index, own in enumerate(animals)
        for name, onset in (own.items() if isinstance(own, dict) else own)
    ]
    animal, stimulus, start = zip(*rows, strict=True)
    return trials(
        start,
        np.asarray(start) + duration,
        columns={"stimulus": list(stimulus), "animal": list(animal), **columns},
    )


def by_hand(data, stimuli, order):
    """Cut and order one list of stretches per animal, in plain Python."""
    lists = []
    for row, own in enumerate(stimuli):
        samples = data["signal"].values[row, :, 0].tolist()
        place = {name: int(np.ceil(onset * RATE - 1e-9)) for name, onset in own.items()}
        names = ["before", *sorted(place, key=place.get)]
        edges = [0, *sorted(place.values()), len(samples)]
        lists.append({n: samples[a:b] for n, (a, b) in zip(names, pairwise(edges), strict=True)})
    least = {name: min(len(own[name]) for own in lists) for name in ("before", *order)}
    found = []
    for own in lists:
        kept = own["before"][len(own["before"]) - least["before"] :]
        found.append([*kept, *(v for name in order for v in own[name][: least[name]])])
    return np.array(found), least


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_samples_are_those_of_a_plain_loop(data):
    names = ["salt", "odor", "light"]
    stimuli = []
    for _ in range(data.draw(st.integers(1, 4))):
        own = data.draw(st.permutations(names))
        places = data.draw(st.lists(st.integers(0, 38), min_size=3, max_size=3, unique=True))
        late = data.draw(st.sampled_from([0.0, 0.1]))
        stimuli.append(dict(zip(own, (place / RATE - late for place in sorted(places)))))
    stimuli = [{n: max(onset, 0.0) for n, onset in own.items()} for own in stimuli]
    order = data.draw(st.permutations(names))
    source = traces(len(stimuli), 40)
    found = align_stimuli(source, table(*stimuli), order=order)
    expected, least = by_hand(source, stimuli, order)
    np.testing.assert_array_equal(found["signal"].values[:, :, 0], expected)
    np.testing.assert_array_equal(found["signal"].values[:, :, 1], expected + 0.25)
    assert found["segment"].values.tolist() == [n for n, k in least.items() for _ in range(k)]
    np.testing.assert_allclose(found["original_time"].values, expected % 1000 / RATE)
    np.testing.assert_allclose(found["time"].values, np.arange(expected.shape[1]) / RATE)
    n_cropped = source["signal"].values[:, :, 0].size - expected.size
    assert found.attrs.get("quality", {}).get("samples_cropped", 0) == n_cropped


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    animals=st.permutations(range(3)),
    rois=st.permutations(range(4)),
    rows=st.permutations(range(6)),
)
def test_labels_never_shift_under_permutations(animals, rois, rows):
    stimuli = table(
        {"salt": 2.0, "odor": 6.0}, {"odor": 3.0, "salt": 5.0}, {"salt": 4.0, "odor": 8.0}
    )
    source = traces(3, names=("a", "b", "c", "d"))
    shuffled = source.isel(animal=list(animals), roi=list(rois))
    first = align_stimuli(source, stimuli, order=["odor", "salt"])
    second = align_stimuli(shuffled, stimuli.isel(trial=list(rows)), order=["odor", "salt"])
    for animal in source["animal"].values:
        for roi in source["roi"].values:
            one, other = (ds.sel(animal=animal, roi=roi) for ds in (first, second))
            np.testing.assert_array_equal(one["signal"], other["signal"])
            np.testing.assert_array_equal(one["original_time"], other["original_time"])


def test_the_first_animal_gives_the_order():
    stimuli = ({"odor": 4.0, "salt": 7.0}, {"salt": 4.0, "odor": 7.0})
    found = align_stimuli(traces(), table(*stimuli))
    assert list(dict.fromkeys(found["segment"].values.tolist())) == ["before", "odor", "salt"]
    np.testing.assert_array_equal(found["original_time"][0], np.arange(20) / RATE)
    assert found["original_time"].attrs["units"] == found["time"].attrs["units"] == "s"
    assert "quality" not in found.attrs
    assert history(found)[-1]["parameters"] == {"order": ["odor", "salt"], "repeats": "raise"}
    validate(found)


def test_what_is_before_is_cropped_at_its_beginning():
    found = align_stimuli(traces(), table({"salt": 4.0}, {"salt": 7.0}))
    samples = found["signal"].values[:, :, 0] % 1000
    assert samples[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, *range(8, 14)]
    assert samples[1].tolist() == [6, 7, 8, 9, 10, 11, 12, 13, *range(14, 20)]
    assert found.attrs["quality"] == {"samples_cropped": 12}


def test_a_stimulus_at_the_first_sample_leaves_nothing_before():
    found = align_stimuli(traces(), table({"salt": 0.0}, {"salt": 1.0}))
    assert set(found["segment"].values.tolist()) == {"salt"}
    assert found.sizes["time"] == 18


def test_a_table_without_animals_holds_for_all():
    stimuli = trials([4.0, 7.0], [5.0, 8.0], columns={"stimulus": ["salt", "odor"]})
    found = align_stimuli(traces(), stimuli, order=["odor", "salt"])
    samples = found["signal"].values[:, :, 0] % 1000
    assert samples[0].tolist() == samples[1].tolist() == [*range(8), *range(14, 20), *range(8, 14)]


def test_one_animal_needs_no_dim():
    one = traces().isel(animal=1, drop=True)
    stimuli = table({"salt": 4.0, "odor": 7.0})
    found = align_stimuli(one, stimuli, order=["odor", "salt"])
    assert found["signal"].dims == ("time", "roi")
    assert found["original_time"].dims == ("time",)
    expected = [*range(8), *range(14, 20), *range(8, 14)]
    np.testing.assert_array_equal(found["signal"].values[:, 0], 1000.0 + np.array(expected))
    with pytest.raises(TrialTableError, match="animals that the signal lacks"):
        align_stimuli(one, table({"salt": 4.0}, {"salt": 4.0}))


def test_the_clock_begins_where_the_signal_did():
    source = traces(start=100.0)
    found = align_stimuli(source, table({"salt": 104.0}, {"salt": 105.0}))
    assert found["time"].values[:3].tolist() == [100.0, 100.5, 101.0]
    assert found["original_time"].values[:, 0].tolist() == [100.0, 101.0]


def test_missing_cells_and_columns_stay():
    source = traces(channel_columns={"side": ["L", "R"]})
    source["signal"][1, :, 0] = np.nan
    found = align_stimuli(
        source.assign_coords(strain=("animal", ["N2", "N2"]), n_frames=("animal", [20, 20])),
        table({"salt": 4.0}, {"salt": 6.0}),
    )
    assert np.isnan(found["signal"].values[1, :, 0]).all()
    assert np.isfinite(found["signal"].values[1, :, 1]).all()
    assert found["side"].values.tolist() == ["L", "R"]
    assert found["strain"].values.tolist() == ["N2", "N2"]
    assert "n_frames" not in found.coords


def test_frames_without_values_are_no_part_of_a_record():
    source = traces()
    source["signal"][1, :2] = np.nan
    source["signal"][1, 17:] = np.nan
    found = align_stimuli(source, table({"salt": 4.0, "odor": 7.0}, {"odor": 4.0, "salt": 7.0}))
    assert np.isfinite(found["signal"].values).all()
    assert found["segment"].values.tolist() == ["before"] * 6 + ["salt"] * 3 + ["odor"] * 6
    assert found.attrs["quality"] == {"samples_cropped": 20 + 15 - 2 * 15}
    with pytest.raises(TrialTableError, match=r"'odor' lies outside(.|\n)*1 to 8 s"):
        align_stimuli(source, table({"odor": 4.0}, {"odor": 9.0}))
    source["signal"][1] = np.nan
    with pytest.raises(EmptySelectionError, match=r"an animal has no values \(at animal w1\)"):
        align_stimuli(source, table({"odor": 4.0}, {"odor": 4.0}))


def test_repeats_are_refused_or_numbered():
    repeated = table(
        [("salt", 2.0), ("odor", 4.0), ("salt", 6.0)], [("salt", 2.0), ("salt", 5.0), ("odor", 8.0)]
    )
    with pytest.raises(TrialTableError, match=r"more than once \(at animal w0(.|\n)*found: salt"):
        align_stimuli(traces(), repeated)
    found = align_stimuli(traces(), repeated, repeats="number")
    segments = dict.fromkeys(found["segment"].values.tolist())
    assert list(segments) == ["before", "salt 1", "odor", "salt 2"]
    first = found.sel(time=found["segment"] == "salt 2").isel(time=0)["original_time"]
    assert first.values.tolist() == [6.0, 5.0]
    fewer = table([("salt", 2.0), ("salt", 6.0)], [("salt", 2.0)])
    with pytest.raises(
        TrialTableError, match=r"missing in animals \(at animal w1(.|\n)*without salt 2"
    ):
        align_stimuli(traces(), fewer, repeats="number")


def test_a_recording_keeps_signal_and_stimuli_on_one_clock(tmp_path):
    stimuli = table(
        {"salt": 3.9, "odor": 7.0},
        {"odor": 4.0, "salt": 6.0},
        duration=2.5,
        valve_time=[4.9, 7.5, 4.5, 6.5],
        dose=[1.0, 2.0, 2.0, 1.0],
    )
    found = align_stimuli(recording([traces(), stimuli], subject="worms"))
    aligned, moved = pick(found, "signal"), pick(found, "trials")
    segment, time = aligned["segment"].values, aligned["time"].values
    assert moved["start"].values.tolist() == [4.0, 7.0, 7.0, 4.0]
    assert moved["stop"].values.tolist() == [6.5, 9.0, 9.0, 6.5]
    np.testing.assert_allclose(moved["valve_time"], [5.0, 7.5, 7.5, 4.5])
    assert moved["dose"].values.tolist() == [1.0, 2.0, 2.0, 1.0]
    for name, start in (("salt", 4.0), ("odor", 7.0)):
        assert time[segment == name][0] == start
    assert found.attrs["subject"] == "worms"
    assert load(save(found, tmp_path / "aligned.nc")).identical(found)
    xr.testing.assert_equal(aligned, align_stimuli(traces(), stimuli))


def test_input_is_left_alone():
    tree = recording([traces(), table({"salt": 3.0}, {"salt": 5.0})])
    before = tree.copy(deep=True)
    align_stimuli(tree)
    xr.testing.assert_identical(tree, before)


@pytest.mark.parametrize(
    ("stimuli", "message"),
    [
        (({"salt": 2.0}, {"odor": 2.0}), r"stimuli are missing in animals \(at animal w0"),
        (({"salt": 2.0, "odor": 4.0}, {"odor": 2.0}), r"at animal w1(.|\n)*1 of 2 without salt"),
        (({"salt": 2.0},), r"stimuli are missing in animals \(at animal w1"),
        (({"salt": 2.0}, {"salt": 2.0}, {"salt": 2.0}), r"signal lacks(.|\n)*found: w2"),
        (
            ({"salt": 2.0}, {"salt": 10.0}),
            r"'salt' lies outside the record \(at animal w1(.|\n)*9\.5",
        ),
        (({"salt": -0.5}, {"salt": 2.0}), r"'salt' lies outside the record \(at animal w0"),
        (({"salt": 2.1, "odor": 2.4}, {"salt": 2.0, "odor": 4.0}), "same sample as the next"),
        (({"salt": float("nan")}, {"salt": 2.0}), r"a stimulus has no onset \(at trial 0"),
        (({"before": 2.0}, {"before": 2.0}), "no stimulus may be called 'before'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(stimuli, message):
    with pytest.raises(TrialTableError, match=message):
        align_stimuli(traces(), table(*stimuli))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["salt"], r"order must name each stimulus once(.|\n)*expected: salt, odor"),
        (["salt", "odour"], "did you mean 'odor'"),
        (["salt", "odor", "salt"], "found: salt, odor, salt"),
    ],
)
def test_orders_of_other_stimuli_are_refused(order, message):
    stimuli = table({"salt": 2.0, "odor": 4.0}, {"odor": 3.0, "salt": 6.0})
    with pytest.raises(ConfigError, match=message):
        align_stimuli(traces(), stimuli, order=order)


def test_what_cannot_be_aligned_is_refused():
    stimuli = table({"salt": 2.0}, {"salt": 2.0})
    irregular = traces().isel(time=[0, 1, 2, 3, 4, 5, 8, 9])
    with pytest.raises(TimebaseError, match=r"on a regular clock(.|\n)*steps from 0.5 to 1.5 s"):
        align_stimuli(irregular, stimuli)
    with pytest.raises(TimebaseError, match="one sample"):
        align_stimuli(traces().isel(time=[0]), stimuli)
    with pytest.raises(TrialTableError, match=r"no table of stimuli(.|\n)*found: signal"):
        align_stimuli(recording([traces()]))
    with pytest.raises(TrialTableError, match=r"no table of stimuli(.|\n)*found: signal"):
        align_stimuli(traces())
    with pytest.raises(TrialTableError, match="no column 'stimulus'"):
        align_stimuli(traces(), stimuli.rename(stimulus="stimuli"))
    with pytest.raises(EmptySelectionError, match="no stimulus to align"):
        align_stimuli(traces(), stimuli.isel(trial=[]))
    with pytest.raises(ConfigError, match="invalid value for repeats"):
        align_stimuli(traces(), stimuli, repeats="first")
    track = behavior(np.zeros(20), sampling_rate=RATE)
    with pytest.raises(DataError, match=r"cannot follow the stimuli(.|\n)*found: behavior"):
        align_stimuli(recording([traces(), stimuli, track]))
