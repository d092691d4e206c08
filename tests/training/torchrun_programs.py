"""Started by torchrun in a test: the toy and small models of the package on two processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import safetensors.torch
import torch

from neurodyn.errors import ConfigError
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator
from neurodyn.recording import bold, counts
from neurodyn.training.config import TrainingConfig
from neurodyn.training.devices import end_helpers, is_first_process
from neurodyn.training.loop import train
from neurodyn.training.signals import TrainingInterrupted

from . import toy
from .two_processes import WithoutDropout

RICH = {"ema_decay": 0.9, "gradient_clip": 0.5, "schedule": "cosine", "warmup_steps": 2}


class Dying(toy.Poisson):
    """The second process is killed in the middle of a step."""

    def __init__(self, fatal):
        super().__init__()
        self.fatal = fatal

    def loss(self, network, batch, progress):
        if progress.step == self.fatal and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(network, batch, progress)


def run_toy(folder, *, resume=False, dropout=0.2, objective=None, n_devices=2, **changes):
    settings = toy.settings(n_devices=n_devices, validate_every=3, **(RICH | changes))
    return train(
        toy.reader(dropout=dropout),
        objective or (WithoutDropout() if dropout == 0.0 else toy.Poisson()),
        toy.Counts(),
        settings,
        validation=toy.Counts(seed=1),
        folder=folder,
        resume=resume,
    )


@contextlib.contextmanager
def without_chance():
    """Draw the same for every window, so that one process and two can be compared."""

    def uniform(*shape, **how):
        size = torch.Size(shape[0] if shape and not isinstance(shape[0], int) else shape)
        n_values = max(size[1:].numel(), 1)
        steps = torch.arange(1, n_values + 1, dtype=torch.float64) * 0.618
        return (steps % 1.0).float().reshape(size[1:]).expand(size)

    def levels(shape, *_):
        return (65535 * (uniform(*shape) - 0.5)).to(torch.int16)

    with (
        mock.patch("neurodyn.windows.masks.random_levels", levels),
        mock.patch("torch.rand", uniform),
        mock.patch("torch.rand_like", lambda like: uniform(like.shape)),
        mock.patch("torch.randn", lambda *shape, **how: uniform(*shape) - 0.5),
    ):
        yield


def settings(n_devices, **changes):
    common = {"n_steps": 4, "batch_size": 7, "device": "cpu", "progress": False}
    return TrainingConfig(n_devices=n_devices, **(common | changes))


def fit_langevinflow(n_devices, **changes):
    rng = np.random.default_rng(0)
    held_out = np.arange(6) < 2
    columns = {"held_out": held_out}
    data = counts(rng.poisson(0.5, (12, 10, 6)), bin_size=0.02, unit_columns=columns)
    with without_chance():
        model = LangevinFlowEstimator(encoder_size=8, dropout=0.0)
        return model.fit(data, training=settings(n_devices, **changes))


def fit_brainmae(n_devices, **changes):
    values = np.random.default_rng(0).normal(size=(240, 6))
    data = bold(values, repetition_time=1.5)
    with without_chance():
        sizes = {"node_size": 8, "node_heads": 2, "state_size": 16, "state_heads": 2}
        model = BrainMAE(**sizes, n_segments=4, dropout=0.0)
        return model.fit(data, training=settings(n_devices, **changes))


def save_weights(model, path):
    if is_first_process():
        safetensors.torch.save_file(model.network_.state_dict(), path)


def stop_and_resume(folder):
    """Stop by a signal that only the second process receives, as a cluster may send it."""
    signals = {3: [signal.SIGTERM]} if os.environ["RANK"] == "1" else {}
    try:
        run_toy(folder, n_steps=6, objective=toy.Poisson(signals))
    except TrainingInterrupted as stopped:
        (folder / f"stopped-{os.environ['RANK']}").write_text(str(stopped))
    run_toy(folder, n_steps=6, resume=True)


def fit_models(place):
    for strategy in ("ddp", "fsdp"):
        model = fit_brainmae(2, strategy=strategy)
        save_weights(model, place / f"fit_brainmae-{strategy}.safetensors")
    save_weights(fit_langevinflow(2), place / "fit_langevinflow-ddp.safetensors")
    try:
        fit_langevinflow(2, strategy="fsdp")
    except ConfigError as error:
        (place / "refused").write_text(str(error))


def all_that_ends_well(place):
    run_toy(place / "killed", n_steps=6, checkpoint_every=2, resume="auto")
    for strategy in ("ddp", "fsdp"):
        home = place / strategy
        # Batches of 23 and 1: the second process has no window of the second batch.
        run_toy(home / "plain", n_steps=6, batch_size=23, dropout=0.0, strategy=strategy)
        run_toy(home / "whole", n_steps=6, strategy=strategy)
        run_toy(home / "part", n_steps=3, strategy=strategy)
        run_toy(home / "part", n_steps=6, resume=True, strategy=strategy)
    run_toy(place / "changed", n_steps=3, strategy="fsdp")
    run_toy(place / "changed", n_steps=6, resume=True, strategy="ddp")
    stop_and_resume(place / "stopped")
    fit_models(place)
    end_helpers()
    # The first process goes on by itself, as a workflow does with its baselines.
    run_toy(place / "alone", n_steps=3, n_devices=1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    where = Path(sys.argv[2])
    if sys.argv[1] == "die":
        run_toy(where / "killed", n_steps=6, checkpoint_every=2, objective=Dying(4))
    else:
        all_that_ends_well(where)
