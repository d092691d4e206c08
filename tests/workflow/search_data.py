"""A small search that takes seconds: counts with one latent, a GRU of a few units."""

from __future__ import annotations

import numpy as np

from neurodyn import recording as rec
from neurodyn.models.baselines.gru import GRUAutoencoder
from neurodyn.training import TrainingConfig
from neurodyn.workflow.search import search

SPACE = {
    "training.learning_rate": ["1e-3", "1e-2", "3e-2"],
    "keep_prob": [0.3, 0.7],
    "dropout": [0.1, 0.5],
}


def counts(n_trials=20, seed=0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n_trials, 1, 1)) * np.sin(np.arange(8) / 2)[:, None]
    rate = np.exp(latent + 0.3 * rng.normal(size=5))
    return rec.counts(rng.poisson(rate), bin_size=0.02, held_out=[False] * 4 + [True])


def training(**changes):
    common = {
        "n_steps": 6,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "device": "cpu",
        "progress": False,
    }
    return TrainingConfig(**(common | changes))


def run(folder, method="random", *, n_trials=4, vary=None, data=None, loop=None, **options):
    return search(
        GRUAutoencoder(hidden_size=4),
        counts() if data is None else data,
        folder,
        method=method,
        n_trials=n_trials,
        training=training() if loop is None else loop,
        vary=SPACE if vary is None else vary,
        **options,
    )
