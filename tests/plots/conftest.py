"""A small simulated session as counts and truth; figures are drawn without a screen."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from neurodyn import recording as rec
from neurodyn.datasets.lorenz import simulate_lorenz
from neurodyn.datasets.simulation import Simulation

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def session() -> Simulation:
    return simulate_lorenz(n_conditions=3, n_repeats=4, n_units=8)


@pytest.fixture(scope="session")
def counts(session: Simulation) -> xr.Dataset:
    truth = session.truth
    drawn = np.random.default_rng(0).poisson(truth["rate"].values * 0.02)
    return rec.counts(
        drawn,
        bin_size=0.02,
        unit=truth["unit"].values,
        trial=truth["trial"].values,
        held_out=truth["held_out"].values,
        trial_columns={"condition": truth["condition"].values},
    )
