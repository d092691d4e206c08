"""Two processes on the loopback device train as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from neurodyn.training.history import read_history
from neurodyn.training.loop import train

from . import toy
from .two_processes import WithoutDropout


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    root = Path(__file__).parents[__package__.count(".") + 1]
    changes = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(root)}
    environment = os.environ | changes
    command = [sys.executable, "-m", f"{__package__}.two_processes", str(folder)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def tensors(folder, step):
    place = folder / "state" / f"step-{step:08d}"
    return safetensors.torch.load_file(place / "tensors.safetensors")


def test_gradients_of_two_processes_equal_those_of_one_on_the_same_batch(two_processes, tmp_path):
    settings = toy.settings(n_steps=6, batch_size=23, validate_every=3)
    network = toy.reader(dropout=0.0)
    validation = toy.Counts(seed=1)
    train(network, WithoutDropout(), toy.Counts(), settings, validation=validation, folder=tmp_path)
    one, two = tensors(tmp_path, 6), tensors(two_processes / "plain", 6)
    for name, tensor in one.items():
        if not name.startswith("random/"):
            torch.testing.assert_close(two[name], tensor, rtol=2e-4, atol=2e-6, msg=name)
    rows = zip(
        read_history(tmp_path / "history.jsonl"),
        read_history(two_processes / "plain" / "history.jsonl"),
        strict=True,
    )
    for expected, found in rows:
        skipped = ("kind", "draw")
        for key in expected.keys() - set(skipped):
            assert found[key] == pytest.approx(expected[key], rel=2e-4, abs=1e-6), key


def test_each_process_draws_random_numbers_of_its_own(two_processes):
    states = tensors(two_processes / "whole", 6)
    assert not torch.equal(states["random/0/torch"], states["random/1/torch"])


def test_two_processes_resume_to_the_bit(two_processes):
    whole, part = (tensors(two_processes / name, 6) for name in ("whole", "part"))
    assert whole.keys() == part.keys()
    for name, tensor in whole.items():
        assert torch.equal(part[name], tensor), name


def test_only_the_first_process_writes(two_processes):
    history = read_history(two_processes / "whole" / "history.jsonl")
    assert [row["step"] for row in history if row["kind"] == "train"] == list(range(1, 7))
    assert not (two_processes / "whole" / "run.lock").exists()
