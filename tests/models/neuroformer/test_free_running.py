"""What is fed as the past is what was generated; rows are stopped before they run away."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer import free_running
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.free_running import (
    DivergenceWatch,
    FreeRunning,
    cut_segments,
    free_run,
)
from neurodyn.models.neuroformer.generation import GeneratedTokens, Sampling
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.spikes_of_rows import SpikesOfRows
from neurodyn.recording import spikes_from_units, unit_spike_times

from .simulated import KINDS, UNITS, build, made, settings, spikes, windows

# of different lengths, so that rows leave
STRETCHES = ((0.0, 0.6), (1.0, 1.8), (2.0, 2.55))
N_PAST, N_BINS = 10, 5


def segments_of(source, **more):
    first = source.store.first[:-1] + N_PAST
    n_windows = (np.diff(source.store.first) - N_PAST) // N_BINS
    return cut_segments(first, n_windows, N_BINS, **more)


def generating(config):
    """Return windows and a network that reads them and has a few spikes in each."""
    source = windows(config, stretches=STRETCHES)
    network = build(source, config)
    network.head.bin.bias.data[-1] = 1.0
    return source, network


def reader(source):
    starts = {int(start): number for number, start in enumerate(source.starts)}

    def read(wanted):
        return source.gather([starts[int(start)] for start in wanted])

    return read


def run(source, network, segments=None, **more):
    segments = segments_of(source) if segments is None else segments
    return free_run(network, reader(source), segments, FreeRunning(**more), progress=False)


def fed(network, monkeypatch):
    """Return the list that gets every past, as pairs (bin, unit) of each row."""
    calls, contexts = [], network.contexts

    def spy(batch):
        rows = zip(batch["past_bin"].tolist(), batch["past_unit"].tolist())
        calls.append([[(b, u) for b, u in zip(*row) if u > 2] for row in rows])
        return contexts(batch)

    monkeypatch.setattr(network, "contexts", spy)
    return calls


def recorded(source, first, stop):
    store = source.store
    inside = (store.bins >= first) & (store.bins < stop)
    return list(zip(store.bins[inside].tolist(), store.unit[inside].tolist()))


@pytest.mark.parametrize("kind", ["spikes", "learnt", "features"])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_the_past_is_what_was_generated(kind, n_samples, monkeypatch):
    config = settings(**KINDS[kind])
    source, network = generating(config)
    calls = fed(network, monkeypatch)
    found = run(source, network, n_samples=n_samples)
    segments = segments_of(source)
    assert len(calls) == 14
    assert found.bin.size > 30 * n_samples
    for number, past in enumerate(calls):
        rows = [
            (part, sample)
            for part, (first, _, stop) in enumerate(segments)
            for sample in range(n_samples)
            if first + number * N_BINS < stop
        ]
        assert len(past) == len(rows)
        for own, (part, sample) in zip(past, rows):
            first, start = segments[part, 0], segments[part, 0] + number * N_BINS
            mine = (found.segment == part) & (found.sample == sample)
            generated = list(zip(found.bin[mine].tolist(), found.unit[mine].tolist()))
            expected = [(b, u) for b, u in generated if start - N_PAST <= b < start]
            expected += recorded(source, min(start - N_PAST, first), first)
            assert own == sorted((b - start, u) for b, u in expected)


def test_the_true_past_is_the_recorded_one(monkeypatch):
    source, network = generating(settings())
    calls = fed(network, monkeypatch)
    run(source, network, n_samples=2, past="true")
    segments = segments_of(source)
    for number, past in enumerate(calls):
        start = segments[:, 0] + number * N_BINS
        start = np.repeat(start[start < segments[:, 2]], 2)
        assert past == [[(b - s, u) for b, u in recorded(source, s - N_PAST, s)] for s in start]


def test_recorded_spikes_after_the_first_past_change_nothing():
    config, data = settings(), spikes()
    changed = {}
    for number, unit in enumerate(UNITS):
        time = unit_spike_times(data, unit)
        kept = np.any([(time >= begin) & (time < begin + 0.1) for begin, _ in STRETCHES], axis=0)
        other = np.arange(0.1005 + number / 100, 0.6, 0.05) + np.array([[0.0], [1.0], [2.0]])
        other = other[other < 2.55]
        changed[unit] = np.sort(np.append(time[kept], other))
    pair = [
        windows(config, one, stretches=STRETCHES)
        for one in (data, spikes_from_units(changed, tick_hz=1000.0))
    ]
    assert len(pair[0].store.bins) != len(pair[1].store.bins)
    network = build(pair[0], config)
    free = [run(source, network, n_samples=2) for source in pair]
    for first, second in zip(*free):
        np.testing.assert_array_equal(first, second)
    true = [run(source, network, past="true") for source in pair]
    assert true[0].bin.tolist() != true[1].bin.tolist()


def test_the_seed_determines_every_draw():
    source, network = generating(settings())
    one, same, other = (run(source, network, n_samples=2, seed=seed) for seed in (3, 3, 4))
    for first, second in zip(one, same):
        np.testing.assert_array_equal(first, second)
    assert one.bin.tolist() != other.bin.tolist()
    assert one.bin[one.sample == 0].tolist() != one.bin[one.sample == 1].tolist()


@pytest.mark.parametrize("kind", ["spikes", "features"])
def test_rows_do_not_depend_on_those_beside_them(kind):
    config = settings(**KINDS[kind])
    source = windows(config, stretches=STRETCHES)
    network = build(source, config)
    greedy = Sampling(top_k=1, max_spikes=20)
    together = run(source, network, n_samples=2, sampling=greedy)
    alone = run(source, network, n_samples=2, sampling=greedy, batch_size=1)
    order = [np.lexsort((x.bin, x.sample, x.segment)) for x in (together, alone)]
    for name in ("segment", "sample", "bin", "unit"):
        first, second = (getattr(x, name)[o] for x, o in zip((together, alone), order))
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(together.stop, alone.stop)


def poisson(rates, **changes):
    """Return a network whose every state says the rates and nothing else."""
    config = settings(**changes)
    torch.manual_seed(0)
    network = NeuroformerNetwork(config, NeuroformerSizes(n_units=len(rates))).eval()
    for layer in (network.head.bin, network.head.unit):
        torch.nn.init.zeros_(layer.weight)
    network.set_rates(torch.tensor(rates))
    return network


def silence(starts):
    nothing = torch.zeros(len(starts), 0, dtype=torch.int64)
    return {"past_unit": nothing, "past_bin": nothing}


def test_samples_of_a_poisson_network_have_its_rates():
    rates = np.array([0.01, 0.03, 0.002, 0.02])
    n_samples, n_bins = 100, 400
    segments = np.array([[0, 0, n_bins]])
    options = FreeRunning(n_samples=n_samples)
    found = free_run(poisson(rates), silence, segments, options, progress=False)
    # given that some come in the same bin, counts of a bin are geometric
    mean = math.expm1(rates.sum())
    deviation = math.sqrt(mean * (1 + mean) * n_samples * n_bins)
    assert abs(found.bin.size - mean * n_samples * n_bins) < 4 * deviation
    count = np.bincount(found.unit - 3, minlength=4)
    expected = rates / rates.sum() * found.bin.size
    # a unit is rarely the second of a bin, 3 % of the time
    assert (np.abs(count - expected) < 4 * np.sqrt(expected) + 0.03 * expected).all()
    per_sample = np.bincount(found.sample, minlength=n_samples)
    assert 0.6 < per_sample.var() / per_sample.mean() < 1.6


def test_what_is_generated_first_does_not_count():
    source, network = generating(settings())
    whole = run(source, network)
    segments = segments_of(source, n_burn=4)
    found = run(source, network, segments)
    assert found.begin.tolist() == (whole.begin + 20).tolist()
    late = whole.bin >= segments[whole.segment, 1]
    for name in ("segment", "bin", "unit"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[late])


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 12)), min_size=1, max_size=4),
    st.integers(0, 4),
    st.none() | st.integers(1, 5),
)
def test_segments_fill_stretches(stretches, n_burn, n_kept):
    first = np.cumsum([a + 5 * b for a, b in stretches])
    n_windows = np.array([b for _, b in stretches])
    found = cut_segments(first, n_windows, 5, n_burn=n_burn, n_kept=n_kept)
    filled = [b for _, begin, stop in found.tolist() for b in range(begin, stop, 5)]
    assert filled == [
        a + 5 * w for a, n in zip(first.tolist(), n_windows) for w in range(n_burn, n)
    ]
    assert (found[:, 1] - found[:, 0] == 5 * n_burn).all()
    assert n_kept is None or (found[:, 2] - found[:, 1] <= 5 * n_kept).all()


def test_a_row_that_runs_away_is_stopped_alone(monkeypatch):
    n_rows = []

    def one_spike_each(network, batch, **_):
        """Return windows of a spike in bin 2; the last of two rows goes on in the fourth."""
        n_rows.append(len(batch["past_unit"]))
        unit, bins = torch.tensor([[1, 3, 2]]), torch.tensor([[0, 2, 5]])
        ended = torch.ones(n_rows[-1], dtype=torch.bool)
        ended[1:] = len(n_rows) != 4
        return GeneratedTokens(unit.repeat(len(ended), 1), bins.repeat(len(ended), 1), ended)

    monkeypatch.setattr(free_running, "sample_windows", one_spike_each)
    segments = np.array([[0, 5, 100], [200, 205, 300]])
    found = free_run(poisson([0.02]), silence, segments, progress=False)
    assert found.diverged.tolist() == [[False], [True]]
    assert found.stop.tolist() == [[100], [215]]
    assert found.bin[found.segment == 0].tolist() == list(range(7, 100, 5))
    assert found.bin[found.segment == 1].tolist() == [207, 212]
    assert n_rows == [2, 2, 2, 2] + 16 * [1]


def test_endless_windows_are_bounded():
    source, network = made("spikes")
    network.head.bin.bias.data[-1] = -100.0
    watch = DivergenceWatch(most_spikes=4, limit=2.0)
    found = run(source, network, n_samples=2, watch=watch)
    assert found.diverged.all()
    assert not found.bin.size
    np.testing.assert_array_equal(found.stop, found.begin[:, None].repeat(2, 1))
    assert watch.bound(Sampling()).max_spikes == 8
    assert watch.bound(Sampling(max_spikes=3)).max_spikes == 3


def test_a_row_that_falls_silent_is_stopped():
    source, network = made("spikes")
    network.head.bin.bias.data[-1] = 100.0
    found = run(source, network, watch=DivergenceWatch(longest_silence=12))
    # 36 bins are the limit, which the eighth window passes
    assert found.silent.all()
    assert not found.diverged.any()
    np.testing.assert_array_equal(found.stop[:, 0], found.begin + 35)
    # what is remembered is the least
    short = run(source, network, watch=DivergenceWatch(longest_silence=1))
    np.testing.assert_array_equal(short.stop[:, 0], short.begin + 15)
    assert not run(source, network).silent.any()


def test_pasts_are_ordered_and_padded():
    row, field = np.array([4, 2, 4]), {"unit": np.array([5, 3, 4]), "bin": np.array([-1, -3, -1])}
    table = SpikesOfRows(row, {**field, "mark": np.array([1, 0, 2])})
    found = table.as_past(np.array([2, 3, 4]))
    assert found["past_unit"].tolist() == [[3, 0], [0, 0], [4, 5]]
    assert found["past_bin"].tolist() == [[-3, 0], [0, 0], [-1, -1]]
    assert found["past_mark"].tolist() == [[0, 0], [0, 0], [2, 1]]


def test_bad_settings_are_refused():
    for name, value in (("n_samples", 0), ("batch_size", 0), ("past", "real")):
        with pytest.raises(ConfigError, match=f"invalid value for {name}"):
            FreeRunning(**{name: value})
    for name, value in (("limit", 0.5), ("limit", math.inf), ("most_spikes", -1)):
        with pytest.raises(ConfigError, match=f"invalid value for {name}"):
            DivergenceWatch(**{name: value})
    source, network = made("spikes")
    with pytest.raises(ConfigError, match="the network is in training mode"):
        run(source, network.train())
