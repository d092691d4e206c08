"""Fault K09: the step at which numbers stop being finite, and what did it."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import nn

from neurodyn.errors import TrainingDivergedError
from neurodyn.training.checkpoint import newest_checkpoint
from neurodyn.training.divergence import first_nonfinite
from neurodyn.training.loop import train

from . import toy


class Poisoned(toy.Counts):
    """Window 3 holds NaN."""

    def __init__(self):
        super().__init__()
        self.count[3] = math.nan


class LogOfZero(nn.Module):
    def forward(self, value):
        return value.relu().log()


def test_a_nan_in_the_data_is_named_with_step_and_windows(tmp_path):
    with pytest.raises(
        TrainingDivergedError,
        match=r"at step \d, windows [\d, ]*\b3\b(.|\n)*loss nan(.|\n)*input batch\['count'\]"
        r"(.|\n)*the checkpoint of step 0 is in",
    ):
        toy.run(tmp_path, source=Poisoned())
    assert newest_checkpoint(tmp_path / "state")[0].step == 0


def test_the_first_module_with_a_bad_output_is_named():
    network = toy.reader()
    network.readout = nn.Sequential(nn.Linear(8, 3), LogOfZero())
    with pytest.raises(
        TrainingDivergedError, match=r"step 1,(.|\n)*module 'readout.1' \(LogOfZero\)"
    ):
        train(network, toy.Poisson(), toy.Counts(), toy.settings())


def test_an_enormous_learning_rate_is_noticed_within_the_step(tmp_path):
    with pytest.raises(TrainingDivergedError, match=r"gradient norm (nan|inf)"):
        toy.run(tmp_path, learning_rate=1e6, optimizer="adam", n_steps=200)
    assert "null" not in (tmp_path / "history.jsonl").read_text()


def test_gradients_are_looked_at_when_all_values_are_finite():
    class Root(toy.Poisson):
        def loss(self, network, batch, progress):
            value = network(batch["count"])
            return {"loss": (value - value).sum().sqrt()}

    with pytest.raises(
        TrainingDivergedError, match=r"loss 0\.0, gradient norm nan; .* gradient of"
    ):
        train(toy.reader(), Root(), toy.Counts(), toy.settings())


def test_a_few_bad_batches_may_be_passed_over_and_are_counted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        result = toy.run(tmp_path, source=Poisoned(), max_skipped=9, n_steps=10)
    assert result.n_skipped == 2
    assert caplog.text.count("skipped the batch") == 2
    assert sum(math.isnan(row["loss"]) for row in result.history if row["kind"] == "train") == 2
    assert all(torch.isfinite(weight).all() for weight in result.network.parameters())
    with pytest.raises(TrainingDivergedError):
        toy.run(source=Poisoned(), max_skipped=1, n_steps=10)


def test_what_is_not_finite_is_found_from_the_input_on():
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    batch = {"count": torch.ones(1, 1), "index": torch.tensor([0])}
    assert first_nonfinite(network, batch, lambda: None) == "the loss itself"
    nn.init.constant_(network[1].bias, math.inf)
    assert first_nonfinite(network, batch, lambda: None) == "parameter '1.bias'"


def test_outputs_of_any_form_are_searched():
    class Nested(nn.Module):
        def forward(self, value):
            return {"a": [value, (value / 0,)], "b": None}

    network = Nested()
    found = first_nonfinite(network, {}, lambda: network(torch.ones(1)))
    assert found == "module 'network' (Nested)"
