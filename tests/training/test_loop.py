from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from neurodyn.errors import CheckpointError, ConfigError
from neurodyn.training.history import read_history
from neurodyn.training.loop import train

from . import toy


class Line:
    """Source of a noiseless straight line."""

    def __init__(self, n_windows=32):
        self.x = torch.linspace(-1, 1, n_windows)[:, None]

    def __len__(self):
        return len(self.x)

    def gather(self, index):
        return {"x": self.x[index], "y": 3 * self.x[index] - 1}


class SquaredError:
    """Least squares; validation scores can be given beforehand."""

    def __init__(self, scores=()):
        self.scores, self.modes, self.weights = list(scores), [], []

    def loss(self, network, batch, progress):
        self.modes.append(network.training)
        return {"loss": ((network(batch["x"]) - batch["y"]) ** 2).mean()}

    def validate(self, network, source):
        assert not torch.is_grad_enabled()
        self.modes.append(network.training)
        self.weights.append({k: v.clone() for k, v in network.state_dict().items()})
        batch = source.gather(np.arange(len(source)))
        error = float(((network(batch["x"]) - batch["y"]) ** 2).mean())
        return {"nll": self.scores.pop(0) if self.scores else error}


def line(objective=None, *, validation=None, **changes):
    torch.manual_seed(0)
    network = nn.Linear(1, 1)
    changes = {"n_steps": 300, "batch_size": 8, "learning_rate": 0.05} | changes
    objective = objective or SquaredError()
    settings = toy.settings(**changes)
    return train(network, objective, Line(), settings, validation=validation)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "gradient_clip": 1.0},
        {"schedule": "cosine", "warmup_steps": 10, "ema_decay": 0.9},
        {"precision": "bf16-mixed", "schedule": "cosine"},
    ],
    ids=str,
)
def test_it_finds_the_line(changes):
    result = line(validation=Line(), **changes)
    tolerance = 0.05 if "precision" in changes else 0.01
    assert result.network.weight.item() == pytest.approx(3, abs=tolerance)
    assert result.network.bias.item() == pytest.approx(-1, abs=tolerance)
    assert (result.step, result.epoch, result.stopped) == (300, 75, "n_steps")
    assert not result.network.training


def test_bfloat16_is_used_in_the_forward_pass_only():
    seen = []

    class Watching(nn.Linear):
        def forward(self, value):
            result = super().forward(value)
            seen.append(result.dtype)
            return result

    network = Watching(1, 1)
    settings = toy.settings(n_steps=2, precision="bf16-mixed")
    train(network, SquaredError(), Line(), settings)
    assert set(seen) == {torch.bfloat16}
    assert network.weight.dtype == torch.float32


def test_updates_equal_those_of_a_plain_loop():
    result = line(n_steps=20, gradient_clip=0.5, weight_decay=0.1)
    torch.manual_seed(0)
    network, source = nn.Linear(1, 1), Line()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05, weight_decay=0.1, fused=True)
    order = []
    for epoch in range(5):
        permutation = np.random.default_rng([0, epoch]).permutation(32)
        order.extend(permutation.reshape(4, 8))
    for index in order:
        batch = source.gather(index)
        optimizer.zero_grad()
        ((network(batch["x"]) - batch["y"]) ** 2).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
    assert torch.equal(result.network.weight, network.weight)
    assert torch.equal(result.network.bias, network.bias)


def test_the_best_weights_come_back_not_the_last():
    objective = SquaredError([5.0, 1.0, 4.0, 3.0])
    result = line(objective, validation=Line(), n_steps=16)
    assert (result.best_step, result.best_score) == (8, 1.0)
    for name, weight in result.network.state_dict().items():
        assert torch.equal(weight, objective.weights[1][name])
        assert not torch.equal(weight, objective.weights[3][name])
    last = line(SquaredError([5.0, 1.0, 4.0]), validation=Line(), n_steps=12, keep_best=False)
    assert not torch.equal(last.network.weight, objective.weights[1]["weight"])


def test_a_maximum_can_be_monitored():
    result = line(SquaredError([5.0, 6.0, 4.0]), validation=Line(), n_steps=12, monitor_mode="max")
    assert result.best_score == 6.0


def test_patience_counts_validations_without_a_better_one():
    objective = SquaredError([3.0, 2.0, 2.5, float("nan"), 1.0])
    result = line(objective, validation=Line(), patience=2)
    assert (result.step, result.stopped, result.best_step) == (16, "patience", 8)


