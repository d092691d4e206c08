"""Generated spikes are recordings: bins hold what was generated, intervals say where."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError, DataQualityWarning, EmptySelectionError
from neurodyn.metrics.generation import compare_generated
from neurodyn.models.neuroformer import simulation
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.free_running import DivergenceWatch, FreeRunning, free_run
from neurodyn.models.neuroformer.generation import Sampling
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.models.neuroformer.simulation import simulate_from_silence, simulate_windows
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
from neurodyn.recording import load, recording, save, spikes_from_units, trials
from neurodyn.transforms import bin_spikes

from .simulated import KINDS, MARKED, UNITS, build, settings, spikes, windows

STRETCHES = ((0.0, 1.0), (1.0, 1.8), (2.0, 2.55))


def network_of(source, config, end=1.0):
    network = build(source, config)
    network.head.bin.bias.data[-1] = end
    return network


def simulated(source, network, **more):
    return simulate_windows(network, source, **{"most_spikes": 100, "progress": False, **more})


def times(ds):
    return np.split(ds["spike_time"].values, np.cumsum(ds["row_size"].values)[:-1])


@pytest.fixture
def runs(monkeypatch):
    """The list that gets what was generated, before it is labelled."""
    found = []

    def spy(*given, **more):
        found.append(free_run(*given, **more))
        return found[-1]

    monkeypatch.setattr(simulation, "free_run", spy)
    return found


@pytest.mark.parametrize("bin_size", [0.01, 1 / 60, 0.005])
@pytest.mark.parametrize("tick_hz", [1000.0, 30000.0])
def test_bins_hold_what_was_generated(bin_size, tick_hz, runs):
    config = settings(bin_size=bin_size, window=5 * bin_size, past=10 * bin_size)
    data = spikes().assign_attrs(tick_hz=tick_hz)
    source = windows(config, data, stretches=STRETCHES)
    tree = simulated(source, network_of(source, config), n_samples=2, burn_in=6 * bin_size)
    (found,) = runs
    assert tree["spikes/sample_000"].attrs["tick_hz"] == tick_hz
    assert found.bin.size > 50
    for sample in range(2):
        ds = tree[f"spikes/sample_{sample:03d}"].to_dataset()
        own = found.sample == sample
        ticks = ds["spike_time"].values * tick_hz
        np.testing.assert_allclose(ticks, np.rint(ticks), atol=1e-6)
        for number, (begin, stop) in enumerate(STRETCHES):
            here = own & (found.segment == number)
            first = source.store.first[number]
            expected = np.zeros((source.store.first[number + 1] - first, 4), dtype=int)
            np.add.at(expected, (found.bin[here] - first, found.unit[here] - 3), 1)
            # an end between ticks is rounded
            count = bin_spikes(ds, bin_size, start=begin, stop=stop + bin_size)["count"].values
            np.testing.assert_array_equal(count[: len(expected)], expected)


def test_parts_that_were_generated_are_observed():
    config = settings()
    source = windows(config, stretches=STRETCHES)
    tree = simulated(source, network_of(source, config), burn_in=0.08)
    ds = tree["spikes"].to_dataset()
    assert ds["unit"].values.tolist() == list(UNITS)
    # past 0.1 s, burn-in two windows; the last stretch ends with its last whole window
    intervals = np.column_stack([ds["obs_start"].values, ds["obs_stop"].values])
    expected = [[0.2, 1.0], [1.2, 1.8], [2.2, 2.55]]
    np.testing.assert_allclose(intervals.reshape(4, 3, 2), [expected] * 4, atol=1e-12)
    time = ds["spike_time"].values
    assert all(any(a <= t < b for a, b in expected) for t in time)
    store = TokenStore(tree, source.store.tokenizer, expected)
    assert store.n_outside == 0
    # anywhere in their bins
    within = time / 0.01 % 1.0
    assert np.unique(np.round(within, 6)).size > 5


def test_long_stretches_are_cut_into_parts(runs):
    config = settings()
    source = windows(config, stretches=((0.0, 6.0),))
    network = network_of(source, config)
    tree = simulated(source, network, burn_in=0.1, segment=0.5)
    ds = tree["spikes"].to_dataset()
    start, stop = ds["obs_start"].values[:12], ds["obs_stop"].values[:12]
    np.testing.assert_allclose(start, 0.2 + 0.5 * np.arange(12))
    np.testing.assert_allclose(stop, np.append(start[1:], 6.0))
    assert runs[0].stop.shape == (12, 1)
    assert ds["obs_row_size"].values.tolist() == [12] * 4


def test_the_seed_determines_times_and_counts():
    config = settings()
    source = windows(config, stretches=STRETCHES)
    network = network_of(source, config)
    one, same, other = (simulated(source, network, seed=s)["spikes"] for s in (1, 1, 2))
    assert one.to_dataset().identical(same.to_dataset())
    assert one["spike_time"].values.tolist() != other["spike_time"].values.tolist()


def test_units_that_were_not_recorded_are_left_out():
    config = settings()
    tokenizer = SpikeTokenizer(units=("c", "new", "a"), bin_size=0.01, n_bins=5)
    store = TokenStore(spikes(units=("a", "c")), tokenizer, STRETCHES)
    source = TokenWindows(store, config)
    ds = simulated(source, network_of(source, config, end=0.0))["spikes"].to_dataset()
    assert ds["unit"].values.tolist() == ["c", "a"]
    assert (ds["row_size"].values > 0).all()


def test_a_recording_like_any_other(tmp_path):
    table = trials([0.0, 2.0], [1.5, 3.5], columns={"condition": ["left", "right"]})
    real = recording([spikes(), table])
    config = settings(stretches="trials")
    source = token_windows(real, config)
    more = {"checkpoint": "abc", "subject": "J", "original": real, "sampling": Sampling(top_k=9)}
    tree = simulated(source, network_of(source, config), seed=5, burn_in=0.1, **more)
    assert tree["trials"].to_dataset().identical(table)
    expected = {"seed": 5, "past": "generated", "burn_in": 0.1, "checkpoint": "abc"}
    assert {name: tree.attrs[name] for name in expected} == expected
    assert tree.attrs["sampling"]["top_k"] == 9
    assert tree.attrs["backend"] == "eager"
    assert tree.attrs["source"] == "generated by Neuroformer"
    again = load(save(tree, tmp_path / "generated.nc"))
    assert again["spikes"].to_dataset().identical(tree["spikes"].to_dataset())
    assert again.attrs["sampling"] == tree.attrs["sampling"]
    # nothing is known before the first spike, at 16 ms
    assert len(token_windows(again, config)) == 23 + 24
    compared = compare_generated(real, again)
    assert np.isfinite(
        [compared[name].item() for name in compared if not compared[name].dims]
    ).all()


def test_stimulus_and_behavior_are_those_of_the_recording():
    config = settings(**KINDS["video"])
    source = windows(config, stretches=STRETCHES)
    network = network_of(source, config, end=0.0)
    tree = simulated(source, network, n_samples=3, past="true")
    assert list(tree["spikes"].children) == ["sample_000", "sample_001", "sample_002"]
    assert tree.attrs["past"] == "true"


def test_events_that_have_marks_have_amplitudes(runs, monkeypatch):
    config = settings(**MARKED["marked"])
    source = windows(config, stretches=STRETCHES)
    network, fed = network_of(source, config), []
    contexts = network.contexts
    monkeypatch.setattr(network, "contexts", lambda batch: fed.append(batch) or contexts(batch))
    ds = simulated(source, network)["spikes"].to_dataset()
    (found,) = runs
    level = source.store.tokenizer.amplitudes(found.unit, found.mark)
    order = np.lexsort((level, found.unit))
    by_unit = np.repeat(np.arange(3, 7), ds["row_size"].values)
    mine = np.lexsort((ds["amplitude"].values, by_unit))
    np.testing.assert_array_equal(ds["amplitude"].values[mine], level[order])
    assert np.unique(found.mark).tolist() == [0, 1, 2]
    # marks that are fed are those that were generated
    last = fed[-1]
    n_windows = len(fed) - 1
    part = int(np.argmax(np.diff(source.store.first)))
    start = source.store.first[part] + 10 + 5 * n_windows
    past = (found.segment == part) & (found.bin >= start - 10) & (found.bin < start)
    expected = sorted(zip(found.bin[past] - start, found.unit[past], found.mark[past]))
    rows = (last[f"past_{name}"][0].tolist() for name in ("bin", "unit", "mark"))
    assert [x for x in zip(*rows) if x[1] > 2] == expected
    silent = simulate_from_silence(network, source.store.tokenizer, 0.5, progress=False)
    assert silent["spikes"]["amplitude"].dtype == np.float32


def poisson(rates, **changes):
    config = settings(**changes)
    torch.manual_seed(0)
    network = NeuroformerNetwork(config, NeuroformerSizes(n_units=len(rates))).eval()
    for layer in (network.head.bin, network.head.unit):
        torch.nn.init.zeros_(layer.weight)
    network.set_rates(torch.tensor(rates))
    return network


def test_a_network_that_knows_the_rates_generates_them():
    seconds, rates = 200.0, np.array([2.0, 5.0, 0.5])
    rng = np.random.default_rng(0)
    units = {
        u: np.sort(rng.uniform(0, seconds, rng.poisson(r * seconds))) for u, r in zip("abc", rates)
    }
    real = spikes_from_units(units, observed=[[0.0, seconds]])
    network = poisson(rates * 0.01)
    source = token_windows(real, network.config)
    tree = simulated(source, network, segment=2.0, burn_in=0.05, most_spikes=None)
    found = compare_generated(real, tree)
    n_spikes = sum(map(len, units.values()))
    assert abs(found["rate_ratio"] - 1) < 4 * math.sqrt(2 / n_spikes) + 0.04
    assert found["correlation_rmse"] < 0.05
    assert "quality" not in tree["spikes"].attrs


def test_from_silence():
    network = poisson([0.03, 0.01])
    tokenizer = SpikeTokenizer(units=("a", "b"), bin_size=0.01, n_bins=5)
    options = FreeRunning(n_samples=2, seed=3)
    tree = simulate_from_silence(network, tokenizer, 99.98, options, burn_in=0.5, segment=10.0)
    for ds in (tree[f"spikes/sample_00{n}"].to_dataset() for n in (0, 1)):
        np.testing.assert_allclose(ds["obs_start"].values[:10], np.arange(0.0, 100.0, 10.0))
        assert ds["obs_stop"].values[-1] == pytest.approx(100.0)
        assert all((t >= 0).all() and (t < 100).all() for t in times(ds))
        # 300 and 100 are expected
        assert (np.abs(ds["row_size"].values - [309, 103]) < [75, 45]).all()
    whole = simulate_from_silence(network, tokenizer, 1.0, burn_in=0.0, tick_hz=1000.0)
    assert whole["spikes"]["obs_stop"].values.tolist() == [1.0, 1.0]
    ticks = whole["spikes"]["spike_time"].values * 1000.0
    np.testing.assert_allclose(ticks, np.rint(ticks), atol=1e-9)


def test_what_runs_away_is_reported_once():
    config = settings()
    source = windows(config, stretches=STRETCHES)
    network = network_of(source, config, end=-100.0)
    with pytest.warns(DataQualityWarning) as caught:
        tree = simulated(source, network, n_samples=2, most_spikes=3)
    assert len(caught) == 1
    assert "6 of 6 generated parts were stopped (6 for too many spikes, 0 for silence)" in str(
        caught[0].message
    )
    ds = tree["spikes/sample_001"].to_dataset()
    assert ds.attrs["quality"] == {"parts_diverged": 3}
    assert ds["obs_row_size"].values.tolist() == [0] * 4
    assert ds.sizes["spike"] == 0
    with pytest.raises(EmptySelectionError):
        compare_generated(spikes(), ds)


def test_metrics_do_not_see_what_fell_silent():
    config = settings()
    # a spike every 50 ms, and a network that has none
    regular = {unit: np.arange(0.0, 6.0, 0.05) for unit in UNITS}
    source = windows(config, spikes_from_units(regular, tick_hz=1000.0), stretches=((0.0, 6.0),))
    with pytest.warns(DataQualityWarning, match="0 for too many spikes, 1 for silence"):
        tree = simulated(source, network_of(source, config, end=100.0))
    ds = tree["spikes"].to_dataset()
    assert ds.attrs["quality"] == {"parts_silent": 1}
    # the fourth window ends after more than three times the longest silence, and the memory
    assert ds["obs_stop"].values.tolist() == pytest.approx([0.25] * 4)
    assert bin_spikes(ds, 0.01)["observed"].values.sum() == 15


def test_stretches_that_are_too_short_are_reported():
    config = settings()
    source = windows(config, stretches=((0.0, 0.14), (1.0, 1.8)))
    network = network_of(source, config)
    with pytest.warns(DataQualityWarning, match="1 stretches are too short"):
        ds = simulated(source, network)["spikes"]
    assert ds.attrs["quality"] == {"stretches_too_short": 1}
    with pytest.raises(EmptySelectionError, match="no stretch is long enough") as caught:
        simulated(source, network, burn_in=0.7)
    assert "up to 14 windows after the past" in str(caught.value)
    assert "a burn-in of 14 windows of 0.05 s and one" in str(caught.value)


def test_bad_settings_are_refused():
    config = settings()
    source = windows(config, stretches=STRETCHES)
    network = network_of(source, config)
    for name, value in (("burn_in", -1.0), ("segment", 0.0), ("segment", math.nan)):
        with pytest.raises(ConfigError, match=f"invalid value for {name}"):
            simulated(source, network, **{name: value})
    tokenizer = source.store.tokenizer
    with pytest.raises(ConfigError, match="invalid value for duration"):
        simulate_from_silence(network, tokenizer, 0.0)
    other = SpikeTokenizer(units=UNITS, bin_size=0.01, n_bins=4)
    with pytest.raises(ConfigError, match="the vocabulary does not fit the network") as caught:
        simulate_from_silence(network, other, 1.0)
    assert "found: 4 units, 4 bins of 0.01 s" in str(caught.value)
    config = settings(**KINDS["features"])
    source = windows(config)
    with pytest.raises(ConfigError, match="a network that reads stimulus and behavior"):
        simulate_from_silence(build(source, config), tokenizer, 1.0)


def test_silence_that_is_watched():
    network = poisson([1e-6])
    tokenizer = SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=5)
    watch = FreeRunning(watch=DivergenceWatch(longest_silence=10))
    with pytest.warns(DataQualityWarning, match="1 for silence"):
        simulate_from_silence(network, tokenizer, 10.0, watch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate_from_silence(network, tokenizer, 0.5)
