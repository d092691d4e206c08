from __future__ import annotations

import pytest
import torch
from torch import nn

from neurodyn.training.averaging import WeightAverage


def test_it_follows_the_formula_of_the_moving_average():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = WeightAverage(network, decay=0.5)
    expected = 0.0
    for n, value in enumerate([1.0, 3.0, -2.0, 5.0, 4.0, 4.0, 1.0, 2.0, 2.0, 7.0]):
        nn.init.constant_(network.weight, value)
        average.update()
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    assert average.weights["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_applied_lends_the_average_and_gives_the_weights_back_even_after_an_error():
    network = nn.Linear(2, 2)
    own = {name: p.detach().clone() for name, p in network.named_parameters()}
    average = WeightAverage(network, decay=0.9)
    average.weights["bias"] += 1
    with pytest.raises(RuntimeError, match="stop"), average.applied():
        assert torch.equal(network.bias, own["bias"] + 1)
        raise RuntimeError("stop")
    assert torch.equal(network.bias, own["bias"])
    assert torch.equal(network.weight, own["weight"])
