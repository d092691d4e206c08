"""Folds in time: disjoint, apart by the gap, together all that was observed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.recording import behavior, recording, spikes, spikes_from_units, trials
from neurodyn.transforms.intervals import difference, intersection, union
from neurodyn.windows.time_folds import blocked_folds, blocked_holdout, observed_time

SEVERAL = settings(deadline=None, max_examples=25, derandomize=True)


@st.composite
def recorded(draw):
    """Spikes in one to four epochs, with as many in each second."""
    lengths = draw(st.lists(st.integers(5, 40), min_size=1, max_size=4))
    pauses = draw(st.lists(st.sampled_from([0.5, 3.0, 100.0]), min_size=4, max_size=4))
    start = draw(st.sampled_from([-7.0, 0.0, 4425.1]))
    epochs = []
    for length, pause in zip(lengths, pauses):
        epochs.append([start, start + length])
        start += length + pause
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    units = {
        name: np.sort(np.concatenate([rng.uniform(a, b, int(3 * (b - a))) for a, b in epochs]))
        for name in "ab"
    }
    return spikes_from_units(units, observed=epochs)


def length(intervals):
    return float(np.diff(intervals).sum())


def distance(first, second):
    """Return the least distance [s] of two sets of intervals."""
    after = second[None, :, 0] - first[:, None, 1]
    before = first[:, None, 0] - second[None, :, 1]
    return float(np.maximum(after, before).min())


@SEVERAL
@given(data=recorded(), n_folds=st.integers(2, 6), gap=st.sampled_from([0.0, 0.1, 1.5]))
def test_folds_are_apart_and_cover_what_was_observed(data, n_folds, gap):
    # a gap at each side leaves something in every fold
    assume(length(observed_time(data)) / n_folds > 2 * gap)
    folds = blocked_folds(data, n_folds, gap=gap)
    observed = observed_time(data)
    tests = [observed_time(test) for _, test in folds]
    np.testing.assert_allclose(union(*tests), observed, atol=1e-8)
    assert sum(map(length, tests)) == pytest.approx(length(observed))
    assert [length(test) for test in tests] == pytest.approx([length(observed) / n_folds] * n_folds)
    n_spikes = data.sizes["spike"]
    assert sum(test.sizes["spike"] for _, test in folds) == n_spikes
    for train, test in folds:
        learned, scored = observed_time(train), observed_time(test)
        assert distance(learned, scored) >= gap - 1e-9
        left = length(observed) - length(learned) - length(scored)
        between = difference(intersection(scored + np.array([-gap, gap]), observed), scored)
        assert left == pytest.approx(length(between), abs=1e-6)
        if gap == 0:
            assert train.sizes["spike"] + test.sizes["spike"] == n_spikes
        time = np.concatenate([train["spike_time"].values, test["spike_time"].values])
        assert np.unique(time).size == time.size


@SEVERAL
@given(data=recorded(), n_blocks=st.integers(1, 5), gap=st.sampled_from([0.0, 0.2]))
def test_held_out_blocks_are_spread_over_the_time(data, n_blocks, gap):
    train, held = map(observed_time, blocked_holdout(data, gap=gap, n_blocks=n_blocks))
    observed = observed_time(data)
    assert length(held) == pytest.approx(0.2 * length(observed))
    assert distance(train, held) >= gap - 1e-9
    assert length(intersection(train, held)) == 0.0
    if gap == 0:
        np.testing.assert_allclose(union(train, held), observed, atol=1e-8)


def test_blocks_end_the_stretches():
    data = spikes_from_units({"a": [0.5]}, observed=[[0.0, 50.0], [100.0, 150.0]])
    _, held = blocked_holdout(data, validation=0.1, gap=1.0, n_blocks=4)
    wanted = [[22.5, 25.0], [47.5, 50.0], [122.5, 125.0], [147.5, 150.0]]
    np.testing.assert_allclose(observed_time(held), wanted)


def test_a_gap_counts_seconds_and_not_recorded_ones():
    data = spikes_from_units({"a": [0.5]}, observed=[[0.0, 10.0], [1000.0, 1010.0]])
    train, _ = blocked_folds(data, 2, gap=5.0)[0]
    assert observed_time(train).tolist() == [[1000.0, 1010.0]]


def test_other_kinds_are_cut_along():
    rng = np.random.default_rng(0)
    data = recording(
        {
            "spikes": spikes_from_units({"a": np.sort(rng.uniform(0, 10, 50))}, observed=[[0, 10]]),
            "behavior": behavior(np.arange(100.0), sampling_rate=10.0, feature=["x"]),
            "trials": trials([0.0, 4.5, 6.0], [1.0, 5.5, 7.0]),
        },
        subject="J",
    )
    train, test = blocked_folds(data, 2, gap=1.0)[1]
    assert train["behavior"]["value"].values.ravel().tolist() == list(range(40))
    assert test["behavior"]["value"].values.ravel().tolist() == list(range(50, 100))
    assert train["trials"]["trial"].values.tolist() == [0]
    assert test["trials"]["trial"].values.tolist() == [2]
    assert test.attrs["subject"] == "J"


def test_observed_time_is_that_of_all_units():
    found = spikes(
        [0.1, 1.5, 0.5],
        [2, 1],
        observed=([0.0, 1.0, 0.4], [0.6, 2.0, 1.2], [2, 1]),
        unit=["a", "b"],
    )
    np.testing.assert_allclose(observed_time(found), [[0.4, 0.6], [1.0, 1.2]])
    unsaid = spikes_from_units({"a": [1.0, 3.0]}, tick_hz=1000.0)
    np.testing.assert_allclose(observed_time(unsaid), [[1.0, 3.001]])


def test_impossible_folds_are_refused():
    data = spikes_from_units({"a": [0.5]}, observed=[[0.0, 10.0]])
    with pytest.raises(ConfigError, match=r"too few folds[\s\S]*n_folds=1"):
        blocked_folds(data, 1, gap=0.0)
    for gap in (-1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match=r"gap is impossible[\s\S]*seconds from 0"):
            blocked_folds(data, gap=gap)
    with pytest.raises(ConfigError, match="gap is impossible"):
        blocked_holdout(data, gap=-0.1)
    with pytest.raises(EmptySelectionError, match=r"train part of the split is empty[\s\S]*10 s"):
        blocked_folds(data, 2, gap=5.0)
    with pytest.raises(EmptySelectionError, match=r"train part of the split is empty[\s\S]*gap=9"):
        blocked_holdout(data, gap=9.0)


@pytest.mark.parametrize("given", [{"validation": 0.0}, {"validation": 1.0}, {"n_blocks": 0}])
def test_impossible_holdouts_are_refused(given):
    data = spikes_from_units({"a": [0.5]}, observed=[[0.0, 10.0]])
    with pytest.raises(ConfigError, match="blocked holdout is impossible"):
        blocked_holdout(data, gap=0.0, **given)


def test_nothing_observed_is_refused():
    with pytest.raises(EmptySelectionError, match="no spikes and no observation"):
        blocked_folds(spikes_from_units({"a": []}), gap=0.0)
    apart = spikes([0.1, 1.5], [1, 1], observed=([0.0, 1.0], [1.0, 2.0], [1, 1]), unit=["a", "b"])
    with pytest.raises(EmptySelectionError, match=r"all units at once[\s\S]*2 units"):
        observed_time(apart)
    with pytest.raises(EmptySelectionError, match="no spikes"):
        observed_time(recording([trials([0.0], [1.0])]))
