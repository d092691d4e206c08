"""The store against exact counting, windows against the store, causality and overflow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodyn.errors import (
    ConfigError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    TimebaseError,
    TrialTableError,
)
from neurodyn.models.neuroformer.bucket_sampler import LengthBucketSampler
from neurodyn.models.neuroformer.sampled_series import SampledSeries
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, SOS, SpikeTokenizer
from neurodyn.recording import spikes_from_units
from neurodyn.transforms import bin_spikes

from .simulated import KINDS, UNITS, series, settings, spikes, windows

STRETCHES = ((0.0, 3.0), (3.0, 6.0))


def store(data=None, stretches=STRETCHES, units=UNITS, bin_size=0.01):
    tokenizer = SpikeTokenizer(units=units, bin_size=bin_size, n_bins=5)
    return TokenStore(spikes() if data is None else data, tokenizer, stretches)


def counts_of(found):
    count = np.zeros((found.n_bins, found.tokenizer.n_units), dtype=int)
    np.add.at(count, (found.bins, found.unit - FIRST_UNIT), 1)
    return count


@pytest.mark.parametrize("bin_size", [0.001, 0.01, 1 / 60])
def test_tokens_are_the_exact_counts_in_canonical_order(bin_size):
    data = spikes()
    found = store(data, ((0.25, 4.75),), bin_size=bin_size)
    expected = bin_spikes(data, bin_size, start=0.25, stop=4.75)["count"].values
    np.testing.assert_array_equal(counts_of(found)[: len(expected)], expected[: found.n_bins])
    pairs = list(zip(found.bins.tolist(), found.unit.tolist()))
    assert pairs == sorted(pairs)
    np.testing.assert_array_equal(np.diff(found.offset), counts_of(found).sum(1))
    assert found.n_outside == data.sizes["spike"] - len(pairs)


def test_stretches_stand_one_after_another():
    data, apart = spikes(), ((0.5, 1.507), (2.0, 3.0))
    found = store(data, apart)
    assert found.first.tolist() == [0, 100, 200]
    for number, (begin, _) in enumerate(apart):
        alone = store(data, ((begin, begin + 1.0),))
        own = counts_of(found)[100 * number : 100 * (number + 1)]
        np.testing.assert_array_equal(own, counts_of(alone))
    np.testing.assert_allclose(found.time([0, 99, 100]), [0.5, 1.49, 2.0])
    assert found.stretch([0, 99, 100]).tolist() == [0, 0, 1]
    assert np.isnan(found.position([0.4, 1.505, 3.0])).all()
    np.testing.assert_allclose(found.position([0.515, 2.0]), [1.5, 100.0])


def test_units_are_matched_by_id_and_absent_ones_known():
    data = spikes(units=("c", "a"))
    found = store(data)
    assert found.recorded.tolist() == [True, False, True, False]
    sizes = dict(zip(data["unit"].values.tolist(), data["row_size"].values.tolist()))
    assert counts_of(found).sum(0).tolist() == [sizes["a"], 0, sizes["c"], 0]


def test_expected_counts_are_those_of_the_bins_in_use():
    found = store()
    rate = found.expected_counts(np.array([10, 12, 40]), 5)
    used = np.r_[10:17, 40:45]
    np.testing.assert_allclose(rate, counts_of(found)[used].mean(0))


def test_bad_stretches_and_units_are_refused():
    with pytest.raises(TrialTableError, match="stretches overlap"):
        store(stretches=((0.0, 2.0), (1.0, 3.0)))
    with pytest.raises(TrialTableError, match="a stretch has no length"):
        store(stretches=((1.0, 1.0),))
    with pytest.raises(EmptySelectionError, match="no stretch holds a bin"):
        store(stretches=((1.0, 1.005),))
    with pytest.raises(DataError, match="units are not in the vocabulary"):
        store(units=("a", "b"))
    watched = spikes_from_units({"a": [0.5]}, observed=[[0.0, 1.0]], tick_hz=1000.0)
    assert store(watched, ((0.0, 1.0),)).n_bins == 100
    with pytest.raises(DataError, match="a unit was not observed"):
        store(watched, ((0.0, 1.5),))
    with pytest.raises(TimebaseError, match="times must be finite"):
        store().position([np.nan])


def test_windows_hold_the_counts_of_window_and_past():
    config = settings()
    source = windows(config)
    assert len(source) == 2 * ((300 - 10) // 5)
    batch, count = source.gather(np.arange(len(source))), counts_of(source.store)
    for row, start in enumerate(source.starts):
        unit, bins = batch["unit"][row].numpy(), batch["bin"][row].numpy()
        spike, past = unit >= FIRST_UNIT, batch["past_unit"][row].numpy() >= FIRST_UNIT
        n_spikes = spike.sum()
        assert unit[0] == SOS
        assert (unit[n_spikes + 1], bins[n_spikes + 1]) == (EOS, config.n_bins)
        assert (unit[n_spikes + 2 :] == 0).all()
        decoded = source.store.tokenizer.decode(bins[spike], unit[spike])
        np.testing.assert_array_equal(decoded, count[start : start + 5])
        before = np.zeros((10, 4), dtype=int)
        columns = batch["past_unit"][row].numpy()[past] - FIRST_UNIT
        np.add.at(before, (batch["past_bin"][row].numpy()[past] + 10, columns), 1)
        np.testing.assert_array_equal(before, count[start - 10 : start])
    np.testing.assert_array_equal(source.n_spikes, (batch["unit"] >= FIRST_UNIT).sum(1))


def test_no_window_or_past_reaches_into_another_stretch():
    source = windows(settings(), step=1)
    assert (source.store.stretch(source.starts - 10) == source.stretch()).all()
    assert (source.store.stretch(source.starts + 4) == source.stretch()).all()
    for bad in ([5], [298], [305], [597], [-1]):
        with pytest.raises(ConfigError, match="reaches out of its stretch"):
            windows(settings(), starts=bad)
    with pytest.raises(ConfigError, match="step must be"):
        windows(settings(), step=0)
    with pytest.raises(EmptySelectionError, match="there are no windows"):
        windows(settings(), stretches=((0.0, 0.12),))
    with pytest.raises(EmptySelectionError, match="no window is chosen"):
        source.take([])
    assert len(source.take([3, 4])) == 2


@pytest.mark.parametrize("until", ["start", "stop"])
def test_samples_are_read_up_to_the_boundary_and_never_later(until):
    config = settings(**KINDS["features"])
    config = replace(config, stimulus=replace(config.stimulus, until=until))
    time = np.arange(121) * 0.05
    samples = series(config) | {"stimulus": SampledSeries(time[:, None], time)}
    source = windows(config, samples=samples, step=1)
    batch = source.gather(np.arange(len(source)))
    onset = batch["stimulus"][..., 0].double().numpy()
    boundary = source.time() + (config.window if until == "stop" else 0.0)
    begin = np.array([0.0, 3.0])[source.stretch()]
    for row in range(len(source)):
        known = batch["stimulus_known"][row].numpy()
        # onset exactly at the boundary is not before it
        right = time[(time < boundary[row] - 1e-9) & (time >= begin[row] - 1e-9)][-3:]
        np.testing.assert_allclose(onset[row][known], right, atol=1e-6)
        seconds = batch["stimulus_time"][row].numpy()[known] * 0.01
        np.testing.assert_allclose(seconds, right - source.time()[row], atol=1e-4)
    # that of the gaze
    assert source.reach == 15


def test_targets_are_the_last_sample_in_the_window_and_unknown_is_said():
    config = settings(**KINDS["features"])
    samples = series(config)
    values = samples["speed"].values.copy()
    values[10] = np.nan
    samples["speed"] = SampledSeries(values, samples["speed"].time)
    source = windows(config, samples=samples)
    batch = source.gather(np.arange(len(source)))
    time = source.time()
    last = np.searchsorted(samples["speed"].time, time + config.window - 1e-9) - 1
    expected = np.nan_to_num(values[last].astype(np.float32))
    np.testing.assert_array_equal(batch["target:speed"].numpy(), expected)
    np.testing.assert_array_equal(batch["target_known:speed"].numpy(), last != 10)
    assert np.isfinite(batch["target:speed"].numpy()).all()
    mean, deviation = source.scales()["phi"]
    assert abs(mean[0] - 2) < 1
    assert abs(deviation[0] - 3) < 1


def test_a_movie_that_is_shown_again_is_held_once():
    config = settings(**KINDS["video"])
    movie = np.random.default_rng(0).normal(size=(60, 1, 5, 7))
    time = np.arange(120) * 0.05
    shown = SampledSeries(movie, time, row=np.tile(np.arange(60), 2))
    source = windows(config, samples=series(config) | {"stimulus": shown})
    batch = source.gather([3, 3 + len(source) // 2])
    assert batch["stimulus_row"][0].tolist() == batch["stimulus_row"][1].tolist()
    assert (batch["stimulus"][0] == batch["stimulus"][1]).all()


def test_bad_samples_are_refused():
    time = np.arange(4) * 0.1
    with pytest.raises(TimebaseError, match="times do not fit the samples"):
        SampledSeries(np.zeros((3, 1)), time)
    with pytest.raises(TimebaseError, match="times of samples do not increase"):
        SampledSeries(np.zeros((4, 1)), time[::-1])
    with pytest.raises(DataError, match="samples have no feature axis"):
        SampledSeries(np.zeros(4), time)
    with pytest.raises(DataError, match="rows that do not exist"):
        SampledSeries(np.zeros((2, 1)), time, row=np.arange(4))
    config = settings(**KINDS["features"])
    with pytest.raises(ConfigError, match="the data lack 'stimulus'"):
        windows(config, samples={"speed": series(config)["speed"]})
    late = SampledSeries(np.zeros((4, 3)), time + 100)
    with pytest.raises(EmptySelectionError, match="no sample lies in a stretch"):
        windows(config, samples=series(config) | {"stimulus": late})


def test_overflow_is_reported_and_never_cut():
    config = settings()
    tokenizer = SpikeTokenizer(units=UNITS, bin_size=0.01, n_bins=5, max_spikes=4)
    full = TokenStore(spikes(), tokenizer, STRETCHES)
    with pytest.raises(DataError, match="windows have more than max_spikes=4 spikes"):
        TokenWindows(full, config)
    with pytest.warns(DataQualityWarning, match="they are left out"):
        source = TokenWindows(full, config, on_overflow="drop")
    assert source.n_overflow == (windows(config).n_spikes > 4).sum() > 0
    assert source.n_spikes.max() <= 4
    with pytest.raises(ConfigError, match="invalid value for on_overflow"):
        TokenWindows(full, config, on_overflow="cut")
    with pytest.raises(ConfigError, match="the tokenizer does not fit"):
        TokenWindows(full, settings(window=0.1))


def test_buckets_hold_every_window_once_and_little_padding():
    lengths = np.random.default_rng(0).geometric(0.05, 230)
    sampler = LengthBucketSampler(lengths, 10, seed=3)
    plain = [np.arange(i, i + 10) for i in range(0, 230, 10)]
    epoch = [next(sampler) for _ in range(len(sampler))]
    assert sorted(np.concatenate(epoch).tolist()) == list(range(230))

    def padded(batches):
        return sum(lengths[batch].max() * len(batch) for batch in batches)

    assert padded(epoch) < 0.45 * padded(plain)
    state = sampler.state_dict()
    following = [next(sampler).tolist() for _ in range(30)]
    other = LengthBucketSampler(lengths, 10, seed=3)
    other.load_state_dict(state)
    assert [next(other).tolist() for _ in range(30)] == following
    with pytest.raises(ConfigError, match="a pool needs a batch"):
        LengthBucketSampler(lengths, 10, seed=3, n_batches=0)
