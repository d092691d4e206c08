"""Connections are read out of networks that are known to have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn import functional

from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.metrics.connectivity import direction_accuracy, edge_auc
from neurodyn.models.neuroformer.attention_scores import attention_score, gradient_attention_score
from neurodyn.models.neuroformer.blocks import Attention
from neurodyn.models.neuroformer.config import Stage
from neurodyn.models.neuroformer.connectivity import connectivity
from neurodyn.models.neuroformer.deletion import Deletions, deletion_effect, without_spikes
from neurodyn.models.neuroformer.intensity import spike_intensity
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.pair_totals import PairTotals
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT
from neurodyn.models.neuroformer.unit_likelihood import unit_log_likelihood
from neurodyn.recording import spikes_from_units
from neurodyn.training import TrainingConfig, train

from .simulated import KINDS, build, made, settings, spikes, windows

MEASURES = ("deletion", "deletion_log_rate", "attention", "gradient_attention")


def chain(seconds=60.0, seed=0):
    """Return spikes of a, b 10 ms after most of a's, c 10 ms after most of b's, and d alone."""
    rng = np.random.default_rng(seed)
    first, alone = (np.unique(rng.integers(10, int(seconds * 100) - 10, 1200)) for _ in range(2))
    second = first[rng.random(first.size) < 0.8] + 1
    third = second[rng.random(second.size) < 0.8] + 1
    bins = {"a": first, "b": second, "c": third, "d": alone}
    times = {name: own / 100 + 0.005 for name, own in bins.items()}
    return spikes_from_units(times, observed=[[0.0, seconds]], tick_hz=1000.0)


@pytest.fixture(scope="module")
def trained():
    """Return windows of the chain and a network that has learned them."""
    config = settings(
        past=0.05, size=32, stages=(Stage(source="past"), Stage()), order=False, dropout=0.1
    )
    source = token_windows(chain(), config)
    expected = torch.as_tensor(source.store.expected_counts(source.starts, source.length))
    torch.manual_seed(0)
    network = NeuroformerNetwork(config, source.sizes())
    network.set_rates(expected)
    training = TrainingConfig(
        n_steps=150, batch_size=64, learning_rate=1e-2, validate_every=150, progress=False
    )
    objective = NeuroformerObjective(config, expected)
    return source, train(network, objective, source, training).network.eval()


@pytest.mark.parametrize("rates", [None, torch.tensor([0.3, 0.1])])
def test_weights_are_those_of_attention(rates):
    torch.manual_seed(0)
    attention = Attention(8, 2, rates=rates).eval()
    token, time = torch.randn(3, 5, 8), torch.arange(15.0).view(3, 5)
    known = torch.rand(3, 5) < 0.7
    known[:, 0] = True
    for causal in (False, True):
        read = attention.project(token, time, None if causal else known)
        weights = attention.weights(token, time, read, causal=causal)
        mixed = attention.mix((weights @ read.value).transpose(1, 2).flatten(2))
        torch.testing.assert_close(mixed, attention(token, time, read, causal=causal))
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_network_have_connections(kind):
    source, network = made(kind)
    source = source.take(range(12))
    for measure in MEASURES:
        found = connectivity(network, source, measure, n_bootstrap=20, n_blocks=4)
        score = found["score"].values
        assert np.isnan(np.diag(score)).all()
        assert np.isfinite(score[~np.eye(4, dtype=bool)]).all()
        assert found.attrs["measure"] == measure
        assert found.attrs.get("lag") == (0.01 if measure.startswith("deletion") else None)
        np.testing.assert_array_equal(found["direction"], score - score.T)
        np.testing.assert_allclose(found["out_strength"], np.nanmean(score, axis=1))
        known = np.isfinite(found["lower"])
        assert (found["lower"] <= found["upper"]).values[known].all()


def removed(data, spike):
    """Return spikes without one of them."""
    owner = np.repeat(data["unit"].values, data["row_size"].values)
    time = np.delete(data["spike_time"].values, spike)
    owner = np.delete(owner, spike)
    return spikes_from_units(
        {name: time[owner == name] for name in data["unit"].values}, tick_hz=1000.0
    )


@pytest.mark.parametrize("effect", ["log_likelihood", "log_rate"])
@pytest.mark.parametrize("changes", [{}, {"stages": (Stage(n_layers=2),)}, {"time": "rotary"}])
@torch.no_grad()
def test_deletion_is_that_of_recordings_without_the_spike(changes, effect):
    """Read anew from recordings that never had the spike."""
    config = settings(order=False, **changes)
    data, stretches = spikes(0.6, rate=25.0), ((0.0, 0.6),)
    source = windows(config, data, stretches=stretches)
    network = build(source, config)
    everything = range(len(source))
    read = {"log_likelihood": unit_log_likelihood, "log_rate": spike_intensity}[effect]
    full = read(network, source.gather(everything)).numpy()
    total, weight = np.zeros((4, 4)), np.zeros((4, 4))
    owner = np.repeat(np.arange(4), data["row_size"].values)
    bins = np.round(data["spike_time"].values * 1000).astype(int) // 10
    for number, own in enumerate(bins):
        one_less = windows(config, removed(data, number), stretches=stretches)
        less = read(network, one_less.gather(everything)).numpy()
        change = np.log(full / less) if effect == "log_rate" else full - less
        since = source.starts[:, None] + np.arange(5) - own
        counted = (since >= 1) & (since <= 2)
        if network.past is None:
            # what lies before the window is not read
            counted &= np.arange(5) >= since
        total[owner[number]] += change[counted].sum(axis=0)
        weight[owner[number]] += counted.sum() / 2
    found = deletion_effect(network, source, effect, lag=0.02, n_blocks=3, batch_size=7)
    np.testing.assert_allclose(found.weight.sum(axis=0), weight)
    np.testing.assert_allclose(found.total.sum(axis=0), total, atol=1e-4)


def test_marks_move_up_with_their_spikes():
    batch = {
        "unit": torch.tensor([[1, 3, 4, 2]]),
        "bin": torch.tensor([[0, 1, 2, 5]]),
        "mark": torch.tensor([[0, 7, 8, 0]]),
        "past_unit": torch.tensor([[3, 4]]),
        "past_bin": torch.tensor([[-4, -1]]),
        "index": torch.tensor([6]),
    }
    which = Deletions(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([False, True]))
    less = without_spikes(batch, which)
    assert less["unit"].tolist() == [[1, 4, 2, 0], [1, 3, 4, 2]]
    assert less["bin"].tolist() == [[0, 2, 5, 0], [0, 1, 2, 5]]
    assert less["mark"].tolist() == [[0, 8, 0, 0], [0, 7, 8, 0]]
    assert less["past_unit"].tolist() == [[3, 4], [3, 0]]
    assert less["index"].tolist() == [6, 6]


@torch.no_grad()
def test_attention_that_knows_no_units_scores_one():
    source, network = made("spikes")
    for layer in network.layers:
        layer.attention.query.weight.zero_()
    np.testing.assert_allclose(attention_score(network, source).ratio(), 1.0, rtol=1e-6)


def test_gradients_are_those_of_attention_written_out(monkeypatch):
    """Of attention whose weights are tensors of their own."""
    source, network = made("rotary")
    batch = source.gather(range(6))
    kept = []

    def written_out(self, token, time, read, *, causal=False, packing=None):
        kept.append(self.weights(token, time, read, causal=causal))
        return self.mix((kept[-1] @ read.value).transpose(1, 2).flatten(2))

    with monkeypatch.context() as patch:
        patch.setattr(Attention, "forward", written_out)
        parts = network.head.log_prob(network(batch).hidden, batch["unit"], batch["bin"])
        wanted = sum(parts)[batch["unit"][:, 1:] >= FIRST_UNIT].sum()
        slopes = torch.autograd.grad(wanted, kept)
    total = np.zeros((4, 4))
    unit_to = batch["unit"][:, 1:] - FIRST_UNIT
    for source_of, weights, slope in zip(network.config.layers, kept, slopes):
        product = (weights * slope).sum(1).detach().double()
        unit = batch["unit"][:, :-1] if source_of == "self" else batch["past_unit"]
        if source_of == "past":
            product = product[..., 1:]
        reading, to = (
            functional.one_hot((x - FIRST_UNIT).clamp_min(0), 4).double() * (x >= y)[..., None]
            for x, y in ((unit, FIRST_UNIT), (unit_to + FIRST_UNIT, FIRST_UNIT))
        )
        total += torch.einsum("bqk,bku,bqv->uv", product, reading, to).numpy()
    for parameter in network.parameters():
        # weights that are frozen have connections too
        parameter.requires_grad_(False)
    found = gradient_attention_score(network, source.take(range(6)))
    np.testing.assert_allclose(found.total.sum(axis=0), total, atol=1e-4)


@pytest.mark.parametrize("measure", ["deletion", "deletion_log_rate"])
def test_a_chain_is_found(trained, measure):
    source, network = trained
    edge = np.zeros((4, 4), dtype=bool)
    edge[0, 1] = edge[1, 2] = True
    found = connectivity(network, source, measure, lag=0.01, n_bootstrap=100)
    score = found["score"].values
    assert edge_auc(score, edge) == 1.0
    assert direction_accuracy(score, edge) == 1.0
    others = score[~edge & ~np.eye(4, dtype=bool)]
    assert (found["lower"].values[edge] > others.max()).all()
    assert (found["lower"].values[edge] < score[edge]).all()
    assert (score[edge] < found["upper"].values[edge]).all()
    assert set(found["out_strength"].argsort().values[-2:]) == {0, 1}
    if measure == "deletion":
        # what the network wrongly believes of c after a does not count
        assert score[edge].min() > 1.0 > 5 * np.abs(others).max()


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_windows_changes_nothing(trained, measure):
    source, network = trained
    source = source.take(range(0, 200))
    shuffled = source.take(np.random.default_rng(0).permutation(200))
    first, second = (connectivity(network, x, measure, n_bootstrap=0) for x in (source, shuffled))
    xr.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)
    assert "lower" not in first


def test_the_lag_is_a_bin_at_least():
    config = settings(bin_size=0.025, window=0.1, past=0.1)
    source = windows(config)
    network = build(source, config)
    found = connectivity(network, source, n_bootstrap=0)
    assert found.attrs["lag"] == 0.025
    xr.testing.assert_identical(found, connectivity(network, source, lag=0.025, n_bootstrap=0))


def test_the_seed_draws_the_bootstrap(trained):
    source, network = trained
    source = source.take(range(200))
    first, same, other = (
        connectivity(network, source, "attention", n_bootstrap=50, seed=seed) for seed in (0, 0, 1)
    )
    xr.testing.assert_identical(first, same)
    assert not first["lower"].equals(other["lower"])
    assert first["score"].equals(other["score"])


def test_intervals_are_those_of_resampled_blocks():
    rng = np.random.default_rng(0)
    totals = PairTotals(rng.normal(1.0, 1.0, (40, 2, 2)), np.ones((40, 2, 2)))
    low, high = totals.interval(4000, level=0.95, seed=0)
    error = totals.total.std(axis=0) / np.sqrt(40)
    np.testing.assert_allclose(high - low, 2 * 1.96 * error, rtol=0.05)
    np.testing.assert_allclose((high + low) / 2, totals.ratio(), atol=0.1 * error.max())


def test_units_without_spikes_have_no_score():
    config = settings()
    some = spikes(units=("a", "b", "c"))
    source = windows(config, some).take(range(10))
    network = build(source, config)
    silent = windows(config, spikes_from_units({"a": [0.2, 1.4], "b": [0.23, 1.44], "c": []}))
    for measure in MEASURES:
        found = connectivity(network, source, measure, n_bootstrap=10)
        assert np.isnan(found["score"].sel(unit="d")).all()
        assert np.isnan(found["score"].sel(unit_to="d")).all()
        assert np.isfinite(found["score"].sel(unit="a", unit_to=["b", "c"])).all()
        of_silent = connectivity(network, silent, measure, n_bootstrap=10)
        assert np.isnan(of_silent["score"].sel(unit="c")).all()
        assert np.isnan(of_silent["out_strength"].sel(unit=["c", "d"])).all()


def test_what_cannot_be_done_is_refused(trained):
    source, network = trained
    with pytest.raises(ConfigError, match=r"measure[\s\S]*correlation"):
        connectivity(network, source, "correlation")  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"lag is shorter than a bin[\s\S]*0\.004 s[\s\S]*0\.01 s"
    ):
        connectivity(network, source, lag=0.004)
    with pytest.raises(ConfigError, match=r"effect[\s\S]*log_likelihood"):
        deletion_effect(network, source, "rate")  # type: ignore[arg-type]
    for wrong in ({"n_blocks": 0}, {"n_bootstrap": -1}, {"level": 1.0}):
        with pytest.raises(ConfigError, match="n_blocks, n_bootstrap or level is out of range"):
            connectivity(network, source, **wrong)
    with pytest.raises(DegenerateInputError, match="an interval needs two blocks of windows"):
        connectivity(network, source.take([3]))
    fresh = NeuroformerNetwork(network.config, network.sizes)
    for measure in MEASURES:
        with pytest.raises(ConfigError, match=r"training mode[\s\S]*eval"):
            connectivity(fresh, source, measure)
