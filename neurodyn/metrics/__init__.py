"""Scores of predictions: spikes, decoding, known dynamics, and intervals around them."""

from neurodyn.metrics.decoding import Decoder, decode, fit_ridge, r2, r2_per_output
from neurodyn.metrics.dynamics import rate_r2, rate_r2_per_unit
from neurodyn.metrics.intervals import (
    Interval,
    bits_per_spike_interval,
    paired_bits_per_spike,
    trial_interval,
)
from neurodyn.metrics.spikes import (
    bits_per_spike,
    bits_per_spike_per_unit,
    condition_means,
    null_expected_count,
    poisson_nll,
)

__all__ = [
    "Decoder",
    "Interval",
    "bits_per_spike",
    "bits_per_spike_interval",
    "bits_per_spike_per_unit",
    "condition_means",
    "decode",
    "fit_ridge",
    "null_expected_count",
    "paired_bits_per_spike",
    "poisson_nll",
    "r2",
    "r2_per_output",
    "rate_r2",
    "rate_r2_per_unit",
    "trial_interval",
]
