"""Fault K06: a checkpoint of another network, data set, configuration or format."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
import torch
from torch import nn

from neurodyn.errors import CheckpointMismatchError
from neurodyn.training import TrainingConfig
from neurodyn.training.checkpoint import load_checkpoint, save_checkpoint
from neurodyn.training.loop import train
from neurodyn.training.state import fingerprint

from . import toy


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    toy.run(folder, n_steps=4)
    return folder


def resume(folder, network=None, source=None, **changes):
    return train(
        network or toy.reader(),
        toy.Poisson(),
        source or toy.Counts(),
        toy.settings(**({"n_steps": 4} | changes)),
        validation=toy.Counts(seed=1),
        folder=folder,
        resume=True,
    )


def test_another_architecture_is_refused_with_its_shapes(finished):
    expected = r"network readout.weight: \(3, 8\)(.|\n)*network readout.weight: \(3, 9\)"
    with pytest.raises(CheckpointMismatchError, match=expected):
        resume(finished, toy.reader(size=9))


def test_another_type_is_refused(finished):
    with pytest.raises(CheckpointMismatchError, match=r"torch.float32(.|\n)*torch.float64"):
        resume(finished, toy.reader().double())


def test_additional_weights_are_refused_by_name(finished):
    network = toy.reader()
    network.extra = nn.Linear(1, 1)
    with pytest.raises(CheckpointMismatchError, match=r"network extra\.bias: absent"):
        resume(finished, network)


def test_other_data_are_refused(finished):
    with pytest.raises(CheckpointMismatchError, match="data: "):
        resume(finished, source=toy.Counts(seed=5))


@pytest.mark.parametrize(
    "change", [{"learning_rate": 0.1}, {"seed": 1}, {"ema_decay": 0.9}, {"optimizer": "adam"}]
)
def test_settings_that_change_the_result_are_refused(finished, change):
    with pytest.raises(CheckpointMismatchError, match=f"training {next(iter(change))}: "):
        resume(finished, **change)


def test_settings_that_do_not_change_it_are_free(finished):
    result = resume(finished, keep_checkpoints=5, checkpoint_every=3, on_save_error="warn")
    assert result.resumed_from == result.step == 4


def test_a_finished_run_is_extended_by_more_steps(tmp_path):
    toy.run(tmp_path / "whole", n_steps=8)
    toy.run(tmp_path / "part", n_steps=4)
    assert resume(tmp_path / "part", n_steps=8).step == 8
    assert toy.traces(tmp_path / "part")[0] == toy.traces(tmp_path / "whole")[0]


def test_other_formats_are_refused_and_other_versions_are_logged(tmp_path, caplog):
    toy.run(tmp_path, n_steps=2)
    states = tmp_path / "state"
    checkpoint = load_checkpoint(states, 2)
    checkpoint.state["versions"]["torch"] = "1.0"
    save_checkpoint(states, checkpoint, keep=2)
    with caplog.at_level(logging.WARNING):
        resume(tmp_path, n_steps=2)
    assert "other versions" in caplog.text
    checkpoint.state["format"] = 99
    save_checkpoint(states, checkpoint, keep=2)
    with pytest.raises(CheckpointMismatchError, match=r"format: 99(.|\n)*format: 1"):
        resume(tmp_path, n_steps=2)


def test_tensors_in_a_checkpoint_have_readable_names(finished):
    checkpoint = load_checkpoint(finished / "state", 4)
    names = {name.rsplit("/", 1)[0] for name in checkpoint.tensors if "readout.bias" in name}
    assert names == {"network", "best", "optimizer/readout.bias"}
    assert json.dumps(checkpoint.state)


def test_tied_and_frozen_weights_are_kept(tmp_path):
    def tied():
        network = toy.reader()
        network.again = network.readout
        network.recurrent.bias_ih_l0.requires_grad_(False)
        return network

    arguments = (toy.Poisson(), toy.Counts())
    whole, part = tied(), tied()
    train(whole, *arguments, toy.settings(n_steps=6, checkpoint_every=3))
    train(part, *arguments, toy.settings(n_steps=3), folder=tmp_path)
    train(part, *arguments, toy.settings(n_steps=6), folder=tmp_path, resume=True)
    for name, weight in whole.state_dict().items():
        assert torch.equal(part.state_dict()[name], weight), name


def test_the_fingerprint_sees_values_types_and_number():
    source = toy.Counts()
    changed = toy.Counts()
    changed.count[0, 0, 0] += 1
    halved = toy.Counts()
    halved.count = halved.count.to(torch.bfloat16)
    shorter = toy.Counts(n_windows=23)
    prints = {fingerprint(each) for each in (source, changed, halved, shorter)}
    assert len(prints) == 4
    assert fingerprint(toy.Counts()) == fingerprint(source)


class Scaled(torch.nn.Module):
    """Two layers, of which the first learns at a tenth of the rate."""

    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(1, 1, bias=False)
        self.first = torch.nn.Linear(1, 1, bias=False)

    def learning_rate_scale(self, name):
        return 0.1 if name.startswith("first") else 1.0


def test_a_network_may_scale_its_learning_rates(tmp_path):
    """Adam's first step is the rate itself; the scales survive a resumed run."""

    class Slope:
        def loss(self, network, batch, progress):
            return {"loss": network.first.weight.sum() + network.last.weight.sum()}

        def validate(self, network, source):
            return {}

    class Two:
        def __len__(self):
            return 2

        def gather(self, index):
            return {"x": torch.zeros(len(index))}

    training = TrainingConfig(
        n_steps=4, batch_size=2, optimizer="adam", learning_rate=1e-3, progress=False
    )
    network = Scaled()
    before = {name: p.item() for name, p in network.named_parameters()}
    train(network, Slope(), Two(), training)
    moved = {name: before[name] - p.item() for name, p in network.named_parameters()}
    assert moved["last.weight"] == pytest.approx(4e-3, rel=1e-3)
    assert moved["first.weight"] == pytest.approx(4e-4, rel=1e-3)
    halves = Scaled()
    halves.load_state_dict({name: torch.full((1, 1), value) for name, value in before.items()})
    train(halves, Slope(), Two(), replace(training, n_steps=2), folder=tmp_path)
    train(halves, Slope(), Two(), training, folder=tmp_path, resume=True)
    for name, parameter in halves.named_parameters():
        assert torch.equal(parameter, dict(network.named_parameters())[name])