def test_an_early_stop_stays_stopped_when_resumed(tmp_path):
    settings = {"patience": 2, "learning_rate": 1.0, "validate_every": 1, "n_steps": 200}
    first = toy.run(tmp_path, **settings)
    assert first.stopped == "patience"
    again = toy.run(tmp_path, resume=True, **settings)
    assert (again.step, again.best_step, again.history) == (
        first.step,
        first.best_step,
        first.history,
    )
    for name, weight in first.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight)


def test_the_moving_average_is_what_is_validated_kept_and_returned():
    objective = SquaredError()
    result = line(objective, validation=Line(), n_steps=8, ema_decay=0.9)
    assert torch.equal(result.network.weight, objective.weights[-1]["weight"])
    without = line(n_steps=8, ema_decay=0.9)
    assert torch.equal(without.network.weight, result.network.weight)
    plain = line(n_steps=8)
    assert not torch.equal(plain.network.weight, result.network.weight)
    # The average follows the training and does not steer it.
    losses = [[row["loss"] for row in each.history if "loss" in row] for each in (plain, without)]
    assert losses[0] == losses[1]


def test_the_network_trains_in_training_mode_and_is_validated_in_evaluation_mode():
    objective = SquaredError()
    line(objective, validation=Line(), n_steps=5, validate_every=2)
    assert objective.modes == [True, True, False, True, True, False, True, False]


def test_how_often_a_run_validates_does_not_change_what_it_learns():
    often, seldom = (toy.run(validate_every=n, keep_best=False) for n in (1, 10))
    for name, weight in often.network.state_dict().items():
        assert torch.equal(seldom.network.state_dict()[name], weight)


def test_the_seed_decides_and_the_generators_of_the_caller_do_not():
    torch.manual_seed(5)
    random.seed(5)
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = toy.run()
    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]
    assert np.array_equal(np.random.get_state()[1], state[2])  # noqa: NPY002
    torch.manual_seed(6)
    assert toy.run().history == first.history
    assert toy.run(seed=1).history != first.history


def test_history_holds_every_update_and_validation(tmp_path):
    result = toy.run(tmp_path, schedule="cosine", gradient_clip=1e-3)
    rows = read_history(tmp_path / "history.jsonl")
    assert rows == result.history
    updates = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in updates] == list(range(1, 21))
    assert [row["epoch"] for row in updates] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert updates[0]["learning_rate"] == 0.05
    assert updates[-1]["learning_rate"] < 0.001
    assert all(row["gradient_norm"] > 1e-3 for row in updates)
    assert set(updates[0]) == {
        *("kind", "step", "epoch", "learning_rate", "loss", "noise", "gradient_norm")
    }
    validations = [row for row in rows if row["kind"] == "validation"]
    assert [row["step"] for row in validations] == [4, 8, 12, 16, 20]
    assert min(row["nll"] for row in validations) == result.best_score


def test_a_run_is_not_overwritten_and_not_resumed_from_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        toy.run(tmp_path / "new", resume=True, n_steps=1)
    assert toy.run(tmp_path / "auto", resume="auto", n_steps=1).resumed_from is None
    toy.run(tmp_path / "old", n_steps=1)
    with pytest.raises(CheckpointError, match=r"holds a run already(.|\n)*resume=True"):
        toy.run(tmp_path / "old", n_steps=1)


def test_a_lost_history_does_not_stop_a_resumed_run(tmp_path):
    toy.run(tmp_path, n_steps=4)
    (tmp_path / "history.jsonl").unlink()
    result = toy.run(tmp_path, n_steps=6, resume=True)
    assert [row["step"] for row in result.history if row["kind"] == "train"] == [5, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 25}, "batch_size=25 and 24 windows"),
        ({"monitor": "co_bsp"}, "no score 'co_bsp'"),
        ({"resume": "always", "folder": "x"}, "invalid value for resume"),
        ({"resume": True}, "resume needs the run folder"),
        ({"device": "cuda"}, "not enough devices"),
        ({"device": "mps", "n_devices": 2}, "n_devices=2"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        toy.run(**changes)


@pytest.mark.parametrize("changes", [{"patience": 3}, {"schedule": "plateau"}])
def test_what_watches_a_score_needs_validation(changes):
    with pytest.raises(ConfigError, match="watch a validation score"):
        line(**changes)


def test_empty_sources_are_refused():
    with pytest.raises(ConfigError, match="no validation windows"):
        line(validation=Line(0))
    with pytest.raises(ConfigError, match="no windows to draw from"):
        train(nn.Linear(1, 1), SquaredError(), Line(0), toy.settings())


def test_an_automatic_device_is_one_that_exists():
    assert toy.run(device="auto", n_steps=1).step == 1
