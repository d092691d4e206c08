"""Training without padding gives what evaluation with it gives."""

from __future__ import annotations

import pytest
import torch

from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.packing import Packing
from neurodyn.models.neuroformer.tokenizer import PAD

from .simulated import MARKED, made, padded

LENGTH = torch.tensor([2, 0, 5, 1])


def test_padding_is_left_out_and_put_back_as_zeros():
    real = torch.arange(5) < LENGTH[:, None]
    packing, feature = Packing.of(real), torch.randn(4, 5, 3)
    packed = packing.pack(feature)
    assert packed.equal(feature[real])
    assert packing.pad(packed).equal(feature * real[..., None])


def test_tokens_know_their_row():
    packing = Packing.of(torch.arange(5) < LENGTH[:, None])
    assert packing.row.tolist() == [0, 0, 2, 2, 2, 2, 2, 3]


@pytest.mark.parametrize("recorded", [False, True])
def test_the_head_says_of_packed_states_what_it_says_of_padded_ones(recorded):
    source, network = made(next(iter(MARKED)))
    batch = padded(source.gather(range(16)))
    output = network.train()(batch)
    given = batch["unit"], batch["bin"], batch["recorded"] if recorded else None
    packed = network.head.log_prob(output.state, *given, output.packing)
    whole = network.head.log_prob(output.hidden, *given)
    for part, expected in zip(packed, whole):
        torch.testing.assert_close(part, output.packing.pack(expected[..., None])[:, 0])
        # padding has probability 1
        assert not expected[~output.real].any()


@pytest.mark.parametrize("kind", MARKED)
def test_losses_and_gradients_are_those_with_padding(kind):
    source, network = made(kind)
    objective = NeuroformerObjective(network.config, torch.full((network.sizes.n_units,), 0.1))
    batch = padded(source.gather(range(16)))
    real = batch["unit"][:, 1:] != PAD
    found = []
    for training in (True, False):
        network.train(training)
        losses, output = objective.loss(network, batch, None), network(batch)
        wanted = [p for p in network.parameters() if p.requires_grad]
        slopes = torch.autograd.grad(losses["loss"], wanted, allow_unused=True)
        found.append((*losses.values(), output.hidden[real], output.summary, output.early, slopes))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)
