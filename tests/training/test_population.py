import numpy as np
import pytest
import torch
from torch import nn

from neurodyn.errors import CheckpointMismatchError, ConfigError
from neurodyn.training.loop import train
from neurodyn.training.population import train_population
from neurodyn.training.signals import TrainingInterrupted

from . import toy

RATES = [0.02, 0.05, 0.1]


class Reader(nn.Module):
    """Two layers and dropout; every operation can be mapped over members."""

    def __init__(self, seed, dropout=0.0, size=4):
        super().__init__()
        torch.manual_seed(seed)
        self.inner, self.readout = nn.Linear(3, size), nn.Linear(size, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, count):
        return self.readout(self.dropout(torch.tanh(self.inner(count))))


class Explosive(toy.Poisson):
    """The loss of members with a positive first weight is not a number from step 2 on."""

    def loss(self, network, batch, progress):
        losses = super().loss(network, batch, progress)
        bad = (network.inner.weight[0, 0] > 0) & (progress.step >= 2)
        return {"loss": torch.where(bad, torch.nan, losses["loss"])}


def members(dropout=0.0):
    return [Reader(seed, dropout) for seed in range(len(RATES))]


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def population(networks, objective=None, **options):
    settings = toy.settings(**options.pop("training", {}))
    return train_population(
        networks,
        objective or toy.Poisson(),
        toy.Counts(),
        settings,
        learning_rates=RATES,
        validation=options.pop("validation", toy.Counts(seed=1)),
        **options,
    )


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"gradient_clip": 0.05},
        {"ema_decay": 0.9, "schedule": "cosine"},
        {"optimizer": "adam", "weight_decay": 0.1},
    ],
    ids=["plain", "clipped", "averaged", "decayed"],
)
def test_a_member_ends_as_it_would_alone(training):
    found = population(members(), training=training)
    for seed, (rate, network) in enumerate(zip(RATES, found.networks)):
        alone = train(
            Reader(seed),
            toy.Poisson(),
            toy.Counts(),
            toy.settings(learning_rate=rate, **training),
            validation=toy.Counts(seed=1),
        )
        torch.testing.assert_close(weights(network), weights(alone.network))
        assert found.best_scores[seed] == pytest.approx(alone.best_score)


def test_members_draw_dropout_of_their_own():
    twins = [Reader(0, dropout=0.5), Reader(0, dropout=0.5), Reader(0, dropout=0.5)]
    found = train_population(twins, toy.Poisson(), toy.Counts(), toy.settings(n_steps=2))
    assert not torch.equal(weights(found.networks[0]), weights(found.networks[1]))
    assert np.isnan(found.best_scores).all()


def test_history_holds_every_member():
    found = population(members(), training={"n_steps": 4})
    train_row = next(row for row in found.run.history if row["kind"] == "train")
    assert train_row["loss"] == pytest.approx(np.mean([train_row[f"loss_{i}"] for i in range(3)]))
    scored = [row for row in found.run.history if row["kind"] == "validation"]
    assert scored[-1]["nll"] == min(scored[-1][f"nll_{i}"] for i in range(3))


def test_a_diverging_member_leaves_the_others_alone():
    networks = members()
    for network, sign in zip(networks, (1, -1, -1)):
        nn.init.constant_(network.inner.weight, 2.0 * sign)
    found = population(networks, Explosive(), training={"n_steps": 6, "learning_rate": 1e-3})
    assert found.n_skipped == [4, 0, 0]
    assert all(torch.isfinite(weights(network)).all() for network in found.networks)


def test_an_interrupted_population_resumes_to_the_bit(tmp_path):
    whole = population(members(0.3), folder=tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        population(members(0.3), toy.Poisson({7: [15]}), folder=tmp_path / "part")
    part = population(members(0.3), folder=tmp_path / "part", resume=True)
    assert part.run.resumed_from == 7
    assert part.best_scores == whole.best_scores
    for one, other in zip(part.networks, whole.networks):
        assert torch.equal(weights(one), weights(other))


def test_other_learning_rates_are_another_run(tmp_path):
    population(members(), folder=tmp_path, training={"n_steps": 2})
    with pytest.raises(CheckpointMismatchError, match="learning_rate_scales"):
        train_population(
            members(),
            toy.Poisson(),
            toy.Counts(),
            toy.settings(n_steps=4),
            learning_rates=[0.1, 0.1, 0.1],
            validation=toy.Counts(seed=1),
            folder=tmp_path,
            resume=True,
        )


@pytest.mark.parametrize(
    ("networks", "rates", "training", "message"),
    [
        ([], [], {}, "needs members"),
        ([Reader(0)], [0.1, 0.2], {}, "1 networks, 2 learning rates"),
        ([Reader(0), Reader(1, size=5)], None, {}, "share one architecture"),
        ([Reader(0)], None, {"n_devices": 2}, "n_devices=2"),
    ],
)
def test_what_cannot_be_a_population_is_refused(networks, rates, training, message):
    with pytest.raises(ConfigError, match=message):
        train_population(
            networks,
            toy.Poisson(),
            toy.Counts(),
            toy.settings(**training),
            learning_rates=rates,
        )
