"""Named data: simulators with known truth, embedded recordings and downloadable ones."""

from neurodyn.datasets.chaotic_rnn import ChaoticRNNConfig, simulate_chaotic_rnn
from neurodyn.datasets.lorenz import LorenzConfig, simulate_lorenz
from neurodyn.datasets.shipped import shipped
from neurodyn.datasets.simulation import Simulation

__all__ = [
    "ChaoticRNNConfig",
    "LorenzConfig",
    "Simulation",
    "shipped",
    "simulate_chaotic_rnn",
    "simulate_lorenz",
]
