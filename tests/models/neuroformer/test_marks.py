"""Calcium events as tokens with the level of their amplitude, from traces to bits."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurodyn import io
from neurodyn.errors import ConfigError, DataError, EmptySelectionError
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.generation import Sampling, sample_windows
from neurodyn.models.neuroformer.likelihood import (
    mark_log_likelihood,
    token_log_likelihood,
    uniform_mark_log_likelihood,
)
from neurodyn.models.neuroformer.mark_levels import mark_levels
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.recordings import token_windows, tokenizer_for
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, SOS, SpikeTokenizer
from neurodyn.recording import spikes_from_units, unit_spike_times
from neurodyn.transforms.calcium_events import calcium_events

from .simulated import EDGES, UNITS, made, settings, spikes, windows, with_amplitudes

PAST = {
    "past_unit": torch.tensor([[3, 4]]),
    "past_bin": torch.tensor([[-3, -1]]),
    "past_mark": torch.tensor([[1, 0]]),
}


def tokenizer(units=("a", "b"), **changes):
    levels = {"mark_edges": ((1.0, 2.0), (5.0, 5.0)), "mark_values": ((0.5, 1.5, 3), (4, 5, 9))}
    return SpikeTokenizer(**{"units": units, "bin_size": 0.01, "n_bins": 5, **levels, **changes})


def network_of(n_units, n_marks, seed=0, **changes):
    torch.manual_seed(seed)
    config = settings(n_marks=n_marks, **changes)
    network = NeuroformerNetwork(config, NeuroformerSizes(n_units=n_units)).eval()
    for layer in (network.head.bin, network.head.unit, network.head.mark.level):
        torch.nn.init.normal_(layer.weight, std=0.4)
    return network


def every_window(n_bins, n_units, n_marks, n_spikes):
    """Return all windows of exactly some marked spikes in canonical order, as one batch."""
    kinds = [
        (b, FIRST_UNIT + u, m)
        for b in range(n_bins)
        for u in range(n_units)
        for m in range(n_marks)
    ]
    table = [
        [(0, SOS, 0), *one, (n_bins, EOS, 0)]
        for one in combinations_with_replacement(kinds, n_spikes)
    ]
    bins, unit, mark = torch.tensor(table).unbind(-1)
    past = {name: value.expand(len(table), -1) for name, value in PAST.items()}
    return {"unit": unit.contiguous(), "bin": bins.contiguous(), "mark": mark.contiguous(), **past}


@given(
    arrays(np.float64, st.integers(1, 60), elements=st.integers(1, 10**6).map(float)),
    st.integers(2, 6),
)
def test_levels_are_ordered_and_hold_their_means(amplitude, n_marks):
    (edges,), (values,) = mark_levels(amplitude, [amplitude.size], n_marks)
    assert list(edges) == sorted(edges)
    found = SpikeTokenizer(
        units=("a",), bin_size=0.01, n_bins=5, mark_edges=(edges,), mark_values=(values,)
    )
    mark = found.marks(np.full(amplitude.size, FIRST_UNIT), amplitude)
    for level in range(n_marks):
        own = amplitude[mark == level]
        low, high = (-np.inf, *edges)[level], (*edges, np.inf)[level]
        assert ((own > low) & (own <= high)).all()
        if own.size:
            assert values[level] == pytest.approx(own.mean())
        else:
            assert low <= values[level] <= high
    if np.unique(amplitude).size == amplitude.size:
        # quantiles share events out, up to rounding at an event
        assert np.ptp(np.bincount(mark, minlength=n_marks)) <= 2


def test_a_unit_without_events_has_the_levels_of_all():
    edges, values = mark_levels([1.0, 2.0, 30.0, 40.0], [2, 0, 2], 2)
    assert edges == ((1.5,), (16.0,), (35.0,))
    assert values == ((1.0, 2.0), (1.5, 35.0), (30.0, 40.0))
    with pytest.raises(EmptySelectionError, match="there are no events"):
        mark_levels([], [0, 0], 2)
    with pytest.raises(DataError, match="amplitudes must be finite"):
        mark_levels([1.0, np.nan], [2], 2)


def test_tokenizers_know_levels_and_keep_them():
    first = tokenizer()
    assert first.n_marks == 3
    assert SpikeTokenizer.from_json(first.to_json()) == first
    assert first.marks([3, 3, 4, 4], [1.0, 9.0, 5.0, 5.1]).tolist() == [0, 2, 0, 2]
    np.testing.assert_array_equal(first.amplitudes([3, 4], [2, 0]), np.float32([3, 4]))
    more = tokenizer(("b", "c"), mark_edges=((7.0, 8.0), (1.0, 1.0)))
    both = first.extend(more)
    assert both.units == ("a", "b", "c")
    assert both.mark_edges == (*first.mark_edges, (1.0, 1.0))
    assert both.mark_values == (*first.mark_values, (4, 5, 9))
    assert first.extend(["a"]) == first
    for other in (["c"], tokenizer(("c",), mark_edges=((1.0,),), mark_values=((0.5, 2.0),))):
        with pytest.raises(ConfigError, match="more units have other marks"):
            first.extend(other)
    plain = tokenizer(mark_edges=(), mark_values=())
    for method in (plain.marks, plain.amplitudes):
        with pytest.raises(ConfigError, match="the tokenizer has no marks"):
            method([3], [0])
    with pytest.raises(DataError, match="amplitudes must be finite"):
        first.marks([3], [np.nan])


@pytest.mark.parametrize(
    "changes",
    [
        {"mark_edges": ()},
        {"mark_values": ()},
        {"mark_edges": ((1.0, 2.0),)},
        {"mark_edges": ((1.0, 2.0), (5.0,))},
        {"mark_edges": ((2.0, 1.0), (5.0, 5.0))},
        {"mark_values": ((0.5, 1.5, 3.0), (4.0, 5.0))},
    ],
)
def test_levels_that_do_not_fit_are_refused(changes):
    with pytest.raises(ConfigError, match="levels of amplitude do not fit"):
        tokenizer(**changes)


def test_tokens_and_windows_hold_every_event_in_canonical_order():
    source = windows(settings(n_marks=3))
    store, data = source.store, with_amplitudes(spikes())
    expected, start = Counter(), 0
    for column, unit in enumerate(UNITS):
        time = unit_spike_times(data, unit)
        level = np.searchsorted(EDGES, data["amplitude"].values[start : start + time.size])
        bins = np.rint(time * 1000).astype(int) // 10
        expected.update(zip(bins.tolist(), [FIRST_UNIT + column] * time.size, level.tolist()))
        start += time.size
    tokens = list(zip(store.bins.tolist(), store.unit.tolist(), store.mark.tolist()))
    assert Counter(tokens) == expected
    assert tokens == sorted(tokens)
    batch = source.gather(range(len(source)))
    for row, start in enumerate(source.starts):
        for prefix, begin, end in (("", start, start + 5), ("past_", start - 10, start)):
            unit, bins, mark = (batch[prefix + n][row].numpy() for n in ("unit", "bin", "mark"))
            spike = unit >= FIRST_UNIT
            assert (mark[~spike] == 0).all()
            own = zip((bins[spike] + start).tolist(), unit[spike].tolist(), mark[spike].tolist())
            assert list(own) == [token for token in tokens if begin <= token[0] < end]


def test_marks_are_refused_where_there_are_none():
    config = settings(n_marks=3)
    with pytest.raises(DataError, match="spikes have no amplitude"):
        tokenizer_for(spikes(), config)
    with pytest.raises(DataError, match="spikes have no amplitude"):
        TokenStore(spikes(units=("a", "b")), tokenizer(), [[0.0, 3.0]])
    plain = windows(settings()).store
    with pytest.raises(ConfigError, match=r"the tokenizer does not fit(.|\n)*3 marks"):
        TokenWindows(plain, config)


@pytest.mark.parametrize("joint", [True, False])
@torch.no_grad()
def test_probabilities_of_all_marked_windows_add_up_to_one(joint):
    network = network_of(2, 2, window=0.02, joint_head=joint)
    total = 0.0
    for n_spikes in range(5):
        batch = every_window(2, 2, 2, n_spikes)
        hidden = network(batch).hidden
        parts = network.head.log_prob(hidden, batch["unit"], batch["bin"])
        marks = network.head.mark.log_prob(hidden, batch["unit"], batch["bin"], batch["mark"])
        total += token_log_likelihood(network, batch).double().exp().sum().item()
    each = sum(parts) + marks
    more = (each[:, :-1].sum(1).double().exp() * (1 - each[:, -1].double().exp())).sum().item()
    assert total + more == pytest.approx(1.0, abs=1e-5)
    assert 0.1 < total < 1


def test_uniform_marks_add_up_to_one_for_given_counts():
    for n_spikes in range(1, 4):
        batch = every_window(2, 2, 3, n_spikes)
        tokens = (batch["unit"], batch["bin"], batch["mark"])
        value = uniform_mark_log_likelihood(*tokens, 3, 2).exp()
        counts = torch.stack(tokens[:2], 1)
        _, number = torch.unique(counts, dim=0, return_inverse=True)
        total = torch.zeros(int(number.max()) + 1, dtype=torch.float64).index_add(0, number, value)
        torch.testing.assert_close(total, torch.ones_like(total))


@torch.no_grad()
def test_frequencies_of_marked_draws_are_the_probabilities():
    network, n_samples = network_of(2, 2, seed=3, window=0.02), 6000
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(max_spikes=60)
    found = sample_windows(
        network, PAST, n_samples=n_samples, sampling=sampling, generator=generator
    )
    rows = torch.stack([found.unit, found.bin, found.mark], 1)
    assert (found.mark[found.unit < FIRST_UNIT] == 0).all()
    distinct, count = torch.unique(rows, dim=0, return_counts=True)
    chosen = count.argsort(descending=True)[:14]
    tokens = dict(zip(("unit", "bin", "mark"), distinct[chosen].unbind(1)))
    past = {name: value.expand(14, -1) for name, value in PAST.items()}
    expected = token_log_likelihood(network, {**tokens, **past}).double().exp()
    error = (expected * (1 - expected) / n_samples).sqrt()
    assert ((count[chosen] / n_samples - expected).abs() < 4.5 * error).all()
    # also of two events of one unit in one bin
    pairs = [(u, b, m) for u, b, m in zip(found.unit, found.bin, found.mark) if u[1] == u[2]]
    assert all(m[1] <= m[2] for u, b, m in pairs if b[1] == b[2])
    cold = replace(sampling, mark_temperature=1e-4)
    first = [
        sample_windows(network, PAST, n_samples=20, sampling=cold, generator=generator).mark[:, 1]
        for _ in range(2)
    ]
    assert first[0].unique().numel() <= 2


@torch.no_grad()
def test_bits_of_counts_and_of_marks_are_apart():
    source, network = made("marked")
    rate = torch.from_numpy(source.store.expected_counts(source.starts, source.length))
    objective = NeuroformerObjective(network.config, rate)
    scores = objective.validate(network, source)
    batch = source.gather(range(len(source)))
    n_spikes = int((batch["unit"] >= FIRST_UNIT).sum())
    marks = mark_log_likelihood(network, batch).double().sum()
    null = uniform_mark_log_likelihood(batch["unit"], batch["bin"], batch["mark"], 3, 5).sum()
    bits = float((marks - null) / (n_spikes * math.log(2)))
    assert scores["bits_per_mark"] == pytest.approx(bits, rel=1e-4)
    tokens = float(token_log_likelihood(network, batch).double().sum())
    assert scores["loss"] == pytest.approx(-tokens / (n_spikes + len(source)), rel=1e-4)
    torch.testing.assert_close(
        objective.loss(network, batch, None)["spikes"].item(), scores["loss"], rtol=1e-4, atol=0
    )
    # of a head that knows nothing, up to events that share bin and unit
    torch.nn.init.zeros_(network.head.mark.level.weight)
    assert abs(objective.validate(network, source)["bits_per_mark"]) < 0.05
    plain_source, plain = made("spikes")
    assert "bits_per_mark" not in NeuroformerObjective(plain.config, rate).validate(
        plain, plain_source
    )
    assert mark_log_likelihood(plain, plain_source.gather([0])).item() == 0


def test_marks_that_follow_from_earlier_ones_are_learned():
    """Unit b follows unit a with the same level: one of its marks of two is known."""
    rng = np.random.default_rng(0)
    first = np.sort(rng.choice(np.arange(0, 590), 120, replace=False)) / 100
    amplitude = rng.permutation(np.repeat([1.0, 3.0], 60))
    data = spikes_from_units(
        {"a": first, "b": first + 0.02}, tick_hz=1000.0, observed=[[0.0, 6.0]]
    ).assign(amplitude=("spike", np.tile(amplitude, 2)))
    config = settings(window=0.05, past=0.05, n_marks=2)
    source = token_windows(data, config)
    assert source.store.tokenizer.mark_values == ((1.0, 3.0),) * 2
    torch.manual_seed(0)
    network = NeuroformerNetwork(config, source.sizes())
    objective = NeuroformerObjective(config, torch.full((2,), 0.2))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    batch = source.gather(range(len(source)))
    for _ in range(80):
        optimizer.zero_grad()
        objective.loss(network, batch, None)["loss"].backward()
        optimizer.step()
    assert objective.validate(network, source)["bits_per_mark"] > 0.35


@torch.no_grad()
def test_a_network_is_extended_with_its_marks():
    source, network = made("marked")
    wider = network.extend(6)
    recorded = torch.tensor([[True] * 4 + [False] * 2]).expand(5, -1)
    batch = source.gather(range(5))
    found = token_log_likelihood(wider, {**batch, "recorded": recorded})
    torch.testing.assert_close(found, token_log_likelihood(network, batch))


@pytest.mark.shared_data
def test_real_calcium_events_train_and_are_generated(shared_data):
    opened = io.open(shared_data / "suite2p_sample", sampling_rate=30.0, cells_only=True)
    events = calcium_events(opened)
    config = settings(bin_size=1 / 30, window=5 / 30, past=10 / 30, n_marks=4)
    source = token_windows(events, config)
    store = source.store
    assert store.n_outside <= 1
    level = np.bincount(store.mark, minlength=4)
    assert level.min() > 0.8 * level.max()
    amplitude = store.tokenizer.amplitudes(store.unit, store.mark)
    total = float(events["amplitude"].sum())
    assert amplitude.sum(dtype=np.float64) == pytest.approx(total, rel=0.01)
    torch.manual_seed(0)
    network = NeuroformerNetwork(config, source.sizes())
    rate = torch.from_numpy(store.expected_counts(source.starts, source.length))
    network.set_rates(rate)
    objective = NeuroformerObjective(config, rate)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    batch = source.gather(range(0, len(source), 4))
    for _ in range(20):
        optimizer.zero_grad()
        loss = objective.loss(network, batch, None)["loss"]
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    drawn = sample_windows(network.eval(), source.gather(range(10)), generator=torch.manual_seed(0))
    spike = drawn.unit >= FIRST_UNIT
    drawn_amplitude = store.tokenizer.amplitudes(drawn.unit[spike], drawn.mark[spike])
    assert drawn_amplitude.size > 0
    assert (drawn_amplitude > 0).all()
