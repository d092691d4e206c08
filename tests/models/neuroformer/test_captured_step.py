"""Windows are drawn by a step of fixed shapes, which a graph can replay, as without it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neurodyn.errors import ConfigError, TrainingDivergedError
from neurodyn.models.neuroformer import captured_step, inputs
from neurodyn.models.neuroformer.captured_step import TOKENS_PER_LOOK, CapturedStep
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.decoding_cache import DecodingCache, FixedKeys
from neurodyn.models.neuroformer.generation import Sampling, TokenDraws, keep_likely, sample_windows
from neurodyn.models.neuroformer.likelihood import token_log_likelihood
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT

from .simulated import MARKED, made, settings
from .tape import Tape

GREEDY = Sampling(top_k=1, max_spikes=40)
#: What makes the host wait for a device.
WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


def step_of(network, sampling=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return CapturedStep(network, replace(sampling or Sampling(), capture=False), generator)


def same(first, second):
    return all(a is b is None or a.equal(b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def tapes(monkeypatch):
    """Graphs that are made in a test."""
    made_so_far = []

    def graph():
        made_so_far.append(Tape())
        return made_so_far[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda tape: tape.capture())
    return made_so_far


@pytest.mark.parametrize("kind", MARKED)
def test_the_likeliest_windows_are_those_of_the_growing_cache(kind):
    source, network = made(kind)
    batch = source.gather(range(5))
    expected = sample_windows(network, batch, n_samples=3, sampling=GREEDY)
    assert same(step_of(network, GREEDY).sample(batch, n_samples=3), expected)


@pytest.mark.parametrize("kind", MARKED)
@torch.no_grad()
def test_states_are_those_of_the_growing_cache_to_rounding(kind):
    source, network = made(kind)
    batch = source.gather(range(4))
    n_tokens = batch["unit"].shape[1]
    contexts = network.contexts(batch)
    growing = network.begin(contexts, 4, n_tokens)
    position = torch.tensor(0)
    sizes = (4, network.config.n_heads, n_tokens, network.config.size // network.config.n_heads)
    keys = [x and FixedKeys(*sizes, network.norm.weight, position) for x in growing.grown]
    fixed = DecodingCache(list(growing.reads), keys, position=position)
    for column in range(n_tokens):
        for one in keys:
            if one is not None:
                one.known = (torch.arange(n_tokens) <= position)[None, None, None]
        token = [batch[name][:, column] for name in ("unit", "bin")]
        mark = batch["mark"][:, column] if "mark" in batch else None
        expected = network.step(*token, growing, mark)
        torch.testing.assert_close(network.step(*token, fixed, mark), expected)
    assert position == n_tokens


def test_draws_are_those_of_multinomial():
    _, network = made("spikes")
    log_prob = torch.randn(200, 30).log_softmax(-1)
    log_prob[:, 3] = -math.inf
    for sampling in (Sampling(), Sampling(top_k=5), Sampling(top_p=0.5)):
        draws = TokenDraws(network, sampling, torch.Generator().manual_seed(1))
        weight = keep_likely(log_prob, top_k=sampling.top_k, top_p=sampling.top_p).exp()
        generator = torch.Generator().manual_seed(1)
        for _ in range(5):
            expected = torch.multinomial(weight, 1, generator=generator)[:, 0]
            assert draws._draw(log_prob).equal(expected)


@torch.no_grad()
def test_frequencies_are_the_probabilities():
    config = settings(window=0.02)
    torch.manual_seed(3)
    network = NeuroformerNetwork(config, NeuroformerSizes(n_units=2)).eval()
    torch.nn.init.normal_(network.head.bin.weight, std=0.4)
    past = {"past_unit": torch.tensor([[3, 4]]), "past_bin": torch.tensor([[-3, -1]])}
    n_samples = 3000
    found = step_of(network, Sampling(max_spikes=60)).sample(past, n_samples=n_samples)
    distinct, count = torch.unique(
        torch.stack([found.unit, found.bin], 1), dim=0, return_counts=True
    )
    chosen = count.argsort(descending=True)[:12]
    tokens = {"unit": distinct[chosen, 0], "bin": distinct[chosen, 1]}
    more = {name: value.expand(12, -1) for name, value in past.items()}
    expected = token_log_likelihood(network, {**tokens, **more}).double().exp()
    deviation = (expected * (1 - expected) / n_samples).sqrt()
    assert ((count[chosen] / n_samples - expected).abs() < 4.5 * deviation).all()


def test_windows_that_are_too_long_are_reported():
    source, network = made("marked")
    network.head.bin.bias.data[-1] = -100.0
    found = step_of(network, Sampling(max_spikes=7)).sample(source.gather([0, 1, 2]))
    assert found.unit.shape == found.bin.shape == found.mark.shape == (3, 8)
    assert (found.unit[:, 1:] >= FIRST_UNIT).all()
    assert not found.ended.any()
    # an end has a place behind the last spike
    network.head.bin.bias.data[-1] = 0.0
    found = step_of(network, Sampling(max_spikes=1)).sample(source.gather(range(60)), n_samples=4)
    spiked = found.unit[:, 1] >= FIRST_UNIT
    assert found.unit[spiked & found.ended, 2].eq(EOS).all()
    assert (spiked & found.ended).any()
    assert (spiked & ~found.ended).any()
    assert found.bin[~found.ended, 2].eq(0).all()


@pytest.mark.parametrize("kind", ["spikes", "features", "marked"])
def test_graphs_replay_what_runs_without_them(kind, tapes):
    """Over windows with other pasts, and beyond the tokens that one graph reads."""
    source, network = made(kind)
    network.head.bin.bias.data[-1] = -100.0
    sampling = Sampling(max_spikes=captured_step.FEWEST_READ + 5)
    eager, graphed = step_of(network, sampling), step_of(network, sampling)
    # as if the network were on CUDA
    graphed.sampling = graphed._draws.sampling = sampling
    for first in (0, 10, 20):
        batch = source.gather(range(first, first + 3))
        assert same(graphed.sample(batch), eager.sample(batch))
    assert len(tapes) == 2
    assert tapes[0].replays == 3 * captured_step.FEWEST_READ - 1
    assert tapes[1].replays == 3 * 6 - 1
    assert (graphed.backend, eager.backend) == ("cuda graph", "eager")


def test_a_step_that_was_used_gives_what_a_fresh_one_gives(monkeypatch):
    """With as many graphs at once as there may be, batches of many sizes and inference mode."""
    monkeypatch.setattr(captured_step, "MOST_SIZES", 2)
    source, network = made("features")
    used = step_of(network, GREEDY)
    for n_windows in (1, 2, 3, 5, 9, 2, 1):
        batch = source.gather(range(n_windows))
        with torch.inference_mode(n_windows % 2 == 0):
            found = used.sample({name: value.clone() for name, value in batch.items()})
        assert same(found, step_of(network, GREEDY).sample(batch))
        assert len(used._rows) <= 2
    assert same(step_of(network).sample(batch), step_of(network).sample(batch))
    longer = source.gather(range(5))
    assert not same(step_of(network).sample(longer), step_of(network, seed=1).sample(longer))


def test_units_that_are_not_recorded_are_silent():
    source, network = made("spikes")
    batch = source.gather(range(6))
    batch["recorded"] = torch.tensor([[True, False, True, False]]).expand(6, -1)
    found = step_of(network).sample(batch, n_samples=4).unit
    spikes = found[found >= FIRST_UNIT] - FIRST_UNIT
    assert set(spikes.tolist()) == {0, 2}


@pytest.mark.parametrize("kind", MARKED)
@torch.no_grad()
def test_a_step_needs_no_value_and_stays_on_its_device(kind, monkeypatch):
    """Tensors on the meta device have none, and do not mix with others."""
    source, network = made(kind)
    # which windows share a stimulus is looked at once for each batch
    monkeypatch.setattr(
        inputs, "shared_rows", lambda row, _: (torch.arange(len(row), device=row.device), None)
    )
    network = network.to("meta")
    batch = {name: value.to("meta") for name, value in source.gather(range(3)).items()}
    step = CapturedStep(network, Sampling(top_k=3, top_p=0.9, capture=False))
    rows = step._filled(batch, 6, 2)
    rows._draw(captured_step.FEWEST_READ)
    assert rows.token.is_meta
    assert token_log_likelihood(network, batch).is_meta


def test_the_host_waits_once_for_some_tokens():
    class Counted(TorchDispatchMode):
        n_waits = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.n_waits += func in WAITS
            return func(*args, **(kwargs or {}))

    source, network = made("spikes")
    network.head.bin.bias.data[-1] = -100.0
    batch = source.gather(range(4))
    with Counted() as counted:
        step_of(network, Sampling(max_spikes=39)).sample(batch)
    # then for the longest window and whether all were probabilities
    assert counted.n_waits <= 40 // TOKENS_PER_LOOK + 2


def test_what_are_no_probabilities_is_refused():
    source, network = made("spikes")
    network.head.unit.weight.data[1] = math.nan
    batch = source.gather(range(4))
    message = r"gives no probabilities of the next token(.|\n)*not finite(.|\n)*weights and inputs"
    for sample in (step_of(network, GREEDY).sample, lambda b: sample_windows(network, b)):
        with pytest.raises(TrainingDivergedError, match=message):
            sample(batch)


def test_what_cannot_be_captured_is_refused():
    source, network = made("spikes")
    with pytest.raises(ConfigError, match=r"only steps on CUDA are captured(.|\n)*capture=False"):
        CapturedStep(network)
    step = step_of(network)
    network.train()
    with pytest.raises(ConfigError, match="the network is in training mode"):
        step.sample(source.gather([0]))
