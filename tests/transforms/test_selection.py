"""Units and trials by query and by label."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import ConfigError, EmptySelectionError, TrialTableError
from neurodyn.recording import (
    counts,
    recording,
    spikes,
    spikes_from_units,
    trials,
    unit_spike_times,
    validate,
)
from neurodyn.transforms import align, select_trials, select_units


@pytest.fixture
def session():
    units = spikes_from_units(
        {"a": [0.1, 0.2], "b": [], "c": [0.3, 0.4, 0.5]},
        unit_columns={"area": ["M1", "PMd", "PMd"], "depth": [10.0, 20.0, np.nan]},
    )
    table = trials(
        [0.0, 1.0, 2.0], [0.5, 1.9, 2.2], trial=[7, 8, 9], columns={"condition": ["l", "r", "l"]}
    )
    return recording([units, table])


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("area == 'PMd'", ["b", "c"]),
        ("area == 'PMd' and row_size > 0", ["c"]),
        ("depth < 15 or unit == 'c'", ["a", "c"]),
        ("area.str.startswith('P')", ["b", "c"]),
        (["c", "a"], ["c", "a"]),
    ],
)
def test_units_keep_their_own_spikes(session, query, kept):
    found = select_units(session, query)
    validate(found)
    assert found["spikes"]["unit"].values.tolist() == kept
    for unit in kept:
        np.testing.assert_array_equal(
            unit_spike_times(found["spikes"].to_dataset(), unit),
            unit_spike_times(session["spikes"].to_dataset(), unit),
        )
    assert found["trials"].sizes["trial"] == 3


def test_units_keep_their_own_intervals():
    ds = spikes(
        [0.1, 0.2],
        [1, 1],
        ["a", "b"],
        observed=([0.0, 1.0, 2.0], [0.5, 1.5, 2.5], [1, 2]),
    )
    found = select_units(ds, ["b"])
    assert found["obs_start"].values.tolist() == [1.0, 2.0]
    assert found["obs_row_size"].values.tolist() == [2]


def test_trials_of_the_table_and_of_aligned_counts(session):
    aligned = align(session, window=(0.0, 0.2), bin_size=0.1)
    tree = recording([*(session[k].to_dataset() for k in ("spikes", "trials")), aligned])
    found = select_trials(tree, "condition == 'l' and stop - start > 0.3")
    assert found["trials"]["trial"].values.tolist() == [7]
    assert found["counts"]["trial"].values.tolist() == [7]
    assert found["spikes"].sizes["spike"] == 5
    assert select_trials(session["trials"].to_dataset(), [9, 7])["trial"].values.tolist() == [9, 7]
    assert select_trials(aligned, "trial >= 8").sizes["trial"] == 2


def test_units_of_counts():
    ds = counts([[1, 2, 3]], bin_size=0.1, unit=["x", "y", "z"], held_out=[True, False, True])
    assert select_units(ds, "held_out")["count"].values.tolist() == [[1, 3]]


def test_input_is_left_alone(session):
    before = session.copy(deep=True)
    select_units(session, "area == 'M1'")
    xr.testing.assert_identical(session, before)


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("aera == 'M1'", ConfigError, "did you mean 'area'"),
        ("area ==", ConfigError, "cannot be understood"),
        ("depth + 1", ConfigError, "the query is no condition"),
        ("depth > 100", EmptySelectionError, "no unit is left"),
        ("@np.pi > 3", ConfigError, "no '@' and no '__'"),
        ("area.__class__ == 3", ConfigError, "no '@' and no '__'"),
        (["a", "q"], EmptySelectionError, "no unit 'q'"),
        ([], EmptySelectionError, "no unit is left"),
    ],
)
def test_queries_that_say_nothing_are_refused(session, query, error, message):
    with pytest.raises(error, match=message):
        select_units(session, query)


def test_nothing_to_select_from_is_refused(session):
    with pytest.raises(TrialTableError, match="no trials to select"):
        select_trials(session["spikes"].to_dataset(), "trial == 1")
    with pytest.raises(TrialTableError, match="found: spikes"):
        select_trials(recording([session["spikes"].to_dataset()]), "trial == 1")
    with pytest.raises(EmptySelectionError, match="no units to select"):
        select_units(session["trials"].to_dataset(), "unit == 1")


def test_amplitudes_follow_their_spikes():
    ds = spikes_from_units({"a": [0.1, 0.3], "b": [0.2], "c": [0.4, 0.5]})
    ds = ds.assign(amplitude=("spike", ds["spike_time"].values * 10))
    found = select_units(ds, ["c", "a"])
    np.testing.assert_allclose(found["amplitude"], [4.0, 5.0, 1.0, 3.0])
    np.testing.assert_allclose(found["amplitude"], found["spike_time"] * 10)
