"""Started by a test as a program: the toy on two processes, stopped half-way and resumed."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from neurodyn.training.loop import train

from . import toy


class WithoutDropout(toy.Poisson):
    """Loss without random numbers, so that one process and two can be compared."""

    def loss(self, network, batch, progress):
        losses = super().loss(network, batch, progress)
        return {"loss": losses["loss"], "mean": batch["count"].mean()}


def run(folder, *, resume=False, dropout=0.0, **changes):
    settings = toy.settings(n_devices=2, validate_every=3, **changes)
    objective = WithoutDropout() if dropout == 0.0 else toy.Poisson()
    return train(
        toy.reader(dropout=dropout),
        objective,
        toy.Counts(),
        settings,
        validation=toy.Counts(seed=1),
        folder=folder,
        resume=resume,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    # Batches of 23 and 1: the second device has no window of the second batch.
    run(place / "plain", n_steps=6, batch_size=23)
    run(place / "whole", n_steps=6, dropout=0.2)
    run(place / "part", n_steps=3, dropout=0.2)
    run(place / "part", n_steps=6, dropout=0.2, resume=True)
