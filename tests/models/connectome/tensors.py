"""Small affinities: of random walks, and of known low rank."""

from __future__ import annotations

import numpy as np

from neurodyn.models.connectome.hals import Factors
from neurodyn.recording import signal
from neurodyn.transforms.connectivity import DenseAffinity, differential_affinity


def affinity(n_animals=3, n_nodes=6, n_time=60, missing=True, smoothing=None, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_animals, n_time, n_nodes)).cumsum(axis=1)
    if missing:
        values[0, :, 1] = values[2, :, 4] = np.nan
    data = signal(values, sampling_rate=4.0, dim="roi")
    return differential_affinity(data, bandwidth=1.0, smoothing=smoothing, dtype=np.float64)


def low_rank(noise=0.0, seed=0, n_nodes=8, n_time=50, n_animals=4, rank=3):
    rng = np.random.default_rng(seed)
    n_pairs = n_nodes * (n_nodes - 1) // 2
    pair = rng.random((rank, n_pairs)) * (rng.random((rank, n_pairs)) < 0.3)
    time = rng.random((rank, n_time)) ** 4
    animal = rng.random((rank, n_animals))
    clean = np.einsum("rp,rt,rw->wtp", pair, time, animal)
    noisy = np.maximum(clean + noise * rng.normal(size=clean.shape), 0)
    form = affinity(n_animals=n_animals, n_nodes=n_nodes, missing=False)
    stored = DenseAffinity(
        values=noisy,
        mask=form.mask,
        node_dim="roi",
        coords={"roi": form.coords["roi"], "animal": form.coords["animal"]},
        has_animals=True,
        attrs={},
    )
    return stored, Factors((pair,), time, animal)
