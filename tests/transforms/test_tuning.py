"""Tuning curves against known rates and against pynapple."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from neurodyn.errors import ConfigError, EmptySelectionError, TimebaseError
from neurodyn.recording import behavior, recording, spikes, spikes_from_units
from neurodyn.transforms import bin_spikes, tuning_curves


@pytest.fixture
def walk(rng):
    time = np.arange(3000) / 50.0
    x = np.sin(time) + 0.1 * rng.normal(size=time.size)
    y = np.cos(0.7 * time) + 0.1 * rng.normal(size=time.size)
    return behavior(np.column_stack([x, y]), sampling_rate=50.0, feature=["x", "y"])


@pytest.fixture
def units(rng):
    return {str(k): np.sort(rng.uniform(-1.0, 61.0, 300 * (k + 1))) for k in range(3)}


@pytest.mark.parametrize("features", [["x"], ["y", "x"]])
def test_equal_to_pynapple(walk, units, features):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynapple as nap

        group = nap.TsGroup({int(name): nap.Ts(times) for name, times in units.items()})
        columns = walk["value"].sel(feature=features).values
        frame = nap.TsdFrame(t=walk["time"].values, d=columns, columns=features)
        expected = nap.compute_tuning_curves(group, frame, bins=7)
    found = tuning_curves(spikes_from_units(units), walk, features, bins=7)
    assert found["rate"].dims == ("unit", *features)
    np.testing.assert_allclose(found["rate"], expected, rtol=1e-9)
    for name in features:
        np.testing.assert_allclose(found[name], expected[name])
    occupancy = expected.attrs["occupancy"] / 50.0
    np.testing.assert_allclose(found["occupancy"][0], occupancy, rtol=1e-9)


def test_the_true_rate_is_found(rng):
    time = np.arange(200_000) / 100.0
    x = (time % 10.0) / 10.0
    rate = 20.0 * x
    train = np.repeat(time, rng.poisson(rate / 100.0)) + 0.004
    found = tuning_curves(spikes_from_units([train]), behavior(x, time=time, feature=["x"]), bins=5)
    np.testing.assert_allclose(found["rate"][0], 20.0 * found["x"], rtol=0.05)


def test_only_what_was_observed_counts(walk, units):
    whole = spikes_from_units(units)
    half = spikes_from_units(units, observed=[[0.0, 30.0]])
    found = tuning_curves(half, walk, ["x"], bins=5, limits=[(-1.5, 1.5)])
    first_half = walk.isel(time=walk["time"].values < 30.0)
    total = found["rate"] * found["occupancy"]
    early = {name: times[(times >= 0) & (times < 30)] for name, times in units.items()}
    edges = np.linspace(-1.5, 1.5, 6)
    for row, times in enumerate(early.values()):
        nearest = np.abs(times[:, None] - walk["time"].values).argmin(axis=1)
        count = np.histogram(walk["value"].values[nearest, 0], edges)[0]
        np.testing.assert_allclose(total[row].fillna(0.0), count, atol=1e-9)
    time_spent = np.histogram(first_half["value"].values[:, 0], edges)[0] / 50.0
    np.testing.assert_allclose(found["occupancy"][1], time_spent)
    assert tuning_curves(whole, walk, ["x"])["occupancy"][0].sum() == pytest.approx(60.0)


def test_units_have_their_own_exposure(walk):
    ds = spikes([5.0, 45.0], [1, 1], observed=([0.0, 30.0], [30.0, 60.0], [1, 1]))
    found = tuning_curves(ds, walk, "x", bins=4)
    np.testing.assert_allclose(found["occupancy"].sum("x"), [30.0, 30.0])
    never = spikes([5.0, 45.0], [1, 1], observed=([0.0], [60.0], [1, 0]))
    assert np.isnan(tuning_curves(never, walk, "x", bins=4)["rate"][1]).all()


def test_counts_give_the_same_curve(walk, units):
    ds = spikes_from_units({k: t[(t > 0.0) & (t < 59.9)] for k, t in units.items()})
    of_spikes = tuning_curves(ds, walk, "x", bins=4)
    binned = bin_spikes(ds, 0.02, start=-0.01, stop=59.99)
    of_counts = tuning_curves(recording([binned]), walk, "x", bins=4)
    np.testing.assert_allclose(of_counts["rate"], of_spikes["rate"], rtol=0.05)
    mask = np.ones((binned.sizes["time"], 3), dtype=bool)
    mask[:, 1] = False
    binned["observed"] = (("time", "unit"), mask)
    hidden = tuning_curves(binned, walk, "x", bins=4)
    assert np.isnan(hidden["rate"][1]).all()
    np.testing.assert_allclose(hidden["rate"][0], of_counts["rate"][0])


def test_gaps_and_missing_samples_are_no_time_spent():
    time = np.r_[np.arange(10), np.arange(50, 60)] * 0.1
    value = np.ones(20)
    value[3] = np.nan
    track = behavior(value, time=time, feature=["x"])
    train = np.array([0.02, 0.31, 2.5, 5.02])
    found = tuning_curves(spikes_from_units([train]), track, bins=1)
    assert found["occupancy"].item() == pytest.approx(1.9)
    assert found["rate"].item() == pytest.approx(2 / 1.9)


def test_what_says_nothing_is_refused(walk, units):
    ds = spikes_from_units(units)
    with pytest.raises(ConfigError, match="no feature 'z'"):
        tuning_curves(ds, walk, "z")
    with pytest.raises(ConfigError, match="one or two features"):
        tuning_curves(ds, walk, ["x", "x"])
    with pytest.raises(ConfigError, match="bins or limits do not fit"):
        tuning_curves(ds, walk, ["x"], bins=[3, 4])
    with pytest.raises(EmptySelectionError, match="no time in common"):
        late = spikes_from_units([[100.0]], observed=[[99.0, 101.0]])
        tuning_curves(late, walk, "x")
    with pytest.raises(EmptySelectionError, match="features hold no number"):
        tuning_curves(ds, behavior([np.nan, np.nan], sampling_rate=1.0))
    with pytest.raises(TimebaseError, match="behavior of one sample"):
        tuning_curves(ds, walk.isel(time=[0]), "x")
