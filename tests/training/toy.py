"""A tiny real training (GRU, dropout, Poisson loss) and processes that run and kill it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import torch
from torch import nn

from neurodyn.training.config import TrainingConfig
from neurodyn.training.loop import train

processes = multiprocessing.get_context("forkserver")
# Importing torch takes seconds; the server does it once for all the processes it forks.
processes.set_forkserver_preload(["neurodyn.training.loop"])

N_WINDOWS, BATCH = 24, 5  # five batches per epoch, the last one shorter


class Counts:
    """Source of reproducible Poisson counts (window, time, unit)."""

    def __init__(self, n_windows=N_WINDOWS, n_units=3, seed=0):
        generator = torch.Generator().manual_seed(seed)
        rate = torch.rand(n_windows, 6, n_units, generator=generator) * 2
        self.count = torch.poisson(rate, generator=generator)

    def __len__(self):
        return len(self.count)

    def gather(self, index):
        return {"count": self.count[index], "index": torch.as_tensor(index)}


class Reader(nn.Module):
    """Recurrent network with dropout, so that every step draws random numbers."""

    def __init__(self, n_units=3, size=8, dropout=0.2):
        super().__init__()
        self.recurrent = nn.GRU(n_units, size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(size, n_units)

    def forward(self, count):
        state, _ = self.recurrent(count)
        return self.readout(self.dropout(state))


class Poisson:
    """Poisson objective; can send signals to its own process at given steps."""

    def __init__(self, signals=()):
        self.signals = dict(signals)

    def loss(self, network, batch, progress):
        for number in self.signals.get(progress.step + 1, ()):
            os.kill(os.getpid(), number)
        log_count = network(batch["count"]).float()
        loss = nn.functional.poisson_nll_loss(log_count, batch["count"])
        return {"loss": loss, "noise": torch.rand(()) * progress.fraction}

    def validate(self, network, source):
        batch = source.gather(np.arange(len(source)))
        log_count = network(batch["count"]).float()
        nll = nn.functional.poisson_nll_loss(log_count, batch["count"])
        return {"nll": float(nll), "draw": float(torch.rand(()))}


def settings(**changes):
    common = {
        "n_steps": 20,
        "batch_size": BATCH,
        "learning_rate": 0.05,
        "validate_every": 4,
        "checkpoint_every": 6,
        "device": "cpu",
        "progress": False,
    }
    return TrainingConfig(**(common | changes))


def reader(**sizes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Reader(**sizes)


def run(folder=None, *, resume=False, signals=(), source=None, **changes):
    """Train the toy in this process."""
    return train(
        reader(),
        Poisson(signals),
        source or Counts(),
        settings(**changes),
        validation=Counts(seed=1),
        folder=folder,
        resume=resume,
    )


def in_process(function, *arguments, **keywords):
    """Start a function of this module in a fresh process."""
    process = processes.Process(target=_alone, args=(function, arguments, keywords))
    process.start()
    return process


def exit_code(function, *arguments, **keywords):
    process = in_process(function, *arguments, **keywords)
    process.join()
    return process.exitcode


def _alone(function, arguments, keywords):
    torch.set_num_threads(1)
    function(*arguments, **keywords)


def traces(folder: Path) -> tuple[str, bytes]:
    """Return what has to be equal to the bit: all of the last checkpoint, and the history."""
    last = (folder / "state" / "latest").read_text()
    return (
        (folder / "state" / last / "manifest.json").read_text(),
        (folder / "history.jsonl").read_bytes(),
    )


_CALLS = ("open", "write", "pwrite", "fsync", "replace", "mkdir", "unlink", "rmdir", "ftruncate")


def run_dying_at(folder: Path, fatal: int, tally: Path | None = None, **changes):
    """Train until the call ``fatal`` to the operating system and die in the middle of it."""
    calls = 0
    originals = {name: getattr(os, name) for name in _CALLS}

    def counted(name):
        def call(*arguments, **keywords):
            nonlocal calls
            calls += 1
            if calls == fatal:
                if name in ("write", "pwrite"):
                    descriptor, data, *rest = arguments
                    originals[name](descriptor, data[: len(data) // 2], *rest)
                os.kill(os.getpid(), signal.SIGKILL)
            return originals[name](*arguments, **keywords)

        return call

    for name in _CALLS:
        setattr(os, name, counted(name))
    run(folder, resume="auto", **changes)
    if tally is not None:
        tally.write_text(str(calls))
