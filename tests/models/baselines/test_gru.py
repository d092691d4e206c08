from __future__ import annotations

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.metrics.spikes import bits_per_spike
from neurodyn.models.baselines import GRUAutoencoder, GRUConfig
from neurodyn.models.baselines.gru import (
    GRUNetwork,
    ReconstructionObjective,
    matched_to,
    n_gru_parameters,
)
from neurodyn.models.checks import example_counts
from neurodyn.models.context import DataContext
from neurodyn.training import Progress, TrainingConfig
from neurodyn.windows import Windows

COUNTS = example_counts()
CONTEXT = DataContext.of(COUNTS)
START = Progress(step=0, n_steps=1, epoch=0)


class Recorder(torch.nn.Module):
    """Predicts one free number per element, so that gradients say what is a target."""

    def __init__(self):
        super().__init__()
        self.log_count = torch.nn.Parameter(torch.full((8, 15, 6), 0.1))

    def forward(self, count, n_forward):
        self.seen = count

        class Output:
            log_expected_count = self.log_count

        return Output


def gradients(keep_prob, observed=None):
    network, source = Recorder(), Windows(COUNTS)
    batch = source.gather(np.arange(8))
    if observed is not None:
        batch["observed"] = observed
    torch.manual_seed(0)
    loss = ReconstructionObjective(CONTEXT, keep_prob).loss(network, batch, START)["loss"]
    loss.backward()
    return network.seen, network.log_count.grad != 0, batch["count"]


def test_what_is_shown_is_no_target_and_the_rest_is():
    seen, target, count = gradients(0.4)
    held_in = count[:, :12, :4]
    positive = held_in > 0
    assert (target[:, :12, :4] == (seen == 0))[positive].all()
    torch.testing.assert_close(seen[seen > 0], (held_in / 0.4)[seen > 0])
    assert target[:, 12:].all()
    assert target[:, :, 4:].all()
    assert 0.3 < float((seen > 0)[positive].float().mean()) < 0.5


def test_without_dropout_everything_is_seen_and_a_target():
    seen, target, count = gradients(1.0)
    torch.testing.assert_close(seen, count[:, :12, :4])
    assert target.all()


def test_unobserved_elements_are_no_targets():
    observed = torch.rand(8, 15, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    _, target, _ = gradients(1.0, observed)
    assert not target[~observed].any()


def test_validation_scores_are_those_of_the_metrics():
    torch.manual_seed(0)
    network = GRUNetwork(GRUConfig(hidden_size=3), 4, 6).eval()
    with torch.no_grad():
        found = ReconstructionObjective(CONTEXT, 0.3).validate(network, Windows(COUNTS))
        count = torch.from_numpy(COUNTS["count"].values).float()
        expected = network(count[:, :12, :4], 3).log_expected_count.double().exp().numpy()
    part = np.s_[:, :12, 4:]
    assert found["co_bps"] == pytest.approx(bits_per_spike(expected[part], count.numpy()[part]))
    assert np.isfinite(found["nll"])


def test_validation_without_unseen_targets_scores_all():
    plain = COUNTS.isel(time=slice(12), unit=slice(4))
    objective = ReconstructionObjective(DataContext.of(plain), 0.3)
    network = GRUNetwork(GRUConfig(hidden_size=3), 4, 4).eval()
    with torch.no_grad():
        assert set(objective.validate(network, Windows(plain))) == {"nll"}


@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 3, 4), (64, 107, 142)])
def test_number_of_parameters(sizes):
    hidden, n_inputs, n_outputs = sizes
    network = GRUNetwork(GRUConfig(hidden_size=hidden), n_inputs, n_outputs)
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert n_gru_parameters(hidden, n_inputs, n_outputs) == counted


@pytest.mark.parametrize("n_parameters", [5_000, 80_000, 4_510_422])
def test_matched_size_is_within_a_fifth(n_parameters):
    config = matched_to(GRUConfig(), n_parameters, n_inputs=107, n_outputs=142)
    reached = n_gru_parameters(config.hidden_size, 107, 142)
    assert abs(reached / n_parameters - 1) < 0.2


def test_too_few_parameters_cannot_be_matched():
    with pytest.raises(ConfigError, match="no hidden size"):
        matched_to(GRUConfig(), 10, n_inputs=107, n_outputs=142)


@pytest.mark.parametrize(
    "value", [{"hidden_size": 0}, {"keep_prob": 0.0}, {"keep_prob": 1.5}, {"dropout": 1.0}]
)
def test_impossible_settings_are_refused(value):
    with pytest.raises(ConfigError):
        GRUConfig(**value)


def test_training_finds_a_shared_rhythm():
    train, test = example_counts(192, seed=2), example_counts(192, seed=3)
    training = TrainingConfig(n_steps=200, batch_size=48, optimizer="adam", learning_rate=3e-3)
    fitted = GRUAutoencoder(hidden_size=8, dropout=0.0).fit(train, training=training)
    assert float(fitted.score(test)["co_bps"]) > 0.05
    assert float(fitted.score(test, "fp_bps")["fp_bps"]) > 0.05
